"""Long audio and streams: the same however codes arrive, the same as whole where that is promised, joins unheard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.pipeline import reading, streaming
from tadicodec.pipeline.encoding import parts_of
from tadicodec.pipeline.pieces import Cutter
from tadicodec.pipeline.streaming import Stream, Utterance, open_stream
from tadicodec.pipeline.vocoding import WaveStream, Window
from tadicodec.speech import Speech
from tests.conftest import tiny_codec, voice

WORDS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"


@pytest.fixture(scope="module")
def speech(codec: Codec) -> Speech:
    """14 s, where the tiny model takes 12 s at once."""
    return codec.encode(voice(14.0), 24000, WORDS)


def announced(speech: Speech) -> Utterance:
    return Utterance.of(speech, None)


def receive(codec: Codec, utterance: Utterance, steps: int | None = None) -> Stream:
    return open_stream(codec.renderer, utterance, codec.limits.solver(steps))


@pytest.mark.parametrize("prompted", [False, True])
def test_a_stream_does_not_depend_on_how_codes_arrive(codec: Codec, speech: Speech, prompted: bool) -> None:
    prompt = codec.prompt(voice(1.0, pitch=200), 24000, "hello") if prompted else None
    whole = torch.cat(list(codec.stream(speech, prompt)))
    assert whole.shape == (int(speech.samples[0]),) and torch.isfinite(whole).all()
    for size in (1, 40):
        known = Utterance.of(speech, prompt)
        stream = receive(codec, known)
        parts = [wave for codes in speech.codes[0].split(size) for wave in stream.feed(codes)]
        torch.testing.assert_close(torch.cat(parts), whole, atol=1e-6, rtol=0)


def test_a_long_decode_is_the_stream_of_the_models_own_pieces(codec: Codec, speech: Speech) -> None:
    assert torch.equal(torch.cat(list(codec.stream(speech, seconds=30.0))), codec.decode(speech)[0])
    short = codec.encode(voice(3.0), 24000, "a few words")
    torch.testing.assert_close(
        torch.cat(list(codec.stream(short, seconds=12.0))), codec.decode(short)[0], atol=1e-4, rtol=1e-3
    )


def test_sound_comes_before_the_later_codes(codec: Codec, speech: Speech) -> None:
    """After 9 codes (1.44 s), and from then on never later than what has been played."""
    stream, heard = receive(codec, announced(speech)), []
    made = 0.0
    for count, codes in enumerate(speech.codes[0].split(1), start=1):
        now = count / codec.token_rate
        made += sum(len(wave) for wave in stream.feed(codes)) / codec.sample_rate
        if made:
            heard.append(now)
            assert made >= min(now - 1.44, float(speech.seconds[0])) - 1e-6
    assert heard[0] == pytest.approx(1.44)
    assert made == pytest.approx(float(speech.seconds[0]))


def test_memory_of_a_stream_is_bounded(codec: Codec) -> None:
    stream = receive(codec, Utterance(400, 400 * 3840, None, None), steps=1)
    sizes = []
    for codes in torch.randint(0, 2**14, (400,), generator=torch.Generator().manual_seed(0)).split(5):
        list(stream.feed(codes))
        mels, waves = stream.mels, stream.waves
        held = [*mels.before, mels.noise, mels.ahead, mels.codes, waves.mel, waves.end]
        sizes.append(sum(part.numel() for part in held))
    assert max(sizes[40:]) <= max(sizes[:40])


def test_windows_get_the_words_that_are_said_in_them(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words are taken from where the aligner hears them, however uneven the speech; each is given once, but for those
    said behind a cut."""
    words, place = ["all", "the", "words", "come", "late"], {"all": 20, "the": 21, "words": 22, "come": 30, "late": 36}
    seen: list[tuple[int, str]] = []

    def spoken(model, codes, skip, ids, whole) -> list[float]:
        now = stream.mels.place
        said = bytes(ids.tolist()).decode().split()
        assert len(codes) - skip <= 9
        starts = [place[word] - now if place[word] < now + len(codes) - skip else np.inf for word in said]
        return [start for word, start in zip(said, starts, strict=True) for _ in word + " "][: len(ids)]

    def decode(model, items, solver):
        seen.append((stream.mels.place, bytes(items[0].text_ids.tolist()).decode()))
        return [torch.zeros(len(items[0].codes) * 8, 128)]

    monkeypatch.setattr(reading, "spoken_at", spoken)
    monkeypatch.setattr(streaming, "decode_batch", decode)
    stream = receive(codec, Utterance(40, 40 * 3840, " ".join(words), None))
    list(stream.feed(torch.zeros(40, dtype=torch.long)))
    for start, text in seen:  # the window's words, after those of the 3 s before it
        stop = min(start + 9, 40)
        assert text.split() == [word for word in words if start - 19 <= place[word] < stop]
    assert len(seen) > 5


def flux(wave: Tensor) -> Tensor:
    """Spectral flux of each 5 ms: how much the log spectrum changes."""
    spectrum = torch.stft(wave, 480, 120, window=torch.hann_window(480), return_complex=True).abs().add(1e-3).log()
    return spectrum.diff(dim=1).abs().mean(0)


