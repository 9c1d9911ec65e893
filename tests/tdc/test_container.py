import dataclasses
import io
import json
import os
import struct
import zlib

import numpy as np
import pytest
import torch

from tadicodec.errors import InputError
from tadicodec.speech import Prompt, Speech
from tadicodec.tdc import container
from tadicodec.tdc.code_packing import pack_codes, packed_size, unpack_codes
from tadicodec.tdc.container import (
    ContainerError,
    CorruptedFile,
    ForeignFile,
    NewerVersion,
    TruncatedFile,
    from_bytes,
    read_prompt,
    read_tokens,
    to_bytes,
    write_tokens,
)


def speech(tokens=5, text="hello", seed=0, **changes) -> Speech:
    codes = torch.randint(0, 1 << 14, (1, tokens), generator=torch.Generator().manual_seed(seed))
    samples = torch.tensor([max(0, 3840 * tokens - 17)])
    values = {"model": "tiny", "weights": "ab12", "text": (text,), "samples": samples} | changes
    return Speech(codes=codes, lengths=torch.tensor([tokens]), **values)


def prompt(tokens=2, text="né") -> Prompt:
    generator = torch.Generator().manual_seed(1)
    mel = torch.randn(8 * tokens, 128, generator=generator)
    return Prompt(mel=mel, codes=torch.randint(0, 1 << 14, (tokens,), generator=generator), text=text)


def same(left: Speech, right: Speech) -> bool:
    tensors = all(torch.equal(getattr(left, name), getattr(right, name)) for name in ("codes", "lengths", "samples"))
    return tensors and all(
        getattr(left, name) == getattr(right, name) for name in ("text", "model", "weights", "sample_rate")
    )


@pytest.mark.parametrize("tokens", [*range(21), 1000, 22500])
def test_every_length_comes_back(tokens):
    original = speech(tokens, seed=tokens)
    assert same(from_bytes(to_bytes(original)).speech, original)


@pytest.mark.parametrize("text", [None, "", "plain", "日本語 and naïve 🙂", 'quotes " and \\ and \n'])
def test_every_text_comes_back(text):
    assert from_bytes(to_bytes(speech(text=text))).speech.text == (text,)


def test_control_characters_are_not_stored():
    assert from_bytes(to_bytes(speech(text="a\0 b\x1b c"))).speech.text == ("a b c",)


def test_extreme_codes():
    for value in (0, 1, 8192, 16383):
        codes = np.full(9, value)
        assert len(pack_codes(codes)) == packed_size(9) == 16
        np.testing.assert_array_equal(unpack_codes(pack_codes(codes), 9), codes)


def test_most_significant_bit_first():
    assert pack_codes(np.array([0b10000000000001])) == bytes([0b10000000, 0b00000100])


def test_files_and_streams(tmp_path):
    path = tmp_path / "new" / "a.tdc"
    write_tokens(path, speech())
    assert same(read_tokens(path), speech()) and read_prompt(path) is None
    assert same(read_tokens(io.BytesIO(path.read_bytes())), speech())
    with pytest.raises(InputError, match="overwrite"):
        write_tokens(path, speech())
    write_tokens(path, speech(7), overwrite=True)
    assert len(read_tokens(path).codes[0]) == 7 and os.listdir(path.parent) == ["a.tdc"]


def test_prompts_come_back_exactly(tmp_path):
    write_tokens(tmp_path / "a.tdc", speech(), prompt=prompt())
    found = read_prompt(tmp_path / "a.tdc")
    assert found.hash == prompt().hash and found.text == "né"
    assert from_bytes(to_bytes(speech(), "0123")).header.prompt == {"source": "hash", "hash": "0123"}
    assert from_bytes(to_bytes(speech(), prompt(text=""))).prompt.text == ""


def test_every_truncation_is_noticed():
    for data in (to_bytes(speech()), to_bytes(speech(0)), to_bytes(speech(), prompt(1))[:2000]):
        for length in range(len(data)):
            with pytest.raises(TruncatedFile):
                from_bytes(data[:length])


