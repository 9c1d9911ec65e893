from dataclasses import replace

import pytest

from tadicodec.errors import InputError
from tadicodec.eval.judges.wer import Edits
from tadicodec.eval.results import Result, open_results
from tadicodec.eval.utterances.bitrate import Bits

SETTINGS = {"asr": "a", "steps": 4}
RESULT = Result("row", "u|1\n", 0, "tëxt", Edits(1, 2, 3, 9), Edits(0, 0, 0, 8), bits=Bits(1), codes=(3, 4))


def keys(out, settings=SETTINGS, overwrite=False):
    with open_results(out, settings, overwrite) as file:
        return list(file.results)


def write(out, *results):
    with open_results(out, SETTINGS, overwrite=False) as file:
        for result in results:
            file.append(result)


def test_what_is_written_is_read(tmp_path):
    failed = replace(RESULT, id="u2", failure="why", bits=None, codes=())
    write(tmp_path / "out", RESULT, failed)
    with open_results(tmp_path / "out", SETTINGS, overwrite=False) as file:
        assert list(file.results.values()) == [RESULT, failed]


def test_half_a_line_is_cut_off_and_written_again(tmp_path):
    write(tmp_path, RESULT, replace(RESULT, id="u2"))
    path = tmp_path / "results.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert keys(tmp_path) == [RESULT.key]
    write(tmp_path, replace(RESULT, id="u2"))
    assert path.read_bytes() == whole


def test_other_settings_are_refused_in_one_line(tmp_path):
    write(tmp_path, RESULT)
    with pytest.raises(InputError, match="steps 4, not 8") as caught:
        keys(tmp_path, SETTINGS | {"steps": 8})
    assert "--overwrite" in str(caught.value) and "\n" not in str(caught.value)
    assert keys(tmp_path) == [RESULT.key]
    assert keys(tmp_path, SETTINGS | {"steps": 8}, overwrite=True) == []


def test_overwrite_removes_only_what_is_its_own(tmp_path):
    write(tmp_path, RESULT)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "report.md").write_text("old")
    assert keys(tmp_path, overwrite=True) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "results.jsonl", "settings.json"]


def test_folders_of_others_files_and_damage(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").write_text("")
    with pytest.raises(InputError, match="other files"):
        keys(tmp_path / "theirs", overwrite=True)
    with pytest.raises(InputError, match="not a folder"):
        keys(tmp_path / "theirs" / "thesis.txt")
    write(tmp_path / "out", RESULT)
    (tmp_path / "out" / "results.jsonl").write_text('{"row": 1}\n')
    with pytest.raises(InputError, match="line 1 is no result"):
        keys(tmp_path / "out")
    (tmp_path / "out" / "settings.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        keys(tmp_path / "out")


def test_two_writers_do_not_meet(tmp_path):
    with (
        open_results(tmp_path, SETTINGS, overwrite=False),
        pytest.raises(InputError, match="another evaluation"),
        open_results(tmp_path, SETTINGS, overwrite=False),
    ):
        pass
    assert keys(tmp_path) == []
