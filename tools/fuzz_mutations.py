"""Ways to damage a file: its bytes, the values of its document, the types of its tensors. All from one generator."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Change = Callable[[random.Random], Any]
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 7, 255, 10**9, 2**31, 2**63, 2**70, -(2**63), 10**400),
    *(0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"), -float("inf")),
    *("", "x", "0", "1e3", "\0", "\x1b[31mred", "\ufeff", "a\nb", "..", "/", "\ud800", "x" * 10_000, "é" * 300),
    *([], [1], [None], {}, {"a": 1}, [[]], {"": {}}),
)


def bytes_of(data: bytes, rng: random.Random) -> bytes:
    """The bytes with one to four places changed, cut, repeated, moved or added."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place, length = rng.randrange(len(changed) + 1), rng.choice((1, 1, 2, 4, 8, 64))
        kind = rng.randrange(7)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[place : place + length] = rng.randbytes(length)
        elif kind == 2:
            changed[place : place + length] = rng.choice((b"\xff", b"\0", b"\x7f", b"\x80")) * length
        elif kind == 3:
            del changed[place : place + length]
        elif kind == 4:
            changed[place:place] = rng.randbytes(length)
        elif kind == 5:
            del changed[place:]
        else:
            start = rng.randrange(len(changed) + 1)
            changed[place : place + length] = changed[start : start + length]
    return bytes(changed)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Where values stand in a document, itself included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def document_of(document: Any, rng: random.Random) -> str:
    """The JSON text of a document with a value odd, missing, doubled, renamed or moved; sometimes with two changes."""
    changed = json.loads(json.dumps(document))
    for _ in range(rng.choice((1, 1, 1, 2))):
        changed = changed_once(changed, rng)
    text = json.dumps(changed, ensure_ascii=rng.random() < 0.9)
    kind = rng.randrange(12)
    if kind == 0 and "{" in text:  # a key that stands there twice, with another value
        key = rng.choice([str(place[-1]) for place in places(changed) if place] or ["a"])
        text = text.replace("{", "{" + f"{json.dumps(key)}: {json.dumps(odd(rng))}, ", 1)
    elif kind == 1:
        text = bytes_of(text.encode("utf-8", "surrogatepass"), rng).decode("utf-8", "surrogateescape")
    elif kind == 2:
        text = "[" * 5000 + "]" * 5000 if rng.random() < 0.1 else "[" * rng.choice((10, 100_000)) + text
    return text


def changed_once(document: Any, rng: random.Random) -> Any:
    path = rng.choice(places(document))
    if not path:
        return odd(rng) if rng.random() < 0.2 else document
    *parents, last = path
    holder = document
    for key in parents:
        holder = holder[key]
    kind = rng.randrange(5)
    if kind == 0:
        del holder[last]
    elif kind == 1 and isinstance(holder, dict):
        holder[rng.choice(("x", "", "\0", last + "s", last.upper()))] = holder.pop(last)
    elif kind == 2:
        other = rng.choice(places(document))
        value = document
        for key in other:
            value = value[key]
        holder[last] = json.loads(json.dumps(value))
    else:
        holder[last] = odd(rng)
    return document


def odd(rng: random.Random) -> Any:
    return rng.choice(ODD) if rng.random() < 0.8 else rng.randrange(-(2**40), 2**40)


TYPES = (
    *(torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int32, torch.int64),
    *(torch.bool, torch.complex64, torch.float8_e4m3fn),
)


def tensors_of(tensors: dict[str, Tensor], rng: random.Random) -> dict[str, Tensor]:
    """Tensors with one of another type, shape or value, missing, renamed, or with a stranger beside it."""
    changed = dict(tensors)
    name = rng.choice(sorted(changed))
    value, kind = changed[name], rng.randrange(7)
    if kind == 0:
        changed[name] = value.to(rng.choice(TYPES))
    elif kind == 1:
        del changed[name]
    elif kind == 2:
        changed[rng.choice(("x", "", name + ".weight", "\0", "é"))] = changed.pop(name).clone()
    elif kind == 3:
        changed[name] = rng.choice((value.flatten(), value[None], value[:0], value.reshape(-1)[:1].clone(), value[:-1]))
    elif kind == 4 and value.is_floating_point():
        changed[name] = spoiled(value, rng.choice((float("nan"), float("inf"), 1e38)), rng)
    elif kind == 5 and value.dtype in (torch.int64, torch.uint8):
        changed[name] = spoiled(
            value, rng.choice((-1, 2**40, 16384, 255, 27) if value.dtype == torch.int64 else (255, 0, 27)), rng
        )
    else:
        changed["stranger"] = torch.zeros(2)
    return {key: item.contiguous() for key, item in changed.items()}


def spoiled(value: Tensor, number: float, rng: random.Random) -> Tensor:
    value = value.clone()
    if value.numel():
        value.view(-1)[rng.randrange(value.numel())] = number
    return value
