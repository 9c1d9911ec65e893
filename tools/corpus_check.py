"""The corpus's listening test: Whisper base reads synthesised utterances, its errors go to OUT/asr.jsonl."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tadicodec.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from tadicodec.eval.judges.transcribe import Transcriber


def spoken_words(text: str) -> str:
    """Lower-case, punctuation but apostrophes deleted: "Well-known" -> "wellknown", as Seed-TTS-eval does."""
    kept = "".join(c for c in text.lower().replace("\u2019", "'") if c.isalnum() or c.isspace() or c == "'")
    return " ".join(kept.split())


def word_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Edits (substitutions, deletions, insertions) and words of the reference, both texts normalised."""
    import jiwer

    said, heard = spoken_words(reference), spoken_words(hypothesis)
    if not said:
        return len(heard.split()), 0
    found = jiwer.process_words(said, heard)
    return found.substitutions + found.deletions + found.insertions, len(said.split())


def unread(out: Path, lines: Sequence[dict], splits: Collection[str]) -> list[dict]:
    """Synthesised utterances of these splits that OUT/asr.jsonl does not know."""
    path = out / "asr.jsonl"
    known = (
        {json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()} if path.exists() else set()
    )
    return [
        line
        for line in lines
        if line["split"] in splits and line["source"].startswith(("hibari", "kokoro")) and line["id"] not in known
    ]


def check(out: Path, lines: Sequence[dict], splits: Collection[str], cache: Path) -> None:
    """Transcribe what OUT/asr.jsonl does not know; append id, hypothesis, word error rate. Resumable."""
    import soundfile
    from speech_models import to_16k, whisper_folder

    from tadicodec.eval.judges.panel import load_transcriber

    todo = unread(out, lines, splits)
    print(f"{len(todo)} utterances to read", file=sys.stderr, flush=True)
    whisper = load_transcriber(str(whisper_folder(cache)), threads=1) if todo else None
    with (out / "asr.jsonl").open("a", encoding="utf-8") as record:
        for line in todo:
            wave, rate = soundfile.read(out / line["audio"], dtype="float32")
            record.write(json.dumps(read(whisper, line, to_16k(wave, rate)), ensure_ascii=False) + "\n")
            record.flush()


def read(whisper: Transcriber, line: dict, wave16k: np.ndarray) -> dict:
    """One line of asr.jsonl."""
    try:
        hypothesis = whisper(wave16k)
    except InputError:  # nothing to hear: every word is missing
        hypothesis = ""
    edits, words = word_errors(line["text"], hypothesis)
    return {"id": line["id"], "hypothesis": hypothesis, "wer": round(edits / max(words, 1), 4)}
