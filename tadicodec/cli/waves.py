"""A job's audio in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tadicodec.cli.paths import Job
from tadicodec.cli.pipes import binary_input, binary_output

if TYPE_CHECKING:
    import numpy as np


def read_wave(job: Job, sample_rate: int) -> np.ndarray:
    """Wave [N] of a job's input at the model's rate. Raises InputError."""
    from tadicodec.audio.files import read_audio
    from tadicodec.audio.resample import resample

    wave, found = read_audio(binary_input() if job.source is None else job.source)
    return resample(wave, found, sample_rate)


def seconds_of(job: Job) -> float:
    """Length of a job's input, from its header. Raises InputError."""
    from tadicodec.audio.files import inspect_audio

    return inspect_audio(job.source).seconds


def write_wave(job: Job, wave: np.ndarray, sample_rate: int, overwrite: bool) -> None:
    """Write wave [N] to a job's output. Raises InputError."""
    from tadicodec.audio.files import write_audio, write_audio_stream

    if job.target is None:
        write_audio_stream(binary_output(), wave, sample_rate)
    else:
        write_audio(job.target, wave, sample_rate, overwrite)
