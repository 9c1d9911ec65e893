import numpy as np
import pytest
import soundfile

from tadicodec.errors import InputError
from tadicodec.eval.systems.reconstruction import CONDITIONS
from tadicodec.eval.systems.system import Setup, load_system
from tadicodec.eval.utterances.cases import read_cases
from tadicodec.eval.utterances.recordings import Recordings
from tadicodec.tdc.saved_prompt import prompt_to_bytes


def setup(path, codec=None, **changes):
    return Setup(read_cases(path), Recordings(), lambda: codec, **changes)


def rows_of(system):
    return {row.name: row for row in system.rows()}


def test_reconstruct_offers_what_there_is(manifest, codec):
    system = load_system("reconstruct", setup(manifest, codec))
    expected = [CONDITIONS[name] for name in CONDITIONS if name != "own" or codec.transcribes]
    assert [row.name for row in system.rows()] == ["vocoder only", *expected]
    assert [row.name for row in system.rows() if row.prompted] == ["text and prompt"]
    few = load_system("reconstruct", setup(manifest, codec, conditions=("none", "text")))
    assert [row.name for row in few.rows()] == ["vocoder only", "no text", "reference text"]


def test_reconstruct_refuses_what_there_is_not(manifest, codec, tmp_path):
    with pytest.raises(InputError, match="no condition nonsense"):
        load_system("reconstruct", setup(manifest, codec, conditions=("nonsense",)))
    meta = tmp_path / "meta.lst"
    meta.write_text("x|words|p.wav|Say this.\n")
    with pytest.raises(InputError, match="no recordings to reconstruct"):
        load_system("reconstruct", setup(meta, codec))
    folder = tmp_path / "folder"
    folder.mkdir()
    soundfile.write(folder / "a.wav", np.ones(9000) * 0.1, 24000)
    (folder / "a.txt").write_text("word")
    with pytest.raises(InputError, match="names no prompts"):
        load_system("reconstruct", setup(folder, codec, conditions=("prompt",)))


def test_reconstruct_repeats_and_counts_bits(manifest, codec):
    given = setup(manifest, codec, steps=2)
    case = next(case for case in given.chosen.cases if case.id == "u5")  # 1.1 s: 7 tokens
    system = load_system("reconstruct", given)
    rows = rows_of(system)
    made = {name: row.render(case, 0) for name, row in rows.items()}
    again = {name: row.render(case, 0) for name, row in rows_of(load_system("reconstruct", given)).items()}
    for name, rendering in made.items():
        assert np.array_equal(rendering.wave, again[name].wave)
        assert len(rendering.wave) == 26400 and np.abs(rendering.wave).max() <= 1 and rendering.decode_seconds > 0
    assert not np.array_equal(made["reference text"].wave, rows["reference text"].render(case, 1).wave)
    assert made["vocoder only"].bits is None
    text, none, prompted = (made[name].bits for name in ("reference text", "no text", "text and prompt"))
    assert text.codes == none.codes == 7 * 14 and len(made["no text"].codes) == 7
    assert text.text_raw == 8 * len(case.text) and none.text_raw == text.prompt == 0
    prompt = system.encoder.prompt(case)
    assert prompted.prompt == 8 * len(prompt_to_bytes(prompt)) and prompt.text == case.prompt_text


def test_reconstruct_settings_name_the_weights(manifest, codec):
    found = load_system("reconstruct", setup(manifest, codec, steps=3, guidance=1.5)).settings()
    assert found["model"] == "tiny" and (found["steps"], found["guidance"]) == (3, 1.5) and found["weights"]


def test_own_transcripts_come_from_the_codec(manifest, codec, monkeypatch):
    monkeypatch.setattr(type(codec), "transcribe", lambda self, wave, sample_rate: "own words", raising=False)
    given = setup(manifest, codec, conditions=("own",), steps=1)
    row = rows_of(load_system("reconstruct", given))["own transcript"]
    assert row.render(given.chosen.cases[0], 0).bits.text_raw == 8 * len("own words")


def test_generated_waves(manifest, tmp_path):
    folder = tmp_path / "generated"
    with pytest.raises(InputError, match="--generated"):
        load_system("folder", setup(manifest))
    with pytest.raises(InputError, match="not a folder"):
        load_system("folder", setup(manifest, generated=str(folder)))
    folder.mkdir()
    with pytest.raises(InputError, match="none of the 6 waves"):
        load_system("folder", setup(manifest, generated=str(folder)))
    soundfile.write(folder / "u1.flac", np.ones(9000) * 0.1, 16000)
    given = setup(manifest, generated=str(folder))
    system = load_system("folder", given)
    (row,) = system.rows()
    cases = {case.id: case for case in given.chosen.cases}
    assert row.render(cases["u1"], 0).sample_rate == 16000 and row.render(cases["u1"], 0).bits is None
    with pytest.raises(InputError, match="u0.wav is missing"):
        row.render(cases["u0"], 0)
    soundfile.write(folder / "u1.flac", np.ones(9001) * 0.1, 16000)
    assert load_system("folder", given).settings() != system.settings()  # made again: another wave
