"""Start-up of whole commands, file to file: `speak` of one sentence beside `reconstruct`, in pairs.

    python tools/bench/start_up.py --pairs 5 --prompt samples/austen_2.flac

Each pair runs the commands one after the other in new processes, so that whatever else the machine does meets all. Of
each pair the ratio counts, and of the ratios the median. CPU seconds are those of the processes, which a busy machine
changes less than what a clock says. `speak` has to load two models and to generate: the aim is 1.5 times
`reconstruct`'s start-up, plus generation.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TEXT = "The door was open, and nobody was there."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--prompt", type=Path, default=Path("samples/austen_2.flac"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "out.wav")
        commands = {
            "reconstruct": ["reconstruct", str(given.prompt), out],
            **{
                f"speak, {engine}": ["speak", TEXT, out, "--engine", engine, "--prompt", str(given.prompt)]
                for engine in ("masked", "ar")
            },
        }
        for command in commands.values():  # once, so that the disk does not count
            measured(command)
        rows = [{name: measured(command) for name, command in commands.items()} for _ in range(given.pairs)]
    print(f"{processor()}, {os.cpu_count()} cores, {given.pairs} pairs")
    for name in commands:
        seconds, spent = zip(*(row[name] for row in rows))
        ratios = [row[name][1] / row["reconstruct"][1] for row in rows]
        print(
            f"{name}: {statistics.median(seconds):.2f} s by the clock, {statistics.median(spent):.2f} s of CPU, "
            f"{statistics.median(ratios):.2f} times reconstruct's CPU ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds by the clock and of CPU that a command of this package takes in a process of its own."""
    began, before = time.perf_counter(), os.times()
    call = [sys.executable, "-m", "tadicodec", *command, "--overwrite"]
    subprocess.run(call, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, spent


def processor() -> str:
    """The kind of CPU, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
