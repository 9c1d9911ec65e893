"""Very short texts, capitals, numbers in groups and repeated words, spoken and read by a Whisper: which words arrive.

    python tools/speech_models.py --install
    python tools/short_texts.py --asr ~/.cache/tadicodec/whisper-base \
      --prompts samples/austen_1.flac samples/austen_3.flac

The sentences, and what should be heard, are in short_texts.tsv. A recogniser needs context that one word does not give
it: read differences between two runs, not the figures themselves.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from tadicodec.audio.files import read_audio
from tadicodec.audio.resample import resample
from tadicodec.eval.judges.panel import load_transcriber
from tadicodec.eval.judges.transcribe import Transcriber
from tadicodec.eval.judges.wer import Edits, seed_tts
from tadicodec.text.normalize import letters_only
from tadicodec.tts.synthesize import Options, Speaker

LIST = Path(__file__).with_name("short_texts.tsv")
RATE = 16000
AROUND = 0.4  # seconds of silence on either side, as a recogniser is used to


@dataclass(frozen=True)
class Case:
    kind: str
    text: str
    words: str


@dataclass(frozen=True)
class Heard:
    kind: str
    text: str
    prompt: str
    seed: int
    seconds: float
    heard: str
    errors: int
    words: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asr", required=True, help="folder or id of a Whisper")
    parser.add_argument("--engine", default="masked", help="a bundled engine, or a folder or id of a speech model")
    parser.add_argument("--prompts", nargs="+", type=Path, required=True, help="waves with their .txt beside them")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path, help="every sentence and what was heard")
    given = parser.parse_args()
    bundled = given.engine in ("masked", "ar")
    speaker = Speaker.from_pretrained(**{"engine" if bundled else "name": given.engine})
    asr = load_transcriber(str(given.asr), threads=1)
    rows = list(all_heard(speaker, asr, given.prompts, given.seeds))
    print(table(rows))
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def read_cases() -> list[Case]:
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return [Case(*line.split("\t")) for line in lines if line and not line.startswith("#")]


def all_heard(speaker: Speaker, asr: Transcriber, prompts: list[Path], seeds: int) -> Iterator[Heard]:
    for path in prompts:
        prompt = speaker.prompt(*read_audio(path), path.with_suffix(".txt").read_text().strip())
        for case in read_cases():
            for seed in range(seeds):
                wave = speaker.speak(case.text, prompt, Options(), torch.Generator().manual_seed(seed)).numpy()
                heard = listen(asr, wave, speaker.codec.sample_rate)
                edits = errors(case.words, heard)
                seconds = len(wave) / speaker.codec.sample_rate
                yield Heard(case.kind, case.text, path.stem, seed, seconds, heard, edits.total, edits.words)
        print(path.stem, "done", file=sys.stderr)


def listen(asr: Transcriber, wave: np.ndarray, rate: int) -> str:
    silence = np.zeros(int(AROUND * rate), np.float32)
    return asr(resample(np.concatenate([silence, wave, silence]), rate, RATE))


def errors(words: str, heard: str) -> Edits:
    """Word errors; how numbers and initials are written does not matter, nor where a recogniser puts its spaces."""
    letters = re.sub(r"\b[A-Z]{2,5}\b", lambda found: " ".join(found[0]), heard)  # BBC, where b b c was to be heard
    digits = re.sub(r"(\d)[-, ]*(?=\d)", r"\1 ", heard)  # one by one, if that is what was to be heard
    found = []
    for said in (
        letters_only(heard),
        letters_only(heard.replace("-", " ")),
        letters_only(digits),
        letters_only(letters),
    ):
        same = said.replace(" ", "") == words.replace(" ", "")
        found.append(seed_tts(words, words if same else said))
    return min(found, key=lambda edits: edits.total)


def table(rows: list[Heard]) -> str:
    lines = ["kind | sentences | without an error | WER % | seconds"]
    for kind in (*dict.fromkeys(row.kind for row in rows), "all"):
        own = [row for row in rows if kind in (row.kind, "all")]
        whole = sum(row.errors == 0 for row in own)
        rate = 100 * sum(row.errors for row in own) / sum(row.words for row in own)
        seconds = sum(row.seconds for row in own) / len(own)
        lines.append(f"{kind} | {len(own)} | {whole} | {rate:.1f} | {seconds:.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
