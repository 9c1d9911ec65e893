"""Seconds and peak memory of whole commands: starting, and that an hour needs no more memory than a minute.

    python tools/bench/commands.py --speech samples/austen_1.flac --minutes 1 60

Each command is a process of its own; memory is its largest resident size. The long file is the speech said over and
over, and goes from file to file with the model's own transcript.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

BLOCK = 60  # seconds written at once


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds, and peak memory in MB."""
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"commands: error: {' '.join(command)} failed")
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return time.perf_counter() - started, usage.ru_maxrss / unit


def repeated(speech: Path, minutes: float, out: Path) -> None:
    """The speech over and over, block by block."""
    wave, rate = soundfile.read(speech, dtype="float32")
    with soundfile.SoundFile(out, "w", rate, 1) as file:
        left, place = int(minutes * 60 * rate), 0
        while left:
            size = min(left, BLOCK * rate)
            file.write(np.take(wave, np.arange(place, place + size), mode="wrap"))
            left, place = left - size, (place + size) % len(wave)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", type=Path, required=True, help="a mono recording")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 60.0])
    parser.add_argument("--repeats", type=int, default=5, help="of the short commands; the fastest counts")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    if not args.speech.is_file() or soundfile.info(args.speech).channels != 1:
        print(f"commands: error: {args.speech}: give a mono recording", file=sys.stderr)
        return 2
    python, rows = sys.executable, []
    short = {"python -c pass": ["-c", "pass"], "import tadicodec": ["-c", "import tadicodec"]}
    short["tadicodec --help"] = ["-m", "tadicodec", "--help"]
    for name, rest in short.items():
        seconds, memory = min(measured([python, *rest]) for _ in range(args.repeats))
        rows.append({"command": name, "seconds": seconds, "memory": memory})
        print(f"{name}: {seconds:.2f} s, {memory:.0f} MB", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for minutes in args.minutes:
            source, out = Path(folder) / "in.wav", Path(folder) / "out.wav"
            repeated(args.speech, minutes, source)
            command = [python, "-m", "tadicodec", "reconstruct", str(source), str(out), "--overwrite"]
            seconds, memory = measured(command)
            rows.append({"command": "reconstruct", "minutes": minutes, "seconds": seconds, "memory": memory})
            print(f"reconstruct {minutes:g} min: {seconds:.1f} s, RTF {seconds / 60 / minutes:.4f}, {memory:.0f} MB")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
