"""What libsndfile does not read (m4a, mp4, webm, wma, amr, films): through PyAV, or else an `ffmpeg` on the PATH.

Both are the same library. It is told which containers it may open: the others (playlists, lists of files) are texts
that name further files and addresses, and a recording must not make this program read those.
"""

from __future__ import annotations

import importlib.util
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tadicodec.errors import reason

CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,eac3,flac,flv,gsm,loas,m4v,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,"
    "mp3,mpeg,mpegts,mpegvideo,ogg,rm,spx,tta,voc,w64,wav,wv"
)
ESTIMATED = {
    "aac",
    "ac3",
    "amr",
    "amrnb",
    "amrwb",
    "eac3",
    "gsm",
    "loas",
    "mp3",
    "mpeg",
    "mpegts",
}  # lengths are guessed
AU_HEADER = struct.Struct(">4sIIIII")
BLOCK = 1 << 18  # samples


class FfmpegError(Exception):
    """What ffmpeg has to say about a file that it cannot read."""


def has_pyav() -> bool:
    """Whether PyAV is installed (the extra `formats`)."""
    return importlib.util.find_spec("av") is not None


def available() -> bool:
    """Whether there is any ffmpeg."""
    return has_pyav() or shutil.which("ffmpeg") is not None


def open_ffmpeg(stream: BinaryIO) -> PyAvSound | ProgramSound:
    """The sound of a seekable stream; PyAV where it is installed.

    Raises:
        FfmpegError: not a recording that ffmpeg reads, or no sound in it.
    """
    stream.seek(0)
    return PyAvSound(stream) if has_pyav() else ProgramSound(stream)


class PyAvSound:
    """The best sound track of a file, decoded by PyAV."""

    def __init__(self, stream: BinaryIO) -> None:
        import av

        self.lost = 0  # packets that could not be decoded
        try:
            self.file = av.open(stream, container_options={"format_whitelist": CONTAINERS}, metadata_errors="replace")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise FfmpegError(reason(error)) from error
        self.track = self.file.streams.best("audio")
        codec = None if self.track is None else self.track.codec_context  # None: a kind of sound ffmpeg does not know
        if codec is None or not codec.sample_rate:
            self.file.close()
            raise FfmpegError("there is no sound in it")
        self.sample_rate: int = codec.sample_rate
        self.channels: int = max(codec.channels, 1)
        self.format, self.subtype = self.file.format.name, codec.name
        self.samples: int | None = self.announced()

    @property
    def damaged(self) -> bool:
        """Whether packets were left out."""
        return self.lost > 0

    def announced(self) -> int | None:
        """Samples that the file says it has; None where it says nothing, or guesses."""
        if self.format in ESTIMATED:
            return None
        if self.track.duration:
            return round(float(self.track.duration * self.track.time_base) * self.sample_rate)
        if self.file.duration:  # of a film; its sound may end a little earlier
            return round(self.file.duration * self.sample_rate / 1e6)
        return None

    def blocks(self) -> Iterator[np.ndarray]:
        """Blocks [n, channels] float32. Packets that cannot be decoded are counted and left out, as players do."""
        convert = Converter(self.sample_rate)
        for packet in self.packets():
            for frame in self.frames(packet):
                yield from convert(frame)
        yield from convert(None)

    def packets(self) -> Iterator[Any]:
        """Packets of the track, up to damage that hides where the next one begins; None at the end."""
        import av

        try:
            yield from self.file.demux(self.track)
        except (av.error.FFmpegError, OSError):  # what follows cannot be told apart
            self.lost += 1
            yield None

    def frames(self, packet: Any) -> list[Any]:
        """The decoded frames of a packet; none of one that is damaged, which is counted."""
        import av

        try:
            return self.track.codec_context.decode(packet)
        except (av.error.FFmpegError, ValueError):
            self.lost += 1
            return []

    def close(self) -> None:
        """Give back what PyAV holds, but not the stream."""
        self.file.close()


class Converter:
    """Turns frames of any sample format (and, in films, of changing rate or channels) into blocks [n, channels] float32
    of one rate and of the first frame's channels."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.kind: tuple[Any, ...] | None = None
        self.layout: Any = None
        self.resampler: Any = None

    def __call__(self, frame: Any) -> Iterator[np.ndarray]:
        """The next frame, or None for the end -> blocks [n, channels]."""
        import av

        kind = None if frame is None else (frame.format.name, frame.layout.name, frame.sample_rate)
        if self.resampler is not None and kind != self.kind:
            yield from map(samples_of, self.resampler.resample(None))
        if frame is None:
            return
        if kind != self.kind:
            self.layout = self.layout or frame.layout
            self.resampler = av.AudioResampler("fltp", self.layout, self.sample_rate)
            self.kind = kind
        frame.pts = None  # gaps in the times are no gaps in the sound
        yield from map(samples_of, self.resampler.resample(frame))


def samples_of(frame: Any) -> np.ndarray:
    """The samples [n, channels] of a decoded frame."""
    return np.ascontiguousarray(frame.to_ndarray().T)


class ProgramSound:
    """The best sound track of a file, decoded by the program `ffmpeg` into an AU stream on its standard output."""

    def __init__(self, stream: BinaryIO) -> None:
        self.damaged = False
        self.samples: int | None = None
        self.format, self.subtype = "ffmpeg", "decoded"
        self.stack = ExitStack()
        self.errors = self.stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        try:
            self.process = self.start(self.path_of(stream))
            assert self.process.stdout is not None
            self.output = self.process.stdout
            head = self.output.read(AU_HEADER.size)
            if len(head) < AU_HEADER.size:
                self.process.wait()
                raise FfmpegError(self.said() or "there is no sound in it")
            _, offset, _, _, self.sample_rate, self.channels = AU_HEADER.unpack(head)
            self.output.read(offset - AU_HEADER.size)
        except BaseException:
            self.close()
            raise

    def path_of(self, stream: BinaryIO) -> Path:
        """A copy of the stream as a file, because the index of an m4a is often at its end and one cannot go back in a
        pipe."""
        copy = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="tadicodec-"))) / "recording"
        with open(copy, "wb") as file:
            shutil.copyfileobj(stream, file)
        return copy

    def start(self, path: Path) -> subprocess.Popen[bytes]:
        """The program, told to write the first sound track of a file to its standard output."""
        safe = ("-protocol_whitelist", "file,pipe", "-format_whitelist", CONTAINERS)
        wanted = ("-i", f"file:{path}", "-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "pipe:1")
        command = ("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", *safe, *wanted)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, stdin=subprocess.DEVNULL)

    def blocks(self) -> Iterator[np.ndarray]:
        """Blocks [n, channels] float32 to the end."""
        width = 4 * self.channels
        while data := self.output.read(BLOCK * width):
            whole = len(data) // width * width
            yield np.frombuffer(data[:whole], ">f4").astype(np.float32).reshape(-1, self.channels)
        self.process.wait()
        self.damaged = bool(self.said())

    def said(self) -> str:
        """The last line of what ffmpeg complained about."""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1].rstrip(".") if lines else ""

    def close(self) -> None:
        """End the program and remove its copy of the file."""
        process = getattr(self, "process", None)
        if process is not None:
            process.kill()
            process.communicate()
        self.stack.close()
