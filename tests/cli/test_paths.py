import os

import pytest

from tadicodec.cli.paths import Job, pair
from tadicodec.errors import InputError

READS, WRITES = [".wav", ".flac"], [".tdc"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names):
    for name in names:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "x"):
            pass


def names(work):
    return [(str(job.source), str(job.target)) for job in work.jobs]


def test_file_to_file():
    touch("a.wav")
    work = pair("a.wav", "b.tdc", READS, WRITES, False)
    assert names(work) == [("a.wav", "b.tdc")] and not work.folder and not work.piped


def test_file_into_an_existing_folder():
    touch("a.wav", "out/other.tdc")
    assert names(pair("a.wav", "out", READS, WRITES, False)) == [("a.wav", "out/a.tdc")]


def test_folder_to_folder_keeps_the_tree():
    touch("in/b.WAV", "in/sub/a.flac", "in/notes.txt", "in/._b.wav")
    work = pair("in", "out", READS, WRITES, False)
    assert names(work) == [("in/b.WAV", "out/b.tdc"), ("in/sub/a.flac", "out/sub/a.tdc")] and work.folder
    assert not os.path.exists("out")


def test_an_output_folder_inside_the_input_is_not_read():
    touch("in/a.wav", "in/out/b.wav")
    assert names(pair("in", "in/out", READS, [".wav"], False)) == [("in/a.wav", "in/out/a.wav")]


def test_pipes(monkeypatch):
    touch("a.wav")
    monkeypatch.setattr("tadicodec.cli.paths.binary_input", lambda: None)
    assert pair("-", "b.tdc", READS, WRITES, False).jobs[0].source is None
    assert pair("a.wav", "-", READS, WRITES, False).piped
    assert Job(None, None).name == "standard input"


def test_overwrite():
    touch("a.wav", "b.tdc")
    assert pair("a.wav", "b.tdc", READS, WRITES, True).jobs


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("none.wav", "b.tdc", "does not exist"),
        ("a.wav", "b.mp4", "must end in .tdc"),
        ("a.wav", "b", "must end in .tdc"),
        ("a.wav", "old.tdc", "exists"),
        ("a.wav", "a.wav/b.tdc", "cannot write"),
        ("a.wav", "folder.tdc", "exists"),
        ("-", "folder.tdc", "is a folder"),
        ("in", "-", "output must be a folder"),
        ("in", "old.tdc", "output must be a folder"),
        ("in", "a.wav/b", "cannot write"),
        ("empty", "out", "holds no file"),
        ("twins", "out", "would both become"),
        ("in", "done", "exists"),
    ],
)
def test_mistakes(source, target, reason):
    touch("a.wav", "old.tdc", "folder.tdc/a.tdc", "in/a.wav", "twins/a.wav", "twins/a.flac", "done/a.tdc")
    os.mkdir("empty")
    before = sorted(str(path) for path, *_ in os.walk("."))
    with pytest.raises(InputError, match=reason):
        pair(source, target, READS, WRITES, False)
    assert sorted(str(path) for path, *_ in os.walk(".")) == before


def test_the_input_is_never_its_own_output():
    touch("a.wav")
    os.symlink("a.wav", "b.wav")
    for target in ("a.wav", "./a.wav", "b.wav"):
        with pytest.raises(InputError, match="input itself"):
            pair("a.wav", target, READS, [".wav"], True)
    os.makedirs("in")
    os.rename("a.wav", "in/a.wav")
    with pytest.raises(InputError, match="input itself"):
        pair("in", "in", READS, [".wav"], True)
