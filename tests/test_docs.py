"""What the README and the pages under docs/ say is true: their Python runs, their commands and paths exist, the walks
through the code are those that a file takes.

A ```console block after the line `<!-- test: run -->` is run; others are only parsed. A ```python block runs unless the
line before it is `<!-- test: skip, REASON -->`.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import soundfile
import yaml

import tadicodec
from tadicodec.cli.main import build_parser, main
from tadicodec.codec import Codec
from tadicodec.train.recipe_file import read_recipe
from tests.test_layers import FLOORS

ROOT = Path(__file__).parents[1]
PACKAGE = Path(tadicodec.__file__).parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LISTS = [*PAGES, ROOT / "tools" / "README.md", *sorted((ROOT / "recipes").rglob("*.md"))]
BLOCK = re.compile(r"^(?:<!-- test: (?P<mark>.+?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```", re.M | re.S)
INSIDE = "recipes|tools|tests|tadicodec|docs|samples"


class Block(NamedTuple):
    mark: str  # "", "run" or "skip, REASON"
    language: str
    text: str


def blocks(page: Path, *languages: str) -> list[Block]:
    found = [Block(m["mark"] or "", m["language"], m["text"]) for m in BLOCK.finditer(page.read_text(encoding="utf-8"))]
    return [block for block in found if block.language in languages]


def commands(text: str) -> Iterator[list[str]]:
    """The words of every command of a console block: pipes apart, comments and redirections left out."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|<>&;")
        lexer.whitespace_split, lexer.commenters = True, "#"
        command: list[str] = []
        words = list(lexer) if line.startswith("$ ") else []
        for word in words:
            if set(word) <= set("|<>&;"):
                yield command
                command = []
            else:
                command.append(word)
        yield command


def commands_of(page: Path, program: str) -> list[list[str]]:
    found = [c for block in blocks(page, "console", "bash") for c in commands(block.text)]
    return [command[1:] for command in found if command[:1] == [program]]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the reader's own, with the samples in it."""
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_python_runs(page: Path, workplace: Path) -> None:
    names: dict[str, object] = {}  # later blocks of a page go on where earlier ones ended
    for block in blocks(page, "python"):
        if not block.mark.startswith("skip"):
            exec(compile(block.text, name_of(page), "exec"), names)


def test_python_of_the_readme_makes_what_it_says(workplace: Path) -> None:
    for block in blocks(ROOT / "README.md", "python"):
        exec(block.text, {})
    original, rate = soundfile.read("samples/austen_3.flac")
    assert soundfile.info("austen.wav").frames == -(-len(original) * 24000 // rate)
    assert 0.3 < soundfile.info("morning.wav").duration < 3


@pytest.mark.parametrize("page", [p for p in PAGES if any(b.mark == "run" for b in blocks(p, "console"))], ids=name_of)
def test_console_runs(page: Path, workplace: Path, capsys: pytest.CaptureFixture) -> None:
    for block in blocks(page, "console"):
        for command in commands(block.text) if block.mark == "run" else ():
            if command:
                assert command[0] == "tadicodec", command
                assert main(command[1:]) == 0, (command, capsys.readouterr().err)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_exist(page: Path) -> None:
    """Every command and option is one that the program has; every recipe and every key of it exists."""
    for command in commands_of(page, "tadicodec"):
        parsed = build_parser().parse_args(command)
        if parsed.command == "train":
            read_recipe(ROOT / parsed.recipe, parsed.overrides)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_scripts_and_extras_exist(page: Path) -> None:
    for program in ("python", "python3"):
        for command in commands_of(page, program):
            assert command[0] == "-m" or (ROOT / command[0]).is_file(), command
    extras = extras_of_the_package()
    for command in commands_of(page, "pip"):
        for word in command:
            if found := re.search(r"\[(.+)\]$", word):
                assert set(found[1].split(",")) <= extras, command


def test_extras_are_listed() -> None:
    """Those that are for nobody but developers of a baseline are not."""
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"), re.M)
    assert extras_of_the_package() - {"torchaudio", "encodec"} <= set(listed)


def extras_of_the_package() -> set[str]:
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_json_is_json(page: Path) -> None:
    for block in blocks(page, "json"):
        for line in block.text.splitlines():
            json.loads(line)


@pytest.mark.parametrize("page", LISTS, ids=name_of)
def test_links_and_paths_exist(page: Path) -> None:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", text):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), target
    for path in re.findall(rf"`((?:{INSIDE})/[\w./-]*)`", text):
        if "NAME" not in path:
            assert (ROOT / path).exists(), path


def test_every_tool_is_listed() -> None:
    listed = (ROOT / "tools" / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "tools").rglob("*.py"):
        assert f"`{path.relative_to(ROOT / 'tools').as_posix()}`" in listed or f"`{path.name}`" in listed, path


def test_every_page_can_be_reached() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    listed = re.findall(r"[\w/]+\.md", json.dumps(nav))
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_floors_are_those_of_the_test() -> None:
    drawn = re.findall(r"^    (\w[\w. ]*)$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M)
    assert [set(line.split()) for line in reversed(drawn)] == [set(floor) for floor in FLOORS[:-1]]


# the architecture page ----------------------------------------------------------------------------------------------

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def walk(name: str) -> list[str]:
    """Modules of the walk with this name, in order."""
    (line,) = re.findall(rf"^\*\*{name}\*\*: (.*?)\n\n", ARCHITECTURE, re.M | re.S)
    return re.findall(r"`([\w/]+)`", line)


def test_walks_name_modules() -> None:
    for name in ("encode", "decode", "speak", "train", "quantize"):
        for module in walk(name):
            assert (PACKAGE / f"{module}.py").is_file(), (name, module)


def test_the_map_is_complete() -> None:
    (drawn,) = [block.text for block in blocks(ROOT / "docs" / "architecture.md", "") if "tadicodec/\n" in block.text]
    entries = re.findall(r"^  (\w+(?:\.py|/))", drawn, re.M)
    inside = {f"{p.name}/" for p in PACKAGE.iterdir() if p.is_dir() and not p.name.startswith("__")}
    inside |= {path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")}
    assert set(entries) == inside
    assert all((ROOT / name).is_dir() for name in re.findall(r"^(\w+)/", drawn, re.M))


@pytest.mark.parametrize("name", ["encode", "decode"])
def test_files_walk_as_the_page_says(name: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Codec.from_pretrained()  # loading is not part of the walk
    for command in ("encode", "decode"):
        monkeypatch.setattr(f"tadicodec.cli.{command}.load_codec", lambda args: codec)
    command = [name, "samples/austen_2.flac", "a.tdc"]
    if name == "decode":
        assert main(["encode", *command[1:]]) == 0
        command = [name, "a.tdc", "a.wav"]
    entered = modules_entered(command)
    places = [entered.index(module) for module in walk(name)]
    assert places == sorted(places), entered


def modules_entered(command: list[str]) -> list[str]:
    """Modules of the package in the order in which running a command first enters one of their functions."""
    seen: dict[str, None] = {}

    def notice(frame: object, event: str, _: object) -> None:
        code = frame.f_code  # type: ignore[attr-defined]
        if event == "call" and code.co_name not in ("<module>", "add_arguments"):
            path = Path(code.co_filename)
            if path.is_relative_to(PACKAGE):
                seen[path.relative_to(PACKAGE).with_suffix("").as_posix()] = None

    sys.setprofile(notice)
    try:
        assert main(command) == 0
    finally:
        sys.setprofile(None)
    return list(seen)
