import os
import subprocess
import sys
import time

import pytest

from tadicodec.cli import encode, main


def python(*arguments):
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


def test_help_names_every_command_and_imports_nothing_heavy():
    code = (
        "import sys\nfrom tadicodec.cli.main import main\nmain(sys.argv[1:])\n"
        "print([name for name in ('torch', 'numpy', 'soundfile', 'transformers') if name in sys.modules])"
    )
    for arguments in (["--help"], ["encode", "--help"], ["decode", "--help"], ["train", "--help"]):
        started = time.monotonic()
        result = python("-c", code, *arguments)
        assert result.returncode == 0 and result.stdout.endswith("[]\n")
        assert time.monotonic() - started < 2  # well under a second on an idle machine
    listing = python("-m", "tadicodec", "--help").stdout
    assert all(name in listing for name in main.COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["encode"],
        ["encode", "a.wav"],
        ["encode", "a.wav", "b.tdc", "c.tdc"],
        ["encode", "a.wav", "b.tdc", "--nonsense"],
        ["encode", "a.wav", "b.tdc", "--steps", "3"],
        ["encode", "a.wav", "b.tdc", "--batch-size", "0"],
        ["encode", "a.wav", "b.tdc", "--dtype", "int8"],
        ["decode", "a.tdc", "b.wav", "--steps", "0"],
        ["decode", "a.tdc", "b.wav", "--steps", "many"],
        ["decode", "a.tdc", "b.wav", "--guidance", "nan"],
        ["decode", "a.tdc", "b.wav", "--guidance", "-1"],
        ["decode", "a.tdc", "b.wav", "--seed", "-1"],
        ["decode", "a.tdc", "b.wav", "--seed", "1e3"],
        ["prepare", "manifest.jsonl"],
        ["train"],
        ["train", "no_such_recipe.yaml"],
        ["prepare", "no_such_manifest.jsonl", "out"],
        ["info", "none.wav"],
        ["info", "/no/such/model"],
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_two(cli, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = cli(*arguments)
    assert result.code == 2 and result.out == b""
    assert result.err.startswith("tadicodec: error: ") and result.err.count("\n") == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "tadicodec: stopped; every file that was written is whole"),
        (OSError(28, "No space left on device", "x.wav"), 2, "tadicodec: error: x.wav: No space left on device\n"),
        (MemoryError(), 2, "tadicodec: error: out of memory; try a smaller --batch-size or shorter recordings\n"),
        (RuntimeError("CUDA out of memory. Tried"), 2, "tadicodec: error: out of memory; try"),
    ],
)
def test_failures_without_traceback(cli, monkeypatch, error, code, line):
    def run(_):
        raise error

    monkeypatch.setattr(encode, "run", run)
    result = cli("encode", "a.wav", "b.tdc")
    assert result.code == code and result.err.startswith(line) and bool(result.err) == bool(line)


def test_a_bug_keeps_its_traceback(cli, monkeypatch):
    def run(_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(encode, "run", run)
    with pytest.raises(RuntimeError):
        cli("encode", "a.wav", "b.tdc")


def test_exit_code_of_the_process(tmp_path):
    result = python("-m", "tadicodec", "encode", str(tmp_path / "none.wav"), str(tmp_path / "a.tdc"))
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "does not exist" in result.stderr


@pytest.mark.parametrize("number", [2, 15])
@pytest.mark.parametrize("command", ["info", "tokenize"])
def test_signals_end_with_a_line_that_says_what_is_kept(number, command):
    code = "import os, signal, time; from tadicodec.cli import main, info, tokenize; "
    code += f"info.run = tokenize.run = lambda _: (os.kill(os.getpid(), {number}), time.sleep(60)); "
    code += "signal.signal(signal.SIGINT, signal.default_int_handler); "  # a background job starts with it ignored
    given = ["info"] if command == "info" else ["tokenize", "a", "b"]
    result = python("-c", code + f"exit(main.main({given}))")
    assert result.returncode == 130 and result.stderr.count("\n") == 1 and result.stdout == ""
    kept = "every file that was written is whole" if command == "info" else "the same command goes on"
    assert result.stderr.startswith("tadicodec: stopped; ") and kept in result.stderr


def test_standard_output_on_a_full_disk():
    command = f"{sys.executable} -m tadicodec --version > /dev/full"
    result = subprocess.run(command, shell=True, check=False, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 2 and result.stderr == "tadicodec: error: cannot go on: No space left on device\n"


def test_a_broken_pipe_is_silent(make_wave):
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "tadicodec", "info", str(make_wave())]
    result = subprocess.run(command, check=False, stdout=write_end, stderr=subprocess.PIPE, text=True)
    os.close(write_end)
    assert result.returncode == 141 and result.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "closed", "code", "reason"),
    [
        ("encode - {out} --model {model}", "<&-", 2, "standard input, which is closed"),
        ("encode {wave} - --model {model}", ">&-", 2, "standard output, which is closed"),
        ("encode {wave} {out} --model {model}", ">&-", 0, ""),
        ("info {wave}", "<&- >&-", 0, ""),
    ],
)
def test_closed_standard_streams(make_wave, tiny_model, tmp_path, arguments, closed, code, reason):
    names = arguments.format(wave=make_wave(), out=tmp_path / "out.tdc", model=tiny_model)
    command = f"{sys.executable} -m tadicodec {names} {closed}"
    result = subprocess.run(command, shell=True, check=False, stderr=subprocess.PIPE, text=True, timeout=120)
    assert result.returncode == code and result.stderr.count("\n") == bool(code) and reason in result.stderr
