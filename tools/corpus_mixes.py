"""Mixed Kokoro voices: which pairs are new speakers, remembered in OUT/mixes.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from corpus_manifest import write_text
from corpus_plan import MIXES, Voice, mix_candidates
from corpus_studio import Studio

ALIKE = 0.8  # a mix whose cosine to a parent reaches this is no new speaker


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
