"""Every field of every header with a right checksum: of another type, huge, negative, no number, missing, twice."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from tadicodec.errors import InputError
from tadicodec.speech import Prompt, Speech
from tadicodec.tdc.container import FIXED, MAGIC, VERSION, Checksum, ContainerError, from_bytes, to_bytes
from tadicodec.tdc.saved_prompt import prompt_from_bytes, prompt_to_bytes
from tadicodec.tdc.token_stream import TokenStream

ODD = (None, True, -1, 0, 1, 2**31, 2**63, 2**70, 1.5, float("nan"), float("inf"), "", "x", "1", [], [1], {}, {"a": 1})
PROMPT = Prompt(torch.zeros(16, 128), torch.arange(2), "Words.", "0123456789abcdef")
SPEECH = Speech(torch.arange(3)[None], torch.tensor([3]), torch.tensor([11000]), ("Hi.",), "model", "0123")
TYPES = (torch.float64, torch.float16, torch.int8, torch.int32, torch.bool, torch.complex64, torch.float8_e4m3fn)


def with_head(data: bytes, head: str) -> bytes:
    """The token file with another header and a checksum that fits it."""
    size = FIXED.unpack_from(data)[2]
    document = head.encode()
    body = FIXED.pack(MAGIC, VERSION, len(document)) + document + data[FIXED.size + size : -Checksum.SIZE]
    return body + Checksum(body).bytes()


def head_of(data: bytes) -> dict[str, Any]:
    return json.loads(data[FIXED.size : FIXED.size + FIXED.unpack_from(data)[2]])


def read_both_ways(data: bytes) -> None:
    """Whole and as a stream: each reads it, or refuses it in one line."""
    for read in (lambda: from_bytes(data), lambda: list(TokenStream(io.BytesIO(data)).codes())):
        try:
            read()
        except ContainerError as error:
            assert str(error).isprintable()
    file = from_bytes(data)
    assert isinstance(file.speech.text, tuple) and (not file.prompt_data or file.prompt.hash)


@pytest.mark.parametrize("carried", [None, "0123", PROMPT])
def test_fields_of_token_files(carried: Prompt | str | None) -> None:
    data = to_bytes(SPEECH, carried)
    head = head_of(data)
    read_both_ways(data)
    for name in head:
        for value in ODD:
            if (
                value == head[name]
                or (name in ("text", "language") and value is None)
                or type(value) is type(head[name]) is str
            ):
                continue
            if name == "language" and isinstance(value, str):
                continue
            with pytest.raises(ContainerError):
                read_both_ways(with_head(data, json.dumps({**head, name: value})))
        missing = {key: value for key, value in head.items() if key != name}
        for odd_head in (json.dumps(missing), json.dumps(head)[:-1] + f', "{name}": 5' + "}"):
            with pytest.raises(ContainerError):
                read_both_ways(with_head(data, odd_head))


@pytest.mark.parametrize("value", ODD)
def test_the_prompts_own_fields(value: Any) -> None:
    data = to_bytes(SPEECH, PROMPT)
    head = head_of(data)
    for name in head["prompt"]:
        with pytest.raises(ContainerError):
            read_both_ways(with_head(data, json.dumps({**head, "prompt": {**head["prompt"], name: value}})))


@pytest.mark.parametrize("name", ["mel", "codes", "text", "weights"])
@pytest.mark.parametrize("dtype", TYPES)
def test_types_of_a_prompts_tensors(name: str, dtype: torch.dtype) -> None:
    tensors = load(prompt_to_bytes(PROMPT))
    data = save({**tensors, name: tensors[name].to(dtype)})
    with pytest.raises(InputError, match="not a saved speaker prompt: wrong types"):
        prompt_from_bytes(data)
    carrying = to_bytes(SPEECH, PROMPT)
    head = head_of(carrying)
    plain = to_bytes(SPEECH)
    size = FIXED.unpack_from(plain)[2]
    codes = plain[FIXED.size + size : -Checksum.SIZE]
    document = json.dumps({**head, "prompt": {"source": "embedded", "bytes": len(data)}}).encode()
    body = FIXED.pack(MAGIC, VERSION, len(document)) + document + codes + data
    with pytest.raises(ContainerError, match="embedded prompt: not a saved speaker prompt") as refused:
        read_both_ways(body + Checksum(body).bytes())
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("name", ["mel", "codes", "text", "weights"])
def test_sizes_and_values_of_a_prompts_tensors(name: str) -> None:
    tensors = load(prompt_to_bytes(PROMPT))
    value = tensors[name]
    for odd in (
        value[None],
        value.reshape(-1)[:1].reshape(1, 1, 1),
        value[:0] if name in ("mel", "codes") else value[None, None],
    ):
        with pytest.raises(InputError, match="not a saved speaker prompt"):
            prompt_from_bytes(save({**tensors, name: odd.contiguous()}))
    spoiled = {"mel": float("nan"), "codes": 16384, "text": 255, "weights": 255}
    value.view(-1)[0] = spoiled[name]
    with pytest.raises(InputError, match="not a saved speaker prompt"):
        prompt_from_bytes(save({**tensors, name: value}))
    if name != "weights":  # prompts of the first version have none
        with pytest.raises(InputError, match="not a saved speaker prompt"):
            prompt_from_bytes(save({key: item for key, item in tensors.items() if key != name}))
