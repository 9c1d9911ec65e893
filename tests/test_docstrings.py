"""Every public module, class and function of the package says what it is for."""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

PACKAGE = Path(__file__).parents[1] / "tadicodec"
MODULES = sorted(PACKAGE.rglob("*.py"))
SHORTEST = 12  # characters
OTHERS = {"RawIOBase": io.RawIOBase, "SoundFile": soundfile.SoundFile}  # classes above ours that describe themselves


Described = dict[str, str | None]


def documented(node: ast.Module | ast.ClassDef) -> Described:
    """Docstrings of the public functions and classes directly inside."""
    inside = [item for item in node.body if isinstance(item, ast.ClassDef | ast.FunctionDef)]
    return {item.name: ast.get_docstring(item) for item in inside if not item.name.startswith("_")}


def classes_of_the_package() -> dict[str, list[ast.ClassDef]]:
    """By name; two rooms may have a class of the same name."""
    found: dict[str, list[ast.ClassDef]] = {}
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(node)
    return found


CLASSES = classes_of_the_package()


def inherited(node: ast.ClassDef) -> set[str]:
    """Methods that a class above this one describes."""
    above = [found for base in node.bases if isinstance(base, ast.Name) for found in CLASSES.get(base.id, ())]
    known = {name for base in node.bases for name in dir(OTHERS.get(getattr(base, "attr", ""), object))}
    for base in above:
        known |= inherited(base) | {name for name, text in documented(base).items() if text}
    return known


def undescribed(tree: ast.Module) -> Iterator[str]:
    """Names that lack a docstring: the module itself, its public functions and classes, and their public methods."""
    found = {"the module": ast.get_docstring(tree), **documented(tree)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            known = inherited(node)
            if "[" in (ast.get_docstring(node) or ""):
                known.add("forward")  # what goes in and comes out of a network may stand with its class
            found |= {f"{node.name}.{name}": text for name, text in documented(node).items() if name not in known}
    return (name for name, text in found.items() if text is None or len(text) < SHORTEST)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_what_is_public_is_described(path: Path) -> None:
    assert not list(undescribed(ast.parse(path.read_text(encoding="utf-8"))))
