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
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

# One thread a process: the workers are the parallelism. Set before numpy loads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from corpus_plan import HOURS, MIXES, Voice, mix_candidates, plan, real_split, split_sentences
from corpus_studio import Item, Recording, Studio, write_flac

MISREAD = 0.3  # word error rate above which a synthesised utterance is dropped
ALIKE = 0.8  # a mix whose cosine to a parent reaches this is no new speaker
BATCH = 24  # utterances a worker takes at a time
REWRITE = 120.0  # seconds between two manifests while synthesis goes on
SYNTHETIC_LICENCE = "Apache-2.0"  # of hibari's and Kokoro's weights; the sentences are in the public domain


def choose_mixes(out: Path, studio: Studio, seed: int, count: int = MIXES) -> list[Voice]:
    """The first `count` candidate mixes that resemble neither parent; remembered in OUT/mixes.json."""
    path = out / "mixes.json"
    cosines: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    prints: dict[str, np.ndarray] = {}
    kept: list[Voice] = []
    for voice in mix_candidates(seed):
        if len(kept) == count:
            break
        if voice.speaker not in cosines:
            for name in voice.packs:
                if name not in prints:
                    prints[name] = studio.voiceprint(Voice("kokoro", name, (name,)))
            mine = studio.voiceprint(voice)
            cosines[voice.speaker] = round(max(float(mine @ prints[name]) for name in voice.packs), 4)
            write_text(path, json.dumps(cosines, indent=1) + "\n")
        if cosines[voice.speaker] < ALIKE:
            kept.append(voice)
    return kept


def known_mixes(out: Path, seed: int) -> list[Voice]:
    """The chosen mixes as far as OUT/mixes.json knows them."""
    path = out / "mixes.json"
    cosines = json.loads(path.read_text()) if path.exists() else {}
    kept = [voice for voice in mix_candidates(seed) if cosines.get(voice.speaker, 1.0) < ALIKE]
    return kept[:MIXES]


def recordings(speech: Path) -> list[Recording]:
    """The recorded utterances of FOLDER/manifest.jsonl."""
    lines = (speech / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines if line.strip()]
    return [Recording(entry, speech / entry["audio"]) for entry in entries]


def write_text(path: Path, text: str) -> None:
    """Replace a file at once."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def misread(out: Path) -> set[str]:
    """Ids that the ASR check found to be misread."""
    path = out / "asr.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {entry["id"] for entry in map(json.loads, lines) if entry["wer"] > MISREAD}


def manifest_line(item: Item, seconds: float, seed: int) -> dict:
    """One line of the manifest."""
    line = {"id": item.id, "audio": item.audio}
    if isinstance(item, Recording):
        line |= {key: item.line[key] for key in ("text", "speaker")}
        tail = {"sample_rate": item.line["sample_rate"], "split": real_split(item.line, seed)}
        licence, source = item.line["licence"], item.name
    else:
        line |= {"text": item.text, "speaker": item.voice.speaker}
        tail = {"sample_rate": item.voice.sample_rate, "split": item.split}
        licence, source = SYNTHETIC_LICENCE, item.voice.source
    return line | {"seconds": round(seconds, 3)} | tail | {"licence": licence, "source": source}


def rewrite_manifest(out: Path, items: Sequence[Item], seed: int) -> list[dict]:
    """Write OUT/manifest.jsonl of the items whose audio exists and is not misread; returns its lines."""
    import soundfile

    bad, lines = misread(out), []
    for item in items:
        path = out / item.audio
        if path.exists() and item.id not in bad:
            lines.append(manifest_line(item, soundfile.info(path).duration, seed))
    write_text(out / "manifest.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return lines


def summary(lines: Sequence[dict]) -> str:
    """A table of source, split, speakers, utterances and hours."""
    groups: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for line in lines:
        groups[line["source"], line["split"]].append(line)
        groups["all", line["split"]].append(line)
    rows = [f"{'source':18}{'split':13}{'speakers':>9}{'utterances':>12}{'hours':>8}"]
    for (source, split), group in sorted(groups.items(), key=lambda entry: (entry[0][0] == "all", entry[0])):
        hours = sum(line["seconds"] for line in group) / 3600
        rows.append(f"{source:18}{split:13}{len({g['speaker'] for g in group}):9}{len(group):12}{hours:8.2f}")
    return "\n".join(rows)


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
        except (ValueError, RuntimeError, IndexError) as error:
            if type(error).__name__ == "MissingModel":
                raise
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

    def __init__(self, out: Path, speech: Path, hours: dict[str, float], seed: int) -> None:
        self.out, self.hours, self.seed = out, hours, seed
        self.real = recordings(speech)
        lines = (speech / "sentences.txt").read_text(encoding="utf-8").splitlines()
        self.sentences = split_sentences(lines, seed)

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
                first = {name: hours for name, hours in self.hours.items() if name == "hibari"}
                self.run(pool, [*self.real, *plan(self.sentences, first, (), self.seed)])
                choosing.get()
            self.run(pool, self.items())

    def run(self, pool, items: Sequence[Item]) -> None:
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
    from speech_models import default_cache

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder to build in")
    parser.add_argument(
        "--speech", type=Path, required=True, help="folder of recorded speech and sentences.txt"
    )
    whole = ",".join(f"{name}={value:g}" for name, value in HOURS.items())
    parser.add_argument(
        "--hours", default=whole, help="hours of training speech to synthesise (default %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where models are assembled")
    parser.add_argument(
        "--manifest-only", action="store_true", help="only rewrite the manifest from what exists"
    )
    parser.add_argument(
        "--check", metavar="SPLITS", help="only run the ASR check over these splits, e.g. valid,test_seen"
    )
    return parser.parse_args()


def main() -> None:
    """Build, check, or rewrite the manifest; print the table."""
    arguments = parse()
    try:
        builder = Builder(arguments.out, arguments.speech, hours_of(arguments.hours), arguments.seed)
    except (OSError, ValueError) as error:
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
