"""Codes that come without a text are read: alike whole and in windows, and only where a model can."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.pipeline import reading
from tadicodec.pipeline.pieces import Script
from tadicodec.pipeline.streaming import Utterance, open_stream
from tadicodec.speech import Speech
from tadicodec.text.normalize import LETTERS
from tests.conftest import tiny_codec, voice

SENTENCE = "they found the road again"


def spelled(text: str, tokens: int) -> Tensor:
    """Logits [4 tokens, 257] that write a text evenly over so many tokens."""
    logits = torch.zeros(4 * tokens, 257)
    logits[:, 256] = 9.0
    for place, letter in enumerate(text.encode()):
        step = (place * 4 * tokens) // len(text)
        logits[step, letter], logits[step, 256] = 18.0, 0.0
    return logits


@pytest.fixture
def hears(monkeypatch: pytest.MonkeyPatch) -> None:
    """An aligner that hears SENTENCE over 40 tokens: code number n is place n of it."""
    whole = spelled(SENTENCE, 40).unflatten(0, (40, 4))
    monkeypatch.setattr(reading, "read_logits", lambda model, codes: whole[codes].flatten(0, 1))


@pytest.fixture(scope="module")
def reader() -> Codec:
    """A codec that finds letters in all codes, if no sense."""
    codec = tiny_codec()
    torch.manual_seed(0)
    out = codec.model.aligner.out
    letters = torch.tensor(list(LETTERS.encode()))
    out.weight.data = torch.zeros_like(out.weight).index_fill(0, letters, 1.0) * torch.randn_like(out.weight)
    out.bias.data = torch.full_like(out.bias, -20.0).index_fill(0, letters, 0.0)
    out.bias.data[256] = 14.0
    return codec


PLACES = torch.arange(40)


def test_letters_are_bytes_and_all_else_is_a_blank() -> None:
    logits = torch.randn(7, 257, generator=torch.Generator().manual_seed(0))
    scores = reading.letter_scores(logits)
    assert scores.shape == (7, 29)
    torch.testing.assert_close(scores.exp().sum(-1), torch.ones(7))
    torch.testing.assert_close(scores[:, 3], logits.log_softmax(-1)[:, ord("c")])


@pytest.mark.usefixtures("hears")
def test_what_is_said_is_read(codec: Codec) -> None:
    assert codec.read(PLACES) == (SENTENCE,)
    assert codec.read([PLACES[:20], PLACES]) == codec.read(PLACES[:20]) + (SENTENCE,)


@pytest.mark.usefixtures("hears")
def test_windows_read_what_the_whole_says(codec: Codec) -> None:
    """Every word once, wherever a window ends; what is cut there is read again with what follows."""
    config = replace(codec.config, inference=replace(codec.config.inference, piece_seconds=4.0))
    renderer = replace(codec.renderer, limits=replace(codec.limits, config=config))
    assert reading.read_all(renderer, PLACES) == SENTENCE
    script, place = Script(None, 40), 0
    for stop in (8, 17, 24, 40):  # between words
        before = min(place, 19)
        reading.read_window(codec.renderer, script, PLACES[place - before : stop], place, before)
        place = stop
    assert script.between(0, None) == SENTENCE and script.starts == sorted(script.starts)


def test_a_text_that_is_unknown_is_read_and_an_empty_one_is_not(reader: Codec) -> None:
    codec, speech = reader, reader.encode(voice(3.0), 24000, "")
    unknown = replace(speech, text=(None,))
    (text,) = codec.read(speech)
    assert len(text) > 5
    wave = codec.decode(unknown)
    assert torch.equal(wave, codec.decode(replace(speech, text=(text,))))
    assert not torch.equal(wave, codec.decode(speech))
    assert torch.equal(wave, codec.decode(speech.codes[0])[:, : wave.shape[1]])


@pytest.mark.parametrize("seconds", [1.44, 30.0])
def test_a_stream_reads_however_codes_arrive(reader: Codec, seconds: float) -> None:
    codec = reader
    speech = replace(codec.encode(voice(14.0), 24000, ""), text=(None,))
    whole = torch.cat(list(codec.stream(speech, seconds=seconds)))
    stream = open_stream(codec.renderer, Utterance.of(speech, None), codec.limits.solver(), seconds=seconds)
    parts = [wave for codes in speech.codes[0].split(7) for wave in stream.feed(codes)]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-6, rtol=0)
    if seconds > 14:
        assert torch.equal(whole, codec.decode(speech)[0])
    silent = torch.cat(list(codec.stream(replace(speech, text=("",)), seconds=seconds)))
    assert not torch.allclose(whole, silent)


def test_a_batch_reads_each_alone(reader: Codec) -> None:
    speech = replace(reader.encode([voice(2.0), voice(3.0, pitch=150)], 24000, ["", ""]), text=(None, None))
    both = reader.decode(speech, generator=[torch.Generator().manual_seed(seed) for seed in range(2)])
    for index in range(2):
        alone = reader.decode(speech[index], generator=torch.Generator().manual_seed(index))[0]
        torch.testing.assert_close(both[index, : len(alone)], alone, atol=1e-4, rtol=1e-3)


def test_models_that_cannot_read() -> None:
    codec = tiny_codec(prior_layers=0)
    with pytest.raises(InputError, match="cannot read"):
        codec.read(torch.zeros(5, dtype=torch.long))
    speech = Speech.from_codes(torch.zeros(5, dtype=torch.long))
    assert torch.equal(codec.decode(speech), codec.decode(replace(speech, text=("",))))


def test_a_prompt_may_leave_no_room_for_what_is_read(reader: Codec) -> None:
    """The tiny model takes 200 bytes at once."""
    speech = reader.encode(voice(3.0), 24000, "")
    for letters, read in ((10, True), (199, False)):
        prompt = reader.prompt(voice(2.0), 24000, "a" * letters)
        silent, unknown = (reader.decode(replace(speech, text=(text,)), prompt) for text in ("", None))
        assert torch.equal(unknown, silent) != read
