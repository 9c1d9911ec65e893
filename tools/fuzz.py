"""Damaged files of every kind that this package reads: each must be read, or refused in one line.

    python tools/fuzz.py --count 100000 --seed 0

Counts what happened by kind, and exits with 1 if anything else came of it: another exception, a message of more than
one line or with control characters in it, something a C library printed by itself, or more than ten seconds of
computing. Takes a few minutes of one core; says every minute how far it is.

A mutation depends on the seed, its kind and its number alone. So one fault is done again, or a run that was cut off
goes on, with

    python tools/fuzz.py --seed 0 --only "model folders" --first 31 --count 1
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
from fuzz_subjects import SUBJECTS, Attempt

from tadicodec.errors import InputError

LONGEST = 10  # seconds of computing that a file may take
WAITED = 300  # seconds by the clock, for a read that waits and computes nothing; the machine may be busy
SAID = 60  # seconds between two lines that say how far it is
SETTLED = 0.2  # share of the mutations after which everything is imported and memory should stand still
SHOWN = 20


@dataclass
class Outcome:
    read: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)


class TooLong(BaseException):
    """A read that did not end."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="mutations in all (100,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(SUBJECTS), help="one kind of file")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation of each kind (0)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of the tool's own making of odd tensors
    for kind in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(kind, stop)
    chosen = {name: kind for name, kind in SUBJECTS.items() if given.only in (None, name)}
    total = sum(share for _, share in chosen.values())
    outcomes = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (make, share) in chosen.items():
            place = Path(folder) / name.replace(" ", "_")
            place.mkdir()
            numbers = range(given.first, given.first + max(given.count * share // total, 1))
            outcomes[name] = tried(name, make(place), numbers, given.seed)
    return summary(outcomes)


def stop(*_: object) -> None:
    raise TooLong


def tried(name: str, attempt: Attempt, numbers: range, seed: int) -> Outcome:
    """Do these mutations of one kind."""
    outcome, began, said, settled = Outcome(), time.monotonic(), time.monotonic(), 0
    for done, number in enumerate(numbers):
        if done == int(SETTLED * len(numbers)):
            settled = resident_bytes()
        with printed() as lines:
            fault = once(attempt, random.Random(f"{seed} {name} {number}"), outcome)
        fault = fault or (f"something printed {lines[0][:200]!r}" if lines else "")
        if fault:
            outcome.faults.append(f"{name}, number {number}: {fault}")
        if time.monotonic() - said > SAID:
            said = time.monotonic()
            print(f"{name}: {done + 1} of {len(numbers)}, {len(outcome.faults)} faults", file=sys.stderr, flush=True)
    kept, most = resident_bytes() - settled, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"{name}: {len(numbers)} mutations, {outcome.read} read, {outcome.refused} refused, {len(outcome.faults)} "
        f"FAULTS, {time.monotonic() - began:.0f} s, memory {kept / 1e6:+.0f} MB, {most / 1e6:.0f} MB at most",
        flush=True,
    )
    return outcome


def once(attempt: Attempt, rng: random.Random, outcome: Outcome) -> str:
    """What is wrong with how one mutation ends; "" if nothing is."""
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    signal.alarm(WAITED)
    try:
        attempt(rng)
        outcome.read += 1
    except InputError as error:
        outcome.refused += 1
        message = str(error)
        return "" if message.isprintable() and len(message) > 10 else f"message {message[:300]!r}"
    except TooLong:
        return f"more than {LONGEST} s of computing, or {WAITED} s of waiting"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}: {str(error)[:200]!r}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
    return ""


@contextmanager
def printed() -> Iterator[list[str]]:
    """Lines that came to standard error meanwhile, from C libraries too."""
    lines: list[str] = []
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()


def resident_bytes() -> int:
    """Memory that this process holds now; 0 on systems that do not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def summary(outcomes: dict[str, Outcome]) -> int:
    faults = [fault for outcome in outcomes.values() for fault in outcome.faults]
    for kind, times in collections.Counter(fault.split(": ", 1)[-1][:120] for fault in faults).most_common(SHOWN):
        print(f"{times} x {kind}")
    for fault in faults[:SHOWN]:
        print(fault)
    done = sum(outcome.read + outcome.refused for outcome in outcomes.values()) + len(faults)
    print(f"{done} mutations, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
