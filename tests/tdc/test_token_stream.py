"""A token file read as it is being sent."""

from __future__ import annotations

import io

import pytest
import torch

from tadicodec.speech import Prompt, Speech
from tadicodec.tdc.container import CorruptedFile, ForeignFile, NewerVersion, TruncatedFile, to_bytes
from tadicodec.tdc.token_stream import TokenStream


def speech(count: int) -> Speech:
    codes = torch.randint(0, 2**14, (1, count), generator=torch.Generator().manual_seed(count))
    return Speech(codes, torch.tensor([count]), torch.tensor([count * 3840 - 5]), ("some words",), "m", "w")


class Slow(io.BytesIO):
    """Gives a few bytes at a time, as a pipe may."""

    def read1(self, size: int = -1) -> bytes:
        return self.read(min(3, size))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 41])
@pytest.mark.parametrize("kind", [io.BytesIO, Slow])
def test_codes_come_as_their_bytes_do(count: int, kind: type[io.BytesIO]) -> None:
    whole = speech(count)
    stream = TokenStream(kind(to_bytes(whole)))
    assert (stream.header.codes, stream.header.text) == (count, "some words")
    parts = list(stream.codes())
    assert torch.equal(torch.cat(parts), whole.codes[0]) and stream.size == len(to_bytes(whole))
    assert kind is io.BytesIO or len(parts) > count // 3


def test_a_file_with_its_prompt_is_read_whole() -> None:
    prompt = Prompt(torch.zeros(8, 128), torch.tensor([3]), "hm")
    stream = TokenStream(io.BytesIO(to_bytes(speech(5), prompt)))
    assert stream.header.prompt_bytes and stream.read_whole().prompt.text == "hm"


def changed(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_what_is_wrong_is_said() -> None:
    data = to_bytes(speech(41))
    cases = {
        b"RIFF" + data[4:]: ForeignFile,
        data[:4] + b"\x09" + data[5:]: NewerVersion,
        data[:-1]: TruncatedFile,
        data[:-20]: TruncatedFile,
        data[:30]: TruncatedFile,
        data[:5]: TruncatedFile,
        b"": TruncatedFile,
        changed(data, len(data) - 10): CorruptedFile,
        data + b"x": CorruptedFile,
    }
    for bad, error in cases.items():
        with pytest.raises(error):
            list(TokenStream(io.BytesIO(bad)).codes())
