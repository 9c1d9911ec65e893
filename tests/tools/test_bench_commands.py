"""The benchmark of whole commands runs them; its figures are nobody's business here."""

from __future__ import annotations

import json
from pathlib import Path

import commands
import soundfile

SAMPLE = Path(__file__).parents[2] / "samples" / "austen_2.flac"


def test_every_command(tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    given = ["--speech", str(SAMPLE), "--minutes", "0.05", "--repeats", "1", "--json", str(out)]
    assert commands.main(given) == 0
    rows = json.loads(out.read_text())
    assert len(rows) == 4 and all(row["seconds"] > 0 and row["memory"] > 1 for row in rows)


def test_repeats_to_the_sample(tmp_path: Path) -> None:
    commands.repeated(SAMPLE, 1.5, tmp_path / "long.wav")
    info, once = soundfile.info(tmp_path / "long.wav"), soundfile.read(SAMPLE)[0]
    assert info.frames == 90 * info.samplerate
    wave, _ = soundfile.read(tmp_path / "long.wav")
    assert abs(wave[len(once) * 2 : len(once) * 3] - once).max() < 1e-3


def test_what_is_no_recording(tmp_path: Path) -> None:
    assert commands.main(["--speech", str(tmp_path / "none.wav")]) == 2
