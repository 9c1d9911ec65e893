"""Code that lies in a model folder never runs, whoever answers "y"; every loader of transformers goes one way."""

from __future__ import annotations

import ast
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tadicodec.errors import InputError
from tadicodec.guards.pretrained import load_network, load_pretrained
from tadicodec.tts.engines import load_engine
from tests.tts.published_layout import write_published

PACKAGE = Path(__file__).parents[2]
OWN = {"Codec", "Speaker", "cls"}  # classes of this package
LOADERS = {"from_pretrained", "from_config", "load_adapter", "pipeline", "get_class_from_dynamic_module"}
DOORS = {
    "tadicodec/guards/pretrained.py": {"from_pretrained", "from_config"},
    "tadicodec/tts/autoregressive.py": {"from_config"},
}
YES = b"y\n" * 50


def set_trap(folder: Path, file: str, key: str = "AutoTokenizer") -> Path:
    """A configuration whose class is a Python file of the folder; running it leaves a mark, whose path is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / "executed"
    (folder / "evil.py").write_text(
        f"open({str(mark)!r}, 'w').write('gotcha')\n"
        "from transformers import PreTrainedTokenizer, PretrainedConfig, PreTrainedModel\n"
        "class Evil(PreTrainedTokenizer): pass\n"
    )
    path = folder / file
    document = json.loads(path.read_text()) if path.is_file() else {}
    names = ["evil.Evil", None] if key == "AutoTokenizer" else "evil.Evil"
    path.write_text(json.dumps({**document, "tokenizer_class": "Evil", "auto_map": {key: names}}))
    return mark


@pytest.fixture
def trapped_codec(tiny_model: Path, tmp_path: Path) -> Path:
    """A codec whose text tokenizer asks for its own code."""
    folder = tmp_path / "codec"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"text_tokenizer": "folder"}))
    set_trap(folder / "text_tokenizer", "tokenizer_config.json")
    return folder


@pytest.mark.parametrize("command", ["encode", "decode", "speak"])
def test_piped_answers_do_not_run_code(trapped_codec: Path, tmp_path: Path, command: str) -> None:
    given = {
        "encode": ["encode", "samples/austen_1.flac", str(tmp_path / "o.tdc"), "--no-text"],
        "decode": ["decode", str(tmp_path / "i.tdc"), str(tmp_path / "o.wav")],
        "speak": ["speak", "Hello.", str(tmp_path / "o.wav"), "--prompt", "samples/austen_1.flac"],
    }[command]
    (tmp_path / "i.tdc").write_bytes(b"")
    call = [sys.executable, "-m", "tadicodec", *given, "--model", str(trapped_codec)]
    done = subprocess.run(call, input=YES, capture_output=True, cwd=PACKAGE)
    assert not (trapped_codec / "text_tokenizer" / "executed").exists()
    assert done.returncode == 2 and done.stdout == b"" and done.stderr.count(b"\n") == 1, done.stderr
    assert b"evil.py to be run, which is never done" in done.stderr


@pytest.mark.parametrize(
    "file, key",
    [
        ("tokenizer_config.json", "AutoTokenizer"),
        ("config.json", "AutoModelForCausalLM"),
        ("config.json", "AutoConfig"),
        ("config.json", "AutoTokenizer"),
    ],
)
def test_speech_language_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, key: str) -> None:
    folder = write_published(tmp_path / "lm")
    mark = set_trap(folder, file, key)
    monkeypatch.setattr(sys, "stdin", io.StringIO(YES.decode()))
    with pytest.raises(InputError, match="evil.py to be run, which is never done"):
        load_engine(folder)
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["WhisperProcessor", "AutoFeatureExtractor", "AutoTokenizer"])
def test_judges(tmp_path: Path, kind: str) -> None:
    for file in ("preprocessor_config.json", "processor_config.json", "tokenizer_config.json", "config.json"):
        mark = set_trap(tmp_path / file, file, kind)
        with pytest.raises(InputError, match="never done"):
            load_pretrained(kind, tmp_path / file)
        assert not mark.exists()


def test_code_of_another_repository_is_not_fetched(tmp_path: Path) -> None:
    """Its files are not in the folder: transformers' own class is used where there is one, else it is refused."""
    folder = write_published(tmp_path / "lm", kind="phi3", tied=False)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "someone/evil--modeling.Evil", "AutoConfig": "configuration_phi3.Phi"}
    (folder / "config.json").write_text(json.dumps(config))
    network, found = load_network("AutoModelForCausalLM", folder)
    assert type(network).__module__.startswith("transformers.models.phi3") and not found["missing_keys"]
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "evil"}))
    with pytest.raises(InputError, match="needs Python code of its own") as refused:
        load_network("AutoModelForCausalLM", folder)
    assert "\n" not in str(refused.value)


def test_weights_are_never_pickles(tmp_path: Path) -> None:
    folder = write_published(tmp_path / "lm")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_network("AutoModelForCausalLM", folder)


@pytest.mark.parametrize("path", [*sorted((PACKAGE / "tadicodec").rglob("*.py")), *sorted(PACKAGE.glob("tools/*.py"))])
def test_no_other_way_to_load(path: Path) -> None:
    name = path.relative_to(PACKAGE).as_posix()
    for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
        called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        owner = call.func.value.id if isinstance(getattr(call.func, "value", None), ast.Name) else ""
        trusting = [
            word.arg for word in call.keywords if word.arg == "trust_remote_code" and word.value.value is not False
        ]
        assert not trusting, f"{name}, line {call.lineno}"
        if called in LOADERS and owner not in OWN:
            assert called in DOORS.get(name, ()), f"{name}, line {call.lineno}: use tadicodec.guards.pretrained"
            assert any(word.arg == "trust_remote_code" for word in call.keywords), f"{name}, line {call.lineno}"
