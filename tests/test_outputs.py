"""Writers: whole files or none, one line when the disk is full, one writer a folder."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tadicodec.errors import InputError
from tadicodec.outputs import only_writer, whole_file, write_bytes, writing

HOLD = """
import sys, time
from tadicodec.outputs import only_writer
with only_writer(sys.argv[1]):
    print("holding", flush=True)
    time.sleep(60)
"""


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    with whole_file(tmp_path / "new" / "a") as file:
        file.write(b"one")
    with pytest.raises(RuntimeError), whole_file(tmp_path / "new" / "a") as file:
        file.write(b"two")
        raise RuntimeError
    assert (tmp_path / "new" / "a").read_bytes() == b"one" and os.listdir(tmp_path / "new") == ["a"]


def test_failures_are_named_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(InputError, match=r"^cannot write x: No space left on device; make room$"),
        writing("x", "; make room"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(BrokenPipeError), writing("x"):
        raise BrokenPipeError

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="No space left"):
        write_bytes(tmp_path / "a", b"data")
    assert not os.listdir(tmp_path)


def test_one_writer_a_folder(tmp_path: Path) -> None:
    refused = pytest.raises(InputError, match="another process is writing there")
    with only_writer(tmp_path / "out"), refused, only_writer(tmp_path / "out"):
        pass
    with only_writer(tmp_path / "out"), only_writer(tmp_path / "other"), only_writer(tmp_path / "out", "share-1"):
        pass
    assert not os.listdir(tmp_path / "out")


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_a_killed_writer_holds_nobody_up(tmp_path: Path, end: str) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "holding\n"
    with pytest.raises(InputError, match="another process"), only_writer(tmp_path):
        pass
    getattr(holder, end)()
    holder.wait()
    with only_writer(tmp_path):
        pass
    assert not os.listdir(tmp_path)


def test_two_at_a_time_take_turns(tmp_path: Path) -> None:
    """Locks come and go in four processes: never are two of them inside."""
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom tadicodec.errors import InputError\n"
        "from tadicodec.outputs import only_writer\nmark, done = Path(sys.argv[1]) / 'mark', 0\n"
        "while done < 50:\n    try:\n        with only_writer(sys.argv[1]):\n"
        "            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))\n            mark.unlink()\n"
        "            done += 1\n"
        "    except InputError:\n        pass\n"
    )
    began = time.monotonic()
    runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(4)]
    assert [run.wait(timeout=120) for run in runs] == [0] * 4 and time.monotonic() > began
