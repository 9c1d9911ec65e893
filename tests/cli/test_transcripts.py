import pytest

from tadicodec.cli.transcripts import given_text, one_text, sidecar_text
from tadicodec.errors import InputError


def test_a_string_or_a_file(tmp_path):
    assert given_text(None) is None and given_text("") == "" and given_text(" as it is ") == " as it is "
    (tmp_path / "a.txt").write_bytes("\ufeffzwei\r\nZeilen für uns\n".encode())
    assert given_text(str(tmp_path / "a.txt")) == "zwei Zeilen für uns"


def test_sidecar(tmp_path):
    assert sidecar_text(tmp_path / "a.wav") is None and sidecar_text(None) is None
    (tmp_path / "a.txt").write_text("hello\n")
    assert sidecar_text(tmp_path / "a.wav") == "hello"
    (tmp_path / "a.txt").write_text("")
    assert sidecar_text(tmp_path / "a.wav") == ""


def test_mistakes(tmp_path):
    (tmp_path / "latin.txt").write_bytes("für".encode("latin-1"))
    (tmp_path / "folder.txt").mkdir()
    for option, reason in (
        (str(tmp_path / "none.txt"), "does not exist"),
        (str(tmp_path / "latin.txt"), "not UTF-8"),
        (str(tmp_path / "folder.txt"), "cannot read"),
        ("\udcff", "not valid UTF-8"),
    ):
        with pytest.raises(InputError, match=reason):
            given_text(option)
    with pytest.raises(InputError, match="one file"):
        one_text("words", folder=True)
