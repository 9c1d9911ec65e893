"""--system speak: engines in rows beside the reconstruction, the same every time, with their own times."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.eval.systems.system import SYSTEMS, Setup, load_system
from tadicodec.eval.utterances.cases import read_cases
from tadicodec.eval.utterances.recordings import Recordings
from tests.conftest import voice
from tests.tts.language import LETTERS
from tests.tts.test_synthesize import save_speaker


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory, codec: Codec) -> Setup:
    folder, rows = tmp_path_factory.mktemp("speak"), []
    for i in range(3):
        soundfile.write(folder / f"{i}.wav", voice(1.2, seed=i), 24000)
        row = {"id": str(i), "audio": f"{i}.wav", "text": f"a few words {LETTERS[i]}", "speaker": "s", "split": "test"}
        rows.append(json.dumps({**row, "seconds": 1.2, "sample_rate": 24000}))
    (folder / "manifest.jsonl").write_text("\n".join(rows))
    models = tuple(str(save_speaker(folder / engine, engine, codec)) for engine in ("ar", "masked"))
    chosen = read_cases(folder / "manifest.jsonl", ["test"], 1)
    return Setup(chosen, Recordings(), lambda: codec, conditions=models, steps=1, guidance=1.0)


def test_rows_and_renderings(setup: Setup) -> None:
    assert "speak" in SYSTEMS
    system = load_system("speak", setup)
    rows, (case,) = system.rows(), setup.chosen.cases
    assert [row.kind for row in rows] == ["system"] * 3 and all(row.prompted and row.seeded for row in rows)
    for row in rows[:2]:
        one, same, other = (row.render(case, seed) for seed in (0, 0, 1))
        assert len(one.wave) and len(one.wave) == 3840 * len(one.codes) and one.bits.codes == 14 * len(one.codes)
        assert (one.wave == same.wave).all() and one.codes == same.codes and one.codes != other.codes
        assert one.encode_seconds > 0 and one.decode_seconds > 0
    assert rows[2].name == "text and prompt" and json.dumps(system.settings())


def test_what_it_needs(setup: Setup, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model"):
        load_system("speak", replace(setup, conditions=("nowhere",)))
    soundfile.write(tmp_path / "a.wav", voice(1.0), 24000)
    (tmp_path / "a.txt").write_text("words")
    with pytest.raises(InputError, match="names no prompts"):
        load_system("speak", replace(setup, chosen=read_cases(tmp_path)))
