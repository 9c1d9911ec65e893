"""A job's audio in and out, block by block, so that its length does not matter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tadicodec.cli.closing import on_terminal
from tadicodec.cli.paths import Job
from tadicodec.cli.pipes import binary_input, binary_output

if TYPE_CHECKING:
    import numpy as np

LONG = 120.0  # seconds; longer audio is not held in memory


def read_wave(job: Job, sample_rate: int) -> np.ndarray:
    """Wave [N] of a job's input at the model's rate. Raises InputError."""
    from tadicodec.audio.files import read_audio
    from tadicodec.audio.resample import resample

    wave, found = read_audio(binary_input() if job.source is None else job.source)
    return resample(wave, found, sample_rate)


def read_blocks(job: Job, sample_rate: int) -> Iterator[np.ndarray]:
    """The same in blocks [n], with a progress bar on a terminal. Raises InputError."""
    from tadicodec.audio.blocks import read_wave_blocks

    if job.source is None or is_pipe(job):
        return read_wave_blocks(binary_input() if job.source is None else job.source, sample_rate)
    return shown(read_wave_blocks(job.source, sample_rate), seconds_of(job), sample_rate)


def shown(blocks: Iterable[np.ndarray], seconds: float, sample_rate: int) -> Iterator[np.ndarray]:
    """The same blocks [n], while a bar on a terminal counts the seconds of audio; none for what is done at once."""
    from tqdm import tqdm

    hidden = seconds <= LONG or not on_terminal()
    form = "{percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s of audio [{elapsed}<{remaining}]"
    with tqdm(total=round(seconds), bar_format=form, disable=hidden, leave=False) as bar:
        for block in blocks:
            yield block
            bar.update(len(block) / sample_rate)


def seconds_of(job: Job) -> float:
    """Length of a job's input, from its header. Raises InputError."""
    from tadicodec.audio.files import inspect_audio

    assert job.source is not None  # nobody asks for the length of a pipe
    return inspect_audio(job.source).seconds


def is_long(job: Job) -> bool:
    """Whether to read it in blocks: long files, and pipes, whose length nobody knows. Raises InputError."""
    return is_pipe(job) or seconds_of(job) > LONG


def is_pipe(job: Job) -> bool:
    """Standard input, a named pipe or a shell's `<(...)`: what can be read only once."""
    return job.source is None or (job.source.exists() and not job.source.is_file())


def write_wave(job: Job, wave: np.ndarray, sample_rate: int, overwrite: bool) -> None:
    """Write wave [N] to a job's output. Raises InputError."""
    write_blocks(job, [wave], len(wave), sample_rate, overwrite)


def write_blocks(job: Job, blocks: Iterable[np.ndarray], samples: int, sample_rate: int, overwrite: bool) -> None:
    """Write blocks [n], `samples` in all, to a job's output as they come. Raises InputError."""
    from tadicodec.audio.blocks import send_wave_blocks, write_wave_blocks

    blocks = shown(blocks, samples / sample_rate, sample_rate)
    if job.target is None:
        send_wave_blocks(binary_output(), blocks, samples, sample_rate)
    else:
        write_wave_blocks(job.target, blocks, sample_rate, overwrite)
