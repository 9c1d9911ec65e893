"""Who may import whom: audio, text and model know nothing above them; nobody imports the command line."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tadicodec"
FOUNDATION = {"errors", "config", "speech", "outputs", "pretrained", "document", "arguments", "extras"}
ALLOWED = {
    "audio": {"audio"} | FOUNDATION,
    "text": {"text"} | FOUNDATION,
    "model": {"model"} | FOUNDATION,
    "data": {"data", "audio", "text", "model", "codec", "checkpoint", "tts", "pipeline"} | FOUNDATION,
    "train": {"train", "data", "audio", "text", "model", "codec", "checkpoint", "tts"} | FOUNDATION,
}
OPTIONAL = {"torchaudio", "encodec", "librosa", "jiwer", "tensorboard", "pyarrow"}
OPTIONAL |= {"transformers", "huggingface_hub", "datasets", "ray", "lhotse", "onnx", "onnxruntime"}
TRAINING_ONLY = {"torch", "numpy", "safetensors", "accelerate", "yaml", "tqdm", "tadicodec"}


def imports(path: Path, top_only: bool = False) -> set[str]:
    """Dotted names a file imports; with top_only, those outside functions."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_only else ast.walk(tree)
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("layer", ALLOWED)
def test_layers_look_down_only(layer: str) -> None:
    for path in (PACKAGE / layer).glob("*.py"):
        own = {name.split(".")[1] for name in imports(path) if name.startswith("tadicodec.")}
        assert own <= ALLOWED[layer], path


def test_nobody_imports_the_command_line() -> None:
    for path in PACKAGE.rglob("*.py"):
        if "cli" not in path.parts and path.name != "__main__.py":
            assert not any(name.startswith("tadicodec.cli") for name in imports(path)), path


def test_optional_packages_are_not_imported_at_the_top() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name != "hf":  # which exists for transformers
            assert not {name.split(".")[0] for name in imports(path, top_only=True)} & OPTIONAL, path


def test_model_and_training_need_little() -> None:
    """They run where no audio library is installed."""
    standard = __import__("sys").stdlib_module_names
    for layer in ("model", "train"):
        for path in (PACKAGE / layer).glob("*.py"):
            roots = {name.split(".")[0] for name in imports(path, top_only=True)}
            assert roots <= TRAINING_ONLY | set(standard), path
