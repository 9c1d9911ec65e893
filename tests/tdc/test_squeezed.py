"""Squeezed token files: what comes back, what is refused, and that every byte is as the page on the format says."""

from __future__ import annotations

import io
import json
import random
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tadicodec.entropy.coder import find_coder
from tadicodec.speech import SAMPLES_PER_TOKEN, Prompt, Speech
from tadicodec.tdc.container import from_bytes, read_tokens, squeezed_bytes, to_bytes, write_tokens
from tadicodec.tdc.faults import ContainerError, CorruptedFile, MissingCoder, TruncatedFile
from tadicodec.tdc.token_stream import TokenStream

SAID = "He was not an ill-disposed young man."
TEXTS = (SAID, "", None, "Ça va? Привет! 你好, ’tis “odd” \n\n tabs", "\x7f\u200d", "1963 " * 9)


@pytest.fixture(autouse=True)
def bundled(tiny_coder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny models in the place of the bundled ones."""
    monkeypatch.setattr("tadicodec.entropy.coder.bundled_folder", lambda: tiny_coder)


def spoken(count: int, text: str | None = SAID, seed: int = 0, **about: object) -> Speech:
    codes = torch.randint(256, (1, count), generator=torch.Generator().manual_seed(seed))
    samples = torch.tensor([count * SAMPLES_PER_TOKEN - 7 if count else 0])
    return Speech(codes, torch.tensor([count]), samples, (text,), **about)


def same(speech: Speech, found: Speech) -> bool:
    """Whether all that a token file holds is the same."""
    fields = ("text", "model", "weights", "sample_rate")
    return torch.equal(speech.codes, found.codes) and all(getattr(speech, f) == getattr(found, f) for f in fields)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("count", [0, 1, 23])
def test_all_comes_back(text: str | None, count: int) -> None:
    speech = spoken(count, text, model="m", weights="ab")
    data = to_bytes(speech, squeeze=True)
    found = from_bytes(data)
    assert same(speech, found.speech) and found.header.samples == int(speech.samples[0]) and found.size == len(data)
    assert len(data) <= len(to_bytes(speech)) + 8  # random codes cannot be squeezed, and take no more than before


def test_sections_longer_than_a_model_reads() -> None:
    speech = spoken(146, "a long story " * 12)
    data, costs = squeezed_bytes(speech)
    found = from_bytes(data)
    assert same(speech, found.speech) and found.costs is not None
    assert found.costs.speech == pytest.approx(costs.speech) and found.costs.text == pytest.approx(costs.text)


def test_prompts_travel(tmp_path: Path) -> None:
    prompt = Prompt(torch.zeros(8 * 6, 128), torch.arange(6), "Words.", "0123456789abcdef")
    write_tokens(tmp_path / "a.tdc", spoken(3), prompt, squeeze=True)
    found = from_bytes((tmp_path / "a.tdc").read_bytes())
    assert found.prompt is not None and found.prompt.hash == prompt.hash
    stream = TokenStream(io.BytesIO((tmp_path / "a.tdc").read_bytes()))
    assert stream.read_whole().prompt_data == found.prompt_data
    write_tokens(tmp_path / "b.tdc", spoken(3), "feed", squeeze=True)
    assert from_bytes((tmp_path / "b.tdc").read_bytes()).header.prompt == {"source": "hash", "hash": "feed"}


def test_bytes_as_the_page_says() -> None:
    coder = find_coder(None)
    speech = spoken(5, "no", model=coder.codec_name, weights=coder.codec)
    data, costs = squeezed_bytes(speech)
    assert data[:5] == b"\x89TDC\2" and data[5] < 64 and data[6:10] == coder.name
    samples = 5 * SAMPLES_PER_TOKEN - 7
    assert data[10:13] == bytes([samples & 127 | 128, samples >> 7 & 127 | 128, samples >> 14])
    payload = costs.text + costs.speech
    assert 0 <= 8 * (len(data) - 13 - 4) - payload < 10
    meant = data[4:13] + b"\1no" + speech.codes[0].numpy().astype(">u2").tobytes()
    assert data[-4:] == zlib.crc32(meant).to_bytes(4, "big")
    other = to_bytes(spoken(5, "no", model="x", weights="y"), squeeze=True)
    assert other[5] & 64 and json.loads(other[14 : 14 + other[13]]) == {"model": "x", "weights": "y"}


def test_codes_stream_while_bytes_come() -> None:
    speech = spoken(40, "no")
    data = to_bytes(speech, squeeze=True)

    class Drip(io.RawIOBase):
        """Gives a byte at a time and remembers how many."""

        place = 0

        def read(self, size: int = -1) -> bytes:
            self.place += 1 if size else 0
            return data[self.place - 1 : self.place] if size else b""

    source = Drip()
    stream = TokenStream(source)
    assert stream.header.text == "no" and source.place < 48
    found, places = [], []
    for part in stream.codes():
        found.append(int(part))
        places.append(source.place)
    assert found == speech.codes[0].tolist() and stream.size == len(data)
    assert all(later - earlier <= 6 for earlier, later in zip(places, places[1:]))  # no code waits for later ones


def test_other_models_are_named_in_one_line(tmp_path: Path) -> None:
    data = bytearray(to_bytes(spoken(4), squeeze=True))
    data[6] ^= 1
    with pytest.raises(MissingCoder, match=r"squeezed by the models .* --coder"):
        from_bytes(bytes(data))
    (tmp_path / "a.tdc").write_bytes(data)
    with pytest.raises(MissingCoder, match=r"a\.tdc: was squeezed"):
        read_tokens(tmp_path / "a.tdc")


def test_every_cut_is_refused() -> None:
    data = to_bytes(spoken(6), squeeze=True)
    for size in range(len(data)):
        with pytest.raises(ContainerError):
            from_bytes(data[:size])
    with pytest.raises(ContainerError):
        from_bytes(data + b"\0")


def test_damage_is_refused_or_changes_nothing() -> None:
    speech = spoken(6)
    data = to_bytes(speech, squeeze=True)
    chance = random.Random(0)
    for _ in range(40):
        damaged = bytearray(data)
        damaged[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        try:
            assert same(speech, from_bytes(bytes(damaged)).speech)
        except ContainerError:
            continue


def test_few_bytes_do_not_keep_a_reader_busy() -> None:
    """A file may announce years; it is read for as long as its bytes last."""
    data = to_bytes(spoken(6), squeeze=True)
    long = data[:10] + b"\xff" * 6 + b"\x7f" + data[13:]
    with pytest.raises((TruncatedFile, CorruptedFile)):
        from_bytes(long)
    for speech in (Speech.from_codes(np.zeros(300, np.int64)), Speech.from_codes(np.zeros(9, np.int64), "a" * 2300)):
        assert same(speech, from_bytes(to_bytes(speech, squeeze=True)).speech)


def test_codes_that_fit_no_file_are_refused() -> None:
    speech = Speech.from_codes(np.array([1 << 14]))
    for squeeze in (False, True):
        with pytest.raises(ValueError, match=r"0\.\.16383"):
            to_bytes(speech, squeeze=squeeze)
