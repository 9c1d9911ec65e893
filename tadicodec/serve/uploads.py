"""An uploaded recording as samples, never more of them than the server takes."""

from __future__ import annotations

import asyncio
import io

import numpy as np

from tadicodec.audio.blocks import Resampler
from tadicodec.audio.recording import open_recording
from tadicodec.serve.refusals import Refusal
from tadicodec.serve.service import Service


async def recording_of(service: Service, data: bytes) -> tuple[np.ndarray, list[str]]:
    """Wave [N] at the codec's rate, and what of the file could not be read.

    Raises:
        InputError: no recording. Refusal: 413, longer than the server takes.
    """
    loop = asyncio.get_running_loop()
    rate, most = service.codec.sample_rate, service.config.seconds
    wave, notes = await loop.run_in_executor(service.readers, read, data, rate, most)
    service.metrics.seconds.labels("in").inc(len(wave) / rate)
    return wave, notes


def read(data: bytes, rate: int, most: float) -> tuple[np.ndarray, list[str]]:
    """The samples [N] of an uploaded recording at this rate, and what of it could not be read. A header's length is not
    believed: samples are counted while they are read. Raises Refusal."""
    with open_recording(io.BytesIO(data), "the upload") as recording:
        convert, blocks, seconds = Resampler(recording.sample_rate, rate), [], 0.0
        for block in recording.mono():
            seconds += len(block) / recording.sample_rate
            if seconds > most:
                raise too_long(most)
            blocks.append(convert(block))
        return np.concatenate([*blocks, convert.finish()]), recording.notes


def too_long(most: float) -> Refusal:
    """The refusal of a recording that is too long."""
    return Refusal(413, f"longer than the {most:g} s that this server takes at once")
