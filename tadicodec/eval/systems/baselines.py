"""Codecs people know, at rates near ours, in the same table: Codec2 and Opus by their tools, and EnCodec."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from tadicodec.audio.files import audio_bytes, read_audio
from tadicodec.audio.resample import resample
from tadicodec.errors import InputError
from tadicodec.eval.systems.encodec import ENCODEC, EncodecRow
from tadicodec.eval.systems.system import Rendering, Row
from tadicodec.eval.utterances.bitrate import Bits
from tadicodec.eval.utterances.cases import Case
from tadicodec.eval.utterances.recordings import Recordings

CODEC2_RATE, CODEC2_FRAME = 8000, 320  # Hz; samples: both modes take 40 ms
CODEC2_BITS = {"450": 18, "700C": 28}  # bits a frame; c2enc fills each up to whole bytes, which nobody would send
OPUS_RATE = 24000  # Hz, of the decoded wave; at 6 kbit/s Opus itself chooses its bandwidth
TOOLS = {"codec2": ("c2enc", "c2dec"), "opus-tools": ("opusenc", "opusdec")}  # by Debian package


class Codec2Row:
    """Codec2 (Rowe 2016) of one mode, at 8 kHz."""

    kind, seeded, prompted = "baseline", False, False

    def __init__(self, recordings: Recordings, mode: str) -> None:
        self.recordings, self.mode, self.name = recordings, mode, f"Codec2 {mode}"

    def render(self, case: Case, seed: int) -> Rendering:
        """The wave of one utterance, as `Row.render` says."""
        wave = resample(*self.recordings.read(case.audio), CODEC2_RATE)
        padded = np.pad(wave, (0, -len(wave) % CODEC2_FRAME))
        with tempfile.TemporaryDirectory(prefix="tadicodec-") as folder:
            raw, coded, back = (Path(folder) / name for name in ("in.raw", "coded.bit", "out.raw"))
            raw.write_bytes((np.clip(padded, -1, 1) * 32767).astype("<i2").tobytes())
            encode_seconds = call("c2enc", self.mode, raw, coded)
            frames = coded.stat().st_size // (-(-CODEC2_BITS[self.mode] // 8))
            decode_seconds = call("c2dec", self.mode, coded, back)
            made = np.frombuffer(back.read_bytes(), "<i2").astype(np.float32)[: len(wave)] / 32768
        bits = Bits(frames * CODEC2_BITS[self.mode])
        return Rendering(made, CODEC2_RATE, bits, encode_seconds, decode_seconds)


class OpusRow:
    """Opus (RFC 6716) at the lowest rate its encoder takes."""

    name, kind, seeded, prompted = "Opus 6 kbit/s", "baseline", False, False

    def __init__(self, recordings: Recordings) -> None:
        self.recordings = recordings

    def render(self, case: Case, seed: int) -> Rendering:
        """The wave of one utterance, as `Row.render` says."""
        wave, rate = self.recordings.read(case.audio)
        with tempfile.TemporaryDirectory(prefix="tadicodec-") as folder:
            start, coded, back = (Path(folder) / name for name in ("in.wav", "coded.opus", "out.wav"))
            start.write_bytes(audio_bytes(wave, rate, ".wav"))
            encode_seconds = call("opusenc", "--quiet", "--bitrate", "6", "--speech", start, coded)
            decode_seconds = call("opusdec", "--quiet", "--no-dither", "--rate", OPUS_RATE, coded, back)
            bits = Bits(8 * ogg_payload(coded.read_bytes()))
            return Rendering(*read_audio(back), bits, encode_seconds, decode_seconds)


def call(*command: object) -> float:
    """Run a tool and return the seconds it took. Raises InputError with the last thing it said."""
    words = [str(word) for word in command]
    started = time.perf_counter()
    try:
        subprocess.run(words, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise InputError(f"cannot run {words[0]}: {error.strerror or error}") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {error.returncode}"]
        raise InputError(f"{words[0]}: {said[-1]}") from error
    return time.perf_counter() - started


def ogg_payload(data: bytes) -> int:
    """Bytes of the Opus packets in an Ogg file (RFC 3533, 7845), without pages and the two header packets."""
    place, packets, payload = 0, 0, 0
    while place + 27 <= len(data):
        magic, *_, segments = struct.unpack_from("<4sBBqIIIB", data, place)
        if magic != b"OggS":
            raise InputError("opusenc wrote something that is not an Ogg file")
        table = data[place + 27 : place + 27 + segments]
        if packets >= 2:  # headers end with their page
            payload += sum(table)
        packets += sum(length < 255 for length in table)
        place += 27 + segments + sum(table)
    return payload


BASELINES: dict[str, tuple[str, Callable[[Recordings], Row]]] = {  # --baselines: Debian package, row
    "codec2-450": ("codec2", partial(Codec2Row, mode="450")),
    "codec2-700c": ("codec2", partial(Codec2Row, mode="700C")),
    "opus-6": ("opus-tools", OpusRow),
}


def load_baselines(names: Sequence[str] | None, recordings: Recordings, device: str) -> list[Row]:
    """The rows that --baselines names. None: those whose tools are on the PATH, and EnCodec where its weights were
    fetched before.

    Raises:
        InputError: a name that is none, or tools or weights that are not there.
    """
    if names is None:
        at_hand = [make(recordings) for package, make in BASELINES.values() if not missing_tool(package)]
        return at_hand + ([EncodecRow(recordings, ENCODEC, device)] if fetched(ENCODEC) else [])
    rows: list[Row] = []
    for name in names:
        kind, _, weights = name.partition("=")
        if kind == "encodec":
            rows.append(EncodecRow(recordings, weights or ENCODEC, device))
            continue
        if name not in BASELINES:
            known = [*BASELINES, "encodec", "encodec=ID_OR_FOLDER"]
            raise InputError(f"no baseline {name}; --baselines takes {', '.join(known)}, or none")
        package, make = BASELINES[name]
        if tool := missing_tool(package):
            raise InputError(f"--baselines {name} needs {tool}, which is not on PATH: apt-get install {package}")
        rows.append(make(recordings))
    return rows


def fetched(model: str) -> bool:
    """Whether a model of the hub is in the local cache; asks no network."""
    from huggingface_hub import try_to_load_from_cache

    return all(isinstance(try_to_load_from_cache(model, file), str) for file in ("config.json", "model.safetensors"))


def missing_tool(package: str) -> str | None:
    """The first tool of a Debian package that is not on PATH."""
    return next((tool for tool in TOOLS[package] if shutil.which(tool) is None), None)