def near(places: list[int], size: int) -> Tensor:
    """Which of `size` flux values see a join."""
    marks = torch.zeros(size, dtype=torch.bool)
    for place in places:
        marks[max(place // 120 - 5, 0) : place // 120 + 6] = True
    return marks


def test_joins_are_not_heard(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a decoder that knows the mel but misses it in every window in its own way, as a trained one does, flux where
    windows meet is that of the rest."""
    wave = voice(16.0)
    mel = codec.mel(wave)[0]
    stream = receive(codec, Utterance(len(mel) // 8, len(wave), None, None))

    def decode(model, items, solver):
        start = stream.mels.place * 8
        own = mel[start : start + len(items[0].codes) * 8]
        return [own + 0.1 * torch.randn(1, mel.shape[1], generator=torch.Generator().manual_seed(start))]

    monkeypatch.setattr(streaming, "decode_batch", decode)
    parts = list(stream.feed(torch.zeros(len(mel) // 8, dtype=torch.long)))
    joins = torch.tensor([len(part) for part in parts]).cumsum(0)[:-1].tolist()
    assert len(joins) > 10
    values = flux(torch.cat(parts))
    seen = near(joins, len(values))
    assert values[seen].mean() <= 1.05 * values[~seen].mean()
    assert values[seen].quantile(0.95) <= 1.05 * values[~seen].quantile(0.95)


def test_vocoder_in_windows_is_the_vocoder_at_once(codec: Codec) -> None:
    mel = torch.randn(500, 128, generator=torch.Generator().manual_seed(0))
    whole, stream = codec.vocoder(mel[None])[0], WaveStream(codec.vocoder, codec.config)
    blocks = mel.split([8, 8, 40, 100, 344])
    waves = [stream.push(Window(block, mel[:0], i == 4)) for i, block in enumerate(blocks)]
    torch.testing.assert_close(torch.cat(waves), whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("longest", [2, 9, 75])
def test_cuts_make_progress_and_leave_no_crumbs(longest: int) -> None:
    search = max(min(longest // 2, 19), 1)
    cutter = Cutter(longest, search, ahead=min(2, search))
    for total in range(1, 4 * longest):
        left, sizes = total, []
        while left:
            taken = cutter.take(left)
            assert 1 <= taken <= min(longest, left)
            stop = taken if taken == left else cutter.cut(torch.rand(taken * 8), taken)
            assert 1 <= stop <= taken
            sizes.append(stop)
            left -= stop
        assert sum(sizes) == total
        if longest > 9 and len(sizes) > 1:
            assert min(sizes) > longest // 5


def test_cuts_fall_into_silence() -> None:
    cutter = Cutter(50, 19, 2)
    wave = voice(20.0)
    wave[int(6.4 * 24000) : int(6.9 * 24000)] = 0
    first = next(parts_of([wave], cutter))
    assert 6.4 <= len(first) / 24000 <= 6.9
    levels = torch.ones(400)
    levels[38 * 8 - 4 : 38 * 8 + 4] = 0
    assert cutter.cut(levels, 50) == 38


def test_encoding_in_blocks_is_encoding_at_once(codec: Codec) -> None:
    wave = voice(40.0)
    whole = codec.encode(wave, 24000, WORDS)
    for size in (1000, 100_000):
        blocks = codec.encode_blocks((wave[start : start + size] for start in range(0, len(wave), size)), WORDS)
        assert torch.equal(blocks.codes, whole.codes) and torch.equal(blocks.samples, whole.samples)
        assert blocks.text == whole.text and blocks.weights == whole.weights


def test_parts_hold_no_more_than_two_pieces() -> None:
    cutter, given = Cutter(10, 4), 0

    def blocks():
        nonlocal given
        for _ in range(200):
            given += 3840
            yield np.zeros(3840, np.float32)

    taken = 0
    for part in parts_of(blocks(), cutter):
        taken += len(part)
        assert given - taken <= 20 * 3840
    assert taken == given


def test_bad_streams(codec: Codec, speech: Speech) -> None:
    for call in (
        lambda: next(codec.stream(codec.encode([voice(0.5)] * 2, 24000))),
        lambda: next(codec.stream(speech, seconds=0.1)),
        lambda: next(codec.stream(speech, seconds=float("nan"))),
        lambda: list(receive(codec, Utterance(5, 5 * 3840, None, None)).feed(torch.zeros(6, dtype=torch.long))),
        lambda: list(receive(codec, Utterance(5, 5 * 3840, None, None)).feed(torch.full((2,), 2**14))),
        lambda: codec.encode_blocks(iter([])),
    ):
        with pytest.raises(InputError):
            call()


def test_compiled_decoding_is_the_same(speech: Speech) -> None:
    """What is handed to the compiler gives the same sound at two lengths, with and without text."""
    codec = tiny_codec()
    cases = [replace(speech[0], lengths=torch.tensor([n]), samples=torch.tensor([n * 3840])) for n in (5, 12)]
    cases.append(replace(cases[0], text=(None,)))
    plain = [codec.decode(case) for case in cases]
    codec.compile(backend="eager")
    for case, expected in zip(cases, plain, strict=True):
        torch.testing.assert_close(codec.decode(case), expected, atol=1e-5, rtol=1e-4)
