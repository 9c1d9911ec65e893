"""Who may import whom. Imports made only for types and those within functions count like all others."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tadicodec"
# From the ground up: a room imports from floors below its own, and within itself without circles.
FLOORS = (
    ("errors",),
    ("guards",),
    ("outputs",),
    ("config",),
    ("audio", "text", "model", "integers"),
    ("speech", "checkpoint", "entropy"),
    ("tdc", "pipeline"),
    ("runtime",),
    ("codec",),
    ("tts", "hf"),
    ("data",),
    ("train", "eval.utterances"),
    ("quant", "eval.judges", "eval.systems"),
    ("eval",),
    ("eval.report",),
    ("serve", "demo"),
    ("cli",),
    ("__main__",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
OPTIONAL = {"av", "matplotlib", "torchaudio", "encodec", "librosa", "jiwer", "tensorboard", "pyarrow"}
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


MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
    if path != PACKAGE / "__init__.py"
}


def own_imports(path: Path) -> set[str]:
    """The package's modules that a file imports, by their names below it."""
    found = set()
    for name in imports(path):
        parts = name.split(".")[1:] if name.startswith("tadicodec.") else []
        while parts and ".".join(parts) not in MODULES:
            parts.pop()
        found.add(".".join(parts))
    return found - {""}


def room(module: str) -> str:
    """The folder of a module that has a floor of its own, or the module itself."""
    while module not in FLOOR and "." in module:
        module = module.rpartition(".")[0]
    return module


def test_every_room_has_a_floor() -> None:
    assert {room(module) for module in MODULES} == set(FLOOR)


@pytest.mark.parametrize("name", FLOOR)
def test_rooms_import_from_floors_below_only(name: str) -> None:
    for module, path in MODULES.items():
        if room(module) == name:
            upward = {other for other in own_imports(path) if room(other) != name and FLOOR[room(other)] >= FLOOR[name]}
            assert not upward, f"{module} imports {', '.join(sorted(upward))}"


def test_no_circles() -> None:
    try:
        TopologicalSorter({module: own_imports(path) - {module} for module, path in MODULES.items()}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


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
