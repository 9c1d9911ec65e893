"""The core needs neither transformers nor accelerate nor the hub's package; what needs them says what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).parents[1]
ABSENT = ("transformers", "tokenizers", "accelerate", "huggingface_hub", "pyarrow", "datasets", "ray", "tensorboard")
BLOCK = f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r})); "
COMMAND = BLOCK + "from tadicodec.cli.main import main; sys.exit(main())"
SAMPLE = ROOT / "samples" / "austen_5.flac"


def run(code: str, *arguments: object) -> subprocess.CompletedProcess:
    """Python in which these packages cannot be imported."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_the_codec_commands(tmp_path: Path) -> None:
    for arguments in (
        ("encode", SAMPLE, tmp_path / "a.tdc", "--text", "He might even have been made amiable himself."),
        ("decode", tmp_path / "a.tdc", tmp_path / "a.wav"),
        ("reconstruct", SAMPLE, tmp_path / "b.flac"),
        ("info",),
        ("info", tmp_path / "a.tdc"),
        ("speak", "Good morning.", tmp_path / "c.wav", "--prompt", SAMPLE),  # the bundled masked model
    ):
        done = run(COMMAND, *arguments)
        assert done.returncode == 0, done.stderr
    seconds = soundfile.info(SAMPLE).duration
    for name in ("a.wav", "b.flac"):
        assert soundfile.info(tmp_path / name).duration == pytest.approx(seconds, abs=1e-3)


def test_python_streams() -> None:
    code = f"""
import soundfile
from tadicodec import Codec
codec = Codec.from_pretrained()
speech = codec.encode(*soundfile.read({str(SAMPLE)!r}))
print(sum(len(piece) for piece in codec.stream(speech)) == int(speech.samples[0]))
"""
    done = run(BLOCK + code)
    assert done.stdout == "True\n", done.stderr


@pytest.mark.parametrize(
    "arguments, extra",
    [
        (("encode", SAMPLE, "out.tdc", "--model", "amphion/TaDiCodec"), "hub"),
        (("encode", SAMPLE, "out.tdc", "--asr", "openai/whisper-base"), "tts"),
        (("train", ROOT / "recipes" / "tts_ar" / "default.yaml"), "train"),
        (("tokenize", ROOT / "samples", "out"), "train"),
        (("tokenize", "hf:someone/speech", "out"), "train"),
    ],
)
def test_what_is_missing_is_named_in_one_line(arguments, extra: str, tmp_path: Path) -> None:
    done = run(f"import os; os.chdir({str(tmp_path)!r}); " + COMMAND, *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and f'pip install "tadicodec[{extra}]"' in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


def test_python_says_so_too() -> None:
    code = "\nfrom tadicodec import Codec\nCodec.from_pretrained('amphion/TaDiCodec')"
    done = run(BLOCK + code)
    assert "InputError: fetching amphion/TaDiCodec needs huggingface_hub" in done.stderr
    done = run(BLOCK + "import tadicodec.hf")
    assert "InputError: tadicodec.hf needs transformers" in done.stderr
