"""How fast squeezed token files are written and read, and what their parts take.

    python tools/bench/squeeze.py samples/*.flac
    python tools/bench/squeeze.py corpus/manifest.jsonl --split test_unseen --least 5 --limit 60

Takes recordings with their words in NAME.txt beside them, or a manifest as `tadicodec evaluate` does. Reports, for each
recording, bit/s of its parts, and how many seconds of speech a second of one core squeezes and reads (process time,
beside encoding and decoding the sound in the same run), with the processor's name. Every file is read back and
compared. The last lines are medians.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import soundfile
import torch

from tadicodec.audio.files import read_audio
from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.eval.report.report import hardware
from tadicodec.eval.utterances.cases import read_cases
from tadicodec.tdc.container import from_bytes, squeezed_bytes, to_bytes


@dataclass(frozen=True)
class Row:
    """One recording: bit/s of the parts of its file and of a flat one; seconds of speech for a second of one core."""

    name: str
    seconds: float
    text: float
    timing: float
    codes: float
    file: float
    flat_file: float
    squeezing: float
    reading: float
    encoding: float
    decoding: float


def recordings(given: argparse.Namespace) -> list[tuple[Path, str | None]]:
    """The recordings with their words. Raises InputError."""
    if len(given.audio) == 1 and given.audio[0].suffix in (".jsonl", ".lst"):
        cases = read_cases(given.audio[0], given.split, given.limit).cases
        found = [(case.audio, case.text) for case in cases if case.audio is not None]
        return [item for item in found if soundfile.info(item[0]).duration >= given.least]
    return [(path, beside(path)) for path in given.audio]


def beside(path: Path) -> str | None:
    """The words in NAME.txt, if it is there."""
    words = path.with_suffix(".txt")
    return words.read_text(encoding="utf-8").strip() if words.is_file() else None


def measure(codec: Codec, path: Path, text: str | None, coder: str | None) -> Row:
    """Encode, squeeze, read back and decode a recording with its text. Raises InputError."""
    wave, rate = read_audio(path)
    moments = [time.process_time()]

    def lap() -> None:
        moments.append(time.process_time())

    speech = codec.encode(wave, rate, text=text)
    lap()
    data, costs = squeezed_bytes(speech, listener=codec, coder=coder)
    lap()
    found = from_bytes(data, coder).speech
    lap()
    if found.text != speech.text or not torch.equal(found.codes, speech.codes):
        raise InputError(f"{path}: what was read is not what was written")
    codec.decode(speech)
    lap()
    seconds = float(speech.seconds[0])
    encoding, squeezing, reading, decoding = (
        round(seconds / (b - a), 1) for a, b in zip(moments, moments[1:], strict=False)
    )
    parts = {name: round(bits / seconds, 1) for name, bits in asdict(costs).items()}
    sizes = {"file": round(8 * len(data) / seconds, 1), "flat_file": round(8 * len(to_bytes(speech)) / seconds, 1)}
    return Row(
        path.name, round(seconds, 2), **parts, **sizes,
        squeezing=squeezing, reading=reading, encoding=encoding, decoding=decoding,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("audio", nargs="+", type=Path, help="recordings, or one manifest or Seed-TTS meta file")
    parser.add_argument("--split", nargs="+", default=(), help="of a manifest")
    parser.add_argument("--least", type=float, default=0.0, help="seconds; a manifest's shorter ones are passed over")
    parser.add_argument("--limit", type=int, help="of each split and source of a manifest")
    parser.add_argument("--coder", metavar="M", help="folder of the autoregressive model (default: bundled)")
    args = parser.parse_args(arguments)
    try:
        codec = Codec.from_pretrained()
        chosen = recordings(args)
        if not chosen:
            raise InputError("no such recordings; look at --split and --least")
        measure(codec, *chosen[0], args.coder)  # the first call reads the models
        rows = [measure(codec, path, text, args.coder) for path, text in chosen]
    except InputError as error:
        print(f"squeeze: error: {error}", file=sys.stderr)
        return 2
    for row in rows:
        print(json.dumps(asdict(row)))
    numbers = [name for name in asdict(rows[0]) if name != "name"]
    print(json.dumps({"median of": len(rows)} | {name: median(getattr(row, name) for row in rows) for name in numbers}))
    print(json.dumps({"hardware": hardware("cpu")}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
