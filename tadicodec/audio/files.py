"""Audio files and streams to mono float waves, and back."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from tadicodec.audio.recording import Source, open_recording
from tadicodec.errors import InputError
from tadicodec.outputs import write_all, write_bytes

READABLE = (  # what a folder is searched for
    *(".wav", ".flac", ".ogg", ".mp3", ".opus", ".aiff", ".aif", ".oga", ".au", ".w64", ".caf"),
    *(".m4a", ".mp4", ".aac", ".webm", ".wma", ".amr", ".3gp", ".m4b", ".mka", ".mkv", ".mov", ".avi"),
)
WRITABLE = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
BLOCK = 1 << 18  # samples: libsndfile's Vorbis writer fails on long calls


@dataclass(frozen=True)
class AudioInfo:
    """What a file says about itself: `samples` per channel at `sample_rate` Hz, counted where its header does not say
    it. `notes` are what of the file cannot be read."""

    samples: int
    sample_rate: int
    channels: int
    format: str
    subtype: str
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """The length of the recording."""
        return self.samples / self.sample_rate


def read_audio(source: Source) -> tuple[np.ndarray, int]:
    """Read a file or a binary stream: wav, flac, ogg, mp3, and with ffmpeg (the extra `formats`) what phones make.

    Warns (InputWarning) where not everything in it could be read.

    Returns:
        wave [N] float32, the mean of the channels, and its sample rate in Hz.

    Raises:
        InputError: missing, a folder, empty, not audio, no samples, or samples that are not finite.
    """
    with open_recording(source) as recording:
        wave = np.concatenate(list(recording.mono()))
        recording.warn()
        return wave, recording.sample_rate


def inspect_audio(source: Source) -> AudioInfo:
    """Read only the header.

    Raises:
        InputError: as `read_audio`, as far as the header shows it.
    """
    with open_recording(source) as file:
        samples = file.samples if file.samples is not None else sum(map(len, file.mono()))
        notes = tuple(note for note in file.notes if "{" not in note)
        return AudioInfo(samples, file.sample_rate, file.channels, file.format, file.subtype, notes)


def write_audio(path: str | Path, wave: np.ndarray, sample_rate: int, overwrite: bool = False) -> None:
    """Write wave [N] as 16 bits in the format of the extension, whole or not at all; values are clipped to [-1, 1].

    Raises:
        InputError: unknown extension, existing file without `overwrite`, folder that cannot be written, NaN.
    """
    write_bytes(path, audio_bytes(wave, sample_rate, Path(path).suffix), overwrite)


def write_audio_stream(stream: BinaryIO, wave: np.ndarray, sample_rate: int) -> None:
    """Write wave [N] as a WAV file to a stream that need not be seekable."""
    write_all(stream, audio_bytes(wave, sample_rate, ".wav"))


def audio_bytes(wave: np.ndarray, sample_rate: int, extension: str) -> bytes:
    """Wave [N] as the bytes of a file with this extension."""
    check_extension(extension)
    if wave.ndim != 1 or not np.isfinite(wave).all():
        raise InputError("only a one-dimensional wave of finite samples can be written")
    form, subtype = WRITABLE[extension.lower()]
    clipped = np.clip(wave, -1.0, 1.0).astype(np.float32)
    buffer = io.BytesIO()
    try:
        with soundfile.SoundFile(buffer, "w", sample_rate, channels=1, subtype=subtype, format=form) as file:
            for start in range(0, len(clipped), BLOCK):
                file.write(clipped[start : start + BLOCK])
    except soundfile.LibsndfileError as error:
        raise InputError(f"cannot write {form} at {sample_rate} Hz: {error.error_string}") from error
    return buffer.getvalue()


def check_extension(extension: str) -> None:
    """Raise InputError unless files with this extension can be written."""
    if extension.lower() not in WRITABLE:
        raise InputError(f"cannot write {extension or 'audio without an extension'}; use {', '.join(WRITABLE)}")
