"""Build the training corpus: recorded speech, and public-domain sentences synthesised, as 24 kHz FLAC.

    python tools/make_corpus.py OUT --speech FOLDER --workers 2

FOLDER holds recorded speech with a manifest.jsonl (id, audio, text, speaker, seconds, sample_rate, split,
licence) and a sentences.txt. Resumable: what exists is skipped; run it again after a kill or with more hours.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

# One thread a process: the workers are the parallelism. Set before numpy loads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from corpus_manifest import rewrite_manifest, summary
from corpus_mixes import choose_mixes, known_mixes
from corpus_plan import HOURS, Sentences, plan, real_split, said_whole, split_sentences, words_of
from corpus_studio import Item, Recording, Studio, write_flac
from corpus_verses import verse_lines

if TYPE_CHECKING:
    from multiprocessing.pool import Pool

BATCH = 8  # utterances a worker takes at a time
REWRITE = 120.0  # seconds between two manifests while synthesis goes on


def recordings(speech: Path) -> list[Recording]:
    """The recorded utterances of FOLDER/manifest.jsonl whose texts are whole."""
    lines = (speech / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines if line.strip()]
    return [Recording(entry, speech / entry["audio"]) for entry in entries if said_whole(entry)]


def apart(real: Sequence[Recording], sentences: Sentences, seed: int) -> list[Recording]:
    """The recordings but those for training that say a sentence of validation or tests."""
    held = {words_of(text) for _, text in (*sentences.valid, *sentences.test)}
    return [r for r in real if real_split(r.line, seed) != "train" or words_of(r.line["text"]) not in held]


_studio: Studio | None = None  # of a worker process


def start_worker(cache: Path) -> None:
    """Give a worker process its own synthesisers."""
    global _studio
    _studio = Studio(cache)


def make(batch: tuple[Path, Sequence[Item]]) -> tuple[float, list[str]]:
    """Make the items of a batch that do not exist: seconds of audio made, and what failed."""
    out, items = batch
    seconds, failures = 0.0, []
    for item in items:
        path = out / item.audio
        if path.exists():
            continue
        try:
            wave = _studio.wave(item)
        except ImportError:  # a model that is not installed would fail everywhere
            raise
        except Exception as error:  # one bad sentence must not end hours of work
            failures.append(f"{item.id}: {error}")
            continue
        write_flac(wave, path)
        seconds += len(wave) / 24000
    return seconds, failures


def choose(out: Path, seed: int) -> None:
    """Choose the mixes in a worker, which has Kokoro loaded."""
    choose_mixes(out, _studio, seed)


class Builder:
    """Makes the corpus in OUT with a pool of worker processes, rewriting the manifest on the way."""

    def __init__(self, out: Path, speech: Path, hours: dict[str, float], seed: int, cache: Path) -> None:
        self.out, self.hours, self.seed = out, hours, seed
        real = recordings(speech)
        lines = (speech / "sentences.txt").read_text(encoding="utf-8").splitlines()
        verses = verse_lines(cache) if hours.get("verses") else ()
        held = {item.line["text"] for item in real if real_split(item.line, seed) != "train"}
        self.sentences = split_sentences(lines, seed, verses, held)
        self.real = apart(real, self.sentences, seed)

    def items(self) -> list[Item]:
        """Everything that is planned, in order."""
        mixes = known_mixes(self.out, self.seed) if self.hours.get("mix") else []
        return [*self.real, *plan(self.sentences, self.hours, mixes, self.seed)]

    def build(self, workers: int, cache: Path) -> None:
        """Make what does not exist yet: first what needs no mixed voices, then all."""
        import multiprocessing

        with multiprocessing.get_context("spawn").Pool(workers, start_worker, (cache,)) as pool:
            if self.hours.get("mix"):
                choosing = pool.apply_async(choose, (self.out, self.seed))  # one worker, the others go on
                first = {name: hours for name, hours in self.hours.items() if name in ("hibari", "verses")}
                self.run(pool, [*self.real, *plan(self.sentences, first, (), self.seed)])
                choosing.get()
            self.run(pool, self.items())

    def run(self, pool: Pool, items: Sequence[Item]) -> None:
        """Make one list of items, in order, reporting every two minutes."""
        todo = [item for item in items if not (self.out / item.audio).exists()]
        started = written = time.monotonic()
        made, done = 0.0, 0
        for seconds, failures in pool.imap_unordered(make, self.batches(todo)):
            made, done = made + seconds, done + BATCH
            for failure in failures:
                print(f"left out {failure}", file=sys.stderr, flush=True)
            now = time.monotonic()
            if now - written > REWRITE:
                written = now
                self.manifest()
                rate = made / (now - started)
                print(
                    f"{min(done, len(todo))}/{len(todo)} utterances, {made / 3600:.2f} h, {rate:.1f} x",
                    flush=True,
                )
        self.manifest()

    def batches(self, items: Sequence[Item]) -> list[tuple[Path, Sequence[Item]]]:
        """What `make` takes, a few items at a time."""
        return [(self.out, items[i : i + BATCH]) for i in range(0, len(items), BATCH)]

    def manifest(self) -> list[dict]:
        """Rewrite OUT/manifest.jsonl."""
        return rewrite_manifest(self.out, self.items(), self.seed)


def hours_of(text: str) -> dict[str, float]:
    """Parse "hibari=5.5,kokoro=6"; what is not named is 0. Raises ValueError for an unknown source."""
    hours = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name not in HOURS:
            raise ValueError(f"--hours: unknown source {name!r}, choose from {', '.join(HOURS)}")
        hours[name] = float(value)
    return hours


def parse() -> argparse.Namespace:
    """The command line."""
    from speech_packages import default_cache

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder to build in")
    parser.add_argument("--speech", type=Path, required=True, help="folder of recorded speech and sentences.txt")
    whole = ",".join(f"{name}={value:g}" for name, value in HOURS.items())
    parser.add_argument("--hours", default=whole, help="hours of training speech to synthesise (default %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where models are assembled")
    parser.add_argument("--manifest-only", action="store_true", help="only rewrite the manifest from what exists")
    parser.add_argument(
        "--check", metavar="SPLITS", help="only run the ASR check over these splits, e.g. valid,test_seen"
    )
    return parser.parse_args()


def main() -> None:
    """Build, check, or rewrite the manifest; print the table."""
    arguments = parse()
    try:
        hours = hours_of(arguments.hours)
        builder = Builder(arguments.out, arguments.speech, hours, arguments.seed, arguments.cache)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"make_corpus: error: {error}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.check:
        from corpus_check import check

        check(arguments.out, builder.manifest(), arguments.check.split(","), arguments.cache)
    elif not arguments.manifest_only:
        builder.build(arguments.workers, arguments.cache)
    print(summary(builder.manifest()))


if __name__ == "__main__":
    main()
