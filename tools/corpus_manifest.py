"""The corpus's manifest: a line for each utterance whose audio exists and is not misread."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from corpus_plan import real_split
from corpus_studio import Item, Recording

MISREAD = 0.3  # word error rate above which a synthesised utterance is dropped
SYNTHETIC_LICENCE = "Apache-2.0"  # of hibari's and Kokoro's weights; the sentences are in the public domain


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