def test_every_flipped_bit_is_noticed():
    data = to_bytes(speech())
    for position in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[position // 8] ^= 128 >> position % 8
        with pytest.raises(ContainerError):
            from_bytes(bytes(flipped))


def test_bytes_added_or_changed_at_random_are_noticed():
    data = to_bytes(speech(12))
    random = np.random.default_rng(0)
    with pytest.raises(CorruptedFile):
        from_bytes(data + b"\0")
    for _ in range(2000):
        changed = bytearray(data)
        for position in random.integers(0, len(data), 3):
            changed[position] = (changed[position] + random.integers(1, 256)) % 256
        if bytes(changed) != data:
            with pytest.raises(ContainerError):
                from_bytes(bytes(changed))


def test_foreign_and_newer_files(tmp_path):
    for data in (b"RIFF....WAVEfmt ", b"text", b"\0" * 100):
        with pytest.raises(ForeignFile):
            from_bytes(data)
    with pytest.raises(NewerVersion, match="version 3"):
        from_bytes(assemble(valid_header(), version=3))
    (tmp_path / "a.tdc").write_text("hello")
    with pytest.raises(ForeignFile, match=r"a\.tdc: not a \.tdc"):
        read_tokens(tmp_path / "a.tdc")


def test_paths_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_tokens(tmp_path / "a.tdc")
    with pytest.raises(InputError, match="is a folder"):
        read_tokens(tmp_path)


def valid_header(**changes):
    header = {"model": "m", "weights": "w", "samples": 3840, "sample_rate": 24000, "codes": 1, "text": "t"}
    return header | {"language": None, "normaliser": "none", "prompt": {"source": "none"}} | changes


def assemble(header, body=b"\0\0", version=1) -> bytes:
    """A file with a correct checksum, whatever its header says."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    data = struct.pack(">4sBI", container.MAGIC, version, len(head)) + head + body
    return data + struct.pack(">I", zlib.crc32(data))


def test_the_assembled_header_is_valid_and_may_hold_more():
    assert from_bytes(assemble(valid_header(later="addition"))).speech.text == ("t",)


@pytest.mark.parametrize(
    "header",
    [
        valid_header(samples=-1, codes=0),
        valid_header(samples=3841),
        valid_header(samples=3840.0),
        valid_header(codes=True),
        valid_header(codes=2**40, samples=3840 * 2**40),
        valid_header(codes=10**4200, samples=3840 * 10**4200),
        valid_header(codes=-1, samples=-3840),
        valid_header(samples=None),
        valid_header(samples="3840"),
        valid_header(sample_rate=0),
        valid_header(sample_rate=16000),
        valid_header(text=["t"]),
        valid_header(text="\ud800"),
        valid_header(model=None),
        valid_header(weights={}),
        valid_header(language=1),
        valid_header(prompt=None),
        valid_header(prompt=[]),
        valid_header(prompt={}),
        valid_header(prompt={"source": []}),
        valid_header(prompt={"source": "hash"}),
        valid_header(prompt={"source": "hash", "hash": 1}),
        valid_header(prompt={"source": "embedded"}),
        valid_header(prompt={"source": "embedded", "bytes": 0}),
        valid_header(prompt={"source": "embedded", "bytes": -2}),
        valid_header(prompt={"source": "embedded", "bytes": 2**62}),
        {},
        [],
        None,
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"NaN",
        b"9" * 10_000,
    ],
)
def test_hostile_headers(header):
    with pytest.raises(ContainerError):
        from_bytes(assemble(header))


def test_bits_after_the_last_code_must_be_zero():
    from_bytes(assemble(valid_header(), body=b"\xff\xfc"))
    with pytest.raises(CorruptedFile):
        from_bytes(assemble(valid_header(), body=b"\xff\xfd"))


def test_an_embedded_prompt_that_is_none():
    data = assemble(valid_header(prompt={"source": "embedded", "bytes": 4}), body=b"\0\0abcd")
    assert same(from_bytes(data).speech, from_bytes(data).speech)
    with pytest.raises(CorruptedFile, match="prompt"):
        _ = from_bytes(data).prompt


@pytest.mark.parametrize(
    "wrong",
    [
        Prompt(mel=torch.zeros(9, 128), codes=torch.zeros(1, dtype=torch.int64)),
        Prompt(mel=torch.zeros(8, 128), codes=torch.tensor([16384])),
        Prompt(mel=torch.full((8, 128), torch.nan), codes=torch.tensor([1])),
        Prompt(mel=torch.zeros(0, 128), codes=torch.zeros(0, dtype=torch.int64)),
    ],
)
def test_prompts_out_of_shape(wrong):
    with pytest.raises(CorruptedFile, match="prompt"):
        _ = from_bytes(to_bytes(speech(), wrong)).prompt


def test_a_length_in_the_header_is_not_believed():
    data = struct.pack(">4sBI", container.MAGIC, 1, 0xFFFFFFFF) + b"{}" * 10
    with pytest.raises(ContainerError):
        from_bytes(data)


@pytest.mark.parametrize(
    "wrong",
    [
        {"samples": torch.tensor([3840 * 9])},
        {"codes": torch.tensor([[1, 2, 3, 4, 16384]])},
        {"codes": torch.tensor([[1, 2, 3, 4, -1]])},
        {"lengths": torch.tensor([4])},
        {"lengths": torch.tensor([6])},
        {"text": ("\udcff",)},
        {"text": ("x" * (2 << 20),)},
        {"sample_rate": 16000},
    ],
)
def test_speech_that_cannot_be_stored(tmp_path, wrong):
    with pytest.raises(InputError):
        write_tokens(tmp_path / "a.tdc", dataclasses.replace(speech(), **wrong))
    assert os.listdir(tmp_path) == []


def test_a_batch_is_refused():
    two = Speech(torch.zeros(2, 1, dtype=torch.int64), torch.tensor([1, 1]), torch.tensor([1, 2]), (None, None))
    with pytest.raises(InputError, match="one utterance, not 2"):
        to_bytes(two)
    assert same(from_bytes(to_bytes(two[1])).speech, two[1])
