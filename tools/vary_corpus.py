"""Say each training utterance of a corpus again, as another voice and cut otherwise, for speech language models.

    python tools/vary_corpus.py CORPUS/manifest.jsonl OUT --copies 2
    tadicodec tokenize OUT/manifest.jsonl TOKENS

A copy plays all utterances of a speaker at one other pitch, 6 to 16 % lower or higher, which is another voice to a
codec, and begins up to 0.12 s later, in the silence before the speech, so that its codes begin elsewhere in it. The
manifest lists the corpus as it was first, then the copies. What exists is skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from pathlib import Path

import numpy as np
import soundfile
import soxr

LEAST, MOST = 0.06, 0.16  # by how much the pitch changes
CUT = 0.12  # seconds; `make_corpus.py` leaves 0.15 of silence at both ends


def factor_of(speaker: str, copy: int, seed: int) -> float:
    """The factor of a speaker's pitch in this copy: lower in even copies, higher in odd ones."""
    change = random.Random(f"{seed}/{copy}/{speaker}").uniform(LEAST, MOST)
    return 1 - change if copy % 2 == 0 else 1 + change


def varied(wave: np.ndarray, rate: int, factor: float, cut: float) -> np.ndarray:
    """[N] without its first `cut` seconds and at `factor` times its pitch and speed."""
    return soxr.resample(wave[round(cut * rate) :], rate * factor, rate)


def copy_of(line: dict, source: Path, out: Path, copy: int, seed: int) -> dict:
    """Write one copy of an utterance, unless it is there, and return its line of the manifest."""
    factor = factor_of(line["speaker"], copy, seed)
    cut = random.Random(f"{seed}/{copy}/{line['id']}").uniform(0, CUT)
    name = f"{line['id']}-as-{copy + 1}"
    path = out / "audio" / f"copy-{copy + 1}" / f"{name}.flac"
    if not path.exists():
        wave, rate = soundfile.read(source, dtype="float32")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        soundfile.write(partial, varied(wave, rate, factor, cut), rate, format="FLAC", subtype="PCM_16")
        partial.replace(path)  # a file of this name is whole
    seconds = soundfile.info(path).duration
    speaker = f"{line['speaker']}-as-{copy + 1}"
    return {**line, "id": name, "audio": str(path.relative_to(out)), "speaker": speaker, "seconds": round(seconds, 3)}


def vary(manifest: Path, out: Path, copies: int, seed: int) -> int:
    """Write OUT and its manifest; return how many utterances are copies."""
    lines = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines() if line.strip()]
    out.mkdir(parents=True, exist_ok=True)
    listed = [{**line, "audio": os.path.relpath(manifest.parent / line["audio"], out)} for line in lines]
    train = [line for line in lines if line["split"] == "train"]
    made = [copy_of(line, manifest.parent / line["audio"], out, i, seed) for i in range(copies) for line in train]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in [*listed, *made])
    (out / "manifest.jsonl").write_text(text, encoding="utf-8")
    return len(made)


def main(given: list[str] | None = None) -> int:
    """0, or 2 where there is no such manifest."""
    first, *rest = __doc__.splitlines()
    parser = argparse.ArgumentParser(
        description=first, epilog="\n".join(rest), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--copies", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(given)
    if not arguments.manifest.is_file():
        print(f"vary_corpus: error: {arguments.manifest}: no such manifest; make_corpus.py makes one", file=sys.stderr)
        return 2
    made = vary(arguments.manifest, arguments.out, arguments.copies, arguments.seed)
    print(f"{made} utterances said again in {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
