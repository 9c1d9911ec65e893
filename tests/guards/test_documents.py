"""JSON and YAML as they are taken: everything else either language can make is refused in one line."""

from __future__ import annotations

import pytest

from tadicodec.errors import InputError
from tadicodec.guards.documents import parse_json, parse_yaml, read_config_file


@pytest.mark.parametrize("text", ["{", "NaN", "[Infinity]", '{"a": 1, "a": 2}', "[" * 100_000, "", "9" * 5000])
def test_json(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_json(text)
    assert "\n" not in str(refused.value)
    assert parse_json('{"a": [1, null, true, 1e3], "a": [1, null, true, 1e3]}') == {"a": [1, None, True, 1000.0]}


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[", "a: b: c", "!!python/object:os.system x", "!!binary aGk=", "!!timestamp 2024-99-99", "!!int x"),
        *("1: a", "null: a", "? [a]\n: b", "!!set {a}", "!!omap [a: 1]", "a: &x [*x]", "99999999999999999999999"),
        *("&a [a, a]: b", "\0", "*none", "[" * 50_000, "x: !!float y", "!!null x\n--- y"),
        "a: &a [1,1,1,1,1,1,1,1,1]\n"
        + "".join(f"{c}: &{c} [{', '.join(['*' + p] * 9)}]\n" for p, c in zip("abcdef", "bcdefg")),
    ],
)
def test_yaml(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_yaml(text)
    assert "\n" not in str(refused.value)


def test_yaml_keeps_text_what_means_nothing() -> None:
    assert parse_yaml("a: 2024-99-99\nb: 2024-01-02\nc: 2024-01-02 10:00:00") == {
        "a": "2024-99-99",
        "b": "2024-01-02",
        "c": "2024-01-02 10:00:00",
    }
    assert parse_yaml("a: &x {b: 1}\nc: *x") == {"a": {"b": 1}, "c": {"b": 1}}
    assert parse_yaml("a: 1e-3\nb: [1, 2.5, yes, ~, 'no']") == {"a": "1e-3", "b": [1, 2.5, True, None, "no"]}


@pytest.mark.parametrize("data", [b"\xff", b"[]", b"{", b'{"a": NaN}', b'{"a": 1, "a": 2}'])
def test_configurations(tmp_path, data: bytes) -> None:
    (tmp_path / "config.json").write_bytes(data)
    with pytest.raises(InputError, match=r"config\.json"):
        read_config_file(tmp_path / "config.json")
    with pytest.raises(InputError, match="every model has one"):
        read_config_file(tmp_path / "none.json")
