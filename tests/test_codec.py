"""Codec: the promises a user relies on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.pipeline.encoding import parts_of
from tadicodec.pipeline.pieces import Script
from tests.conftest import tiny_codec, voice


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def test_encode_twice_is_the_same(codec: Codec) -> None:
    wave = voice(2.3)
    assert torch.equal(codec.encode(wave, 24000).codes, codec.encode(wave, 24000).codes)


def test_batch_encodes_as_single(codec: Codec) -> None:
    waves = [voice(seconds, pitch=pitch) for seconds, pitch in ((0.01, 90), (1.0, 150), (3.1, 120), (0.16, 200))]
    together = codec.encode(waves, 24000)
    for i, wave in enumerate(waves):
        alone = codec.encode(wave, 24000)
        assert together.lengths[i] == alone.lengths[0] and together.samples[i] == len(wave)
        assert torch.equal(together[i].codes, alone.codes)


@pytest.mark.parametrize("text", [None, "a text", "mixed"])
@pytest.mark.parametrize("prompted", [False, True])
@pytest.mark.parametrize("prior", [1, 0])
def test_batch_decodes_as_single(text: str | None, prompted: bool, prior: int) -> None:
    codec = tiny_codec(prior_layers=prior, patch_size=2 if prior else 1)
    waves = [voice(0.7), voice(2.0, pitch=180), voice(1.3, pitch=90)]
    texts = ["short", None, "a much longer text than the others"] if text == "mixed" else [text] * 3
    prompts = (
        [codec.prompt(voice(1.0, pitch=80), 24000, "hi"), None, codec.prompt(voice(0.5), 24000)] if prompted else None
    )
    together = codec.decode(codec.encode(waves, 24000, texts), prompts, generator=[seeded(i) for i in range(3)])
    for i, wave in enumerate(waves):
        alone = codec.decode(codec.encode(wave, 24000, texts[i]), prompts and prompts[i], generator=seeded(i))
        assert alone.shape == (1, len(wave))
        torch.testing.assert_close(together[i, : len(wave)], alone[0], atol=2e-5, rtol=1e-4)
        assert not together[i, len(wave) :].any()


def test_one_generator_serves_items_in_turn(codec: Codec) -> None:
    speech = codec.encode([voice(0.5), voice(0.9)], 24000)
    together, turns = codec.decode(speech, generator=seeded(3)), seeded(3)
    for i in range(2):
        alone = codec.decode(speech[i], generator=turns)
        torch.testing.assert_close(together[i, : alone.shape[1]], alone[0], atol=2e-5, rtol=1e-4)


def test_decode_repeats_with_a_seed(codec: Codec) -> None:
    speech = codec.encode(voice(1.0), 24000, "text")
    first, again, other = (codec.decode(speech, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(codec.decode(speech), codec.decode(speech, generator=seeded(0)))


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000, 192000])
def test_length_follows_duration_at_any_rate(codec: Codec, rate: int) -> None:
    wave = voice(0.53, sample_rate=rate)
    out = codec.reconstruct(wave, rate)
    assert out.shape == (1, -(-len(wave) * 24000 // rate))
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("wave", [np.zeros(240, np.float32), np.zeros(24000, np.float32), np.ones(1, np.float32)])
def test_silence_and_shortest(codec: Codec, wave: np.ndarray) -> None:
    out = codec.reconstruct(wave, 24000)
    assert out.shape == (1, len(wave)) and torch.isfinite(out).all()


def test_text_and_prompt_change_the_sound(codec: Codec) -> None:
    wave = voice(1.0)
    plain = codec.reconstruct(wave, 24000)
    assert not torch.allclose(plain, codec.reconstruct(wave, 24000, "some words"))
    assert not torch.allclose(plain, codec.reconstruct(wave, 24000, prompt=codec.prompt(voice(1.0, pitch=300), 24000)))
    assert torch.equal(plain, codec.reconstruct(wave, 24000, codec.transcribe(wave, 24000)))


def test_long_audio_in_pieces(codec: Codec) -> None:
    """30 s through a model that takes 12 at once: exact length, all words used once, no piece forgotten."""
    wave = voice(30.0)
    speech = codec.encode(wave, 24000, "one two three four five six seven eight nine ten")
    assert speech.lengths.tolist() == [188]
    first = next(parts_of([wave], codec.limits.cutter()))
    assert torch.equal(codec.encode(first, 24000).codes[0], speech.codes[0, : len(first) // 3840])
    out = codec.decode(speech, steps=1)
    assert out.shape == (1, len(wave)) and torch.isfinite(out).all()


def test_pieces_use_every_word_once() -> None:
    for text in ("one two three four five six seven eight nine ten", "今天天气很好，我们去公园玩吧。"):
        parts = [Script(text, 400).between(*place) for place in ((0, 130), (130, 280), (280, 400))]
        assert "".join(parts).replace(" ", "") == text.replace(" ", "") and all(parts)


def test_minutes(codec: Codec) -> None:
    """Exact length, finite, and the vocoder in pieces sounds as it does whole."""
    wave = np.tile(voice(30.0), 6)
    out = codec.reconstruct(wave, 24000, steps=1, guidance=1.0)
    assert out.shape == (1, len(wave)) and torch.isfinite(out).all()
    mel = torch.randn(1, 3200, 128, generator=seeded())
    torch.testing.assert_close(codec.vocode(mel), codec.vocoder(mel), atol=1e-4, rtol=1e-3)


def test_half_precision_of_a_long_clip(codec: Codec) -> None:
    speech = codec.encode(voice(11.9), 24000, "some words")
    for dtype in (torch.float16, torch.bfloat16):
        out = codec.to("cpu", dtype).decode(speech)
        codec.to("cpu", torch.float32)
        assert torch.isfinite(out).all()


def test_codes_and_prompts_of_other_models_are_refused(codec: Codec) -> None:
    speech = codec.encode(voice(0.5), 24000)
    for bad in (
        replace(speech, weights="deadbeef"),
        replace(speech, lengths=torch.tensor([100])),
        replace(speech, text=()),
    ):
        with pytest.raises(InputError):
            codec.decode(bad)
    prompt = codec.prompt(voice(0.5), 24000)
    for bad in (
        replace(prompt, mel=prompt.mel[:, :80]),
        replace(prompt, mel=prompt.mel[:9]),
        replace(prompt, codes=prompt.codes + 20000),
    ):
        with pytest.raises(InputError):
            codec.decode(speech, bad)


def test_integer_samples_are_scaled(codec: Codec) -> None:
    wave = (voice(0.5) * 32767).astype(np.int16)
    assert torch.equal(codec.encode(wave, 24000).codes, codec.encode(wave / np.float32(32768), 24000).codes)


def test_saved_and_loaded_agree_to_the_bit(codec: Codec, tmp_path) -> None:
    codec.save_pretrained(tmp_path / "model")
    loaded = Codec.from_pretrained(tmp_path / "model")
    assert loaded.weights == codec.weights and loaded.config == codec.config and loaded.info() == codec.info()
    speech = codec.encode(voice(1.1), 24000, "words")
    assert torch.equal(loaded.encode(voice(1.1), 24000).codes, speech.codes)
    assert torch.equal(loaded.decode(speech), codec.decode(speech))
    with pytest.raises(InputError, match="exists"):
        codec.save_pretrained(tmp_path / "model")


def test_half_precision_files_load(codec: Codec, tmp_path) -> None:
    codec.save_pretrained(tmp_path / "half", dtype=torch.float16)
    loaded = Codec.from_pretrained(tmp_path / "half")
    assert next(loaded.model.parameters()).dtype == torch.float32
    loaded.save_pretrained(tmp_path / "again", dtype=torch.float16)
    assert Codec.from_pretrained(tmp_path / "again").weights == loaded.weights


def test_low_precision_decoder_is_close(codec: Codec) -> None:
    speech = codec.encode(voice(1.0), 24000, "words")
    exact = codec.decode(speech)
    low = codec.to("cpu", torch.bfloat16).decode(speech)
    codec.to("cpu", torch.float32)
    assert torch.isfinite(low).all() and low.dtype == torch.float32
    assert (low - exact).square().mean() < 0.1 * exact.square().mean()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda c: c.encode(np.zeros(0, np.float32), 24000), "at least one sample"),
        (lambda c: c.encode(np.array([0.0, np.nan], np.float32), 24000), "NaN"),
        (lambda c: c.encode(np.array([0.0, np.inf], np.float32), 24000), "infinite"),
        (lambda c: c.encode(np.zeros((2, 3, 4), np.float32), 24000), "shape"),
        (lambda c: c.encode(np.zeros((200, 2), np.float32), 24000), "channels come last"),
        (lambda c: c.encode(np.full(100, 1e30, np.float32), 24000), "scale its samples"),
        (lambda c: c.encode(voice(0.1), 24000.5), "whole number"),
        (lambda c: Codec.from_pretrained(None, device="meta"), "meta|assets"),
        (lambda c: c.encode([], 24000), "no waves"),
        (lambda c: c.encode(voice(0.1), 24000, ["a", "b"]), "2 texts"),
        (lambda c: c.encode(voice(0.1), 0), "rate"),
        (lambda c: c.reconstruct(voice(0.5), 24000, "x" * 201), "model takes 200"),
        (lambda c: c.reconstruct(voice(0.5), 24000, steps=0), "steps"),
        (lambda c: c.reconstruct(voice(0.5), 24000, guidance=-1.0), "guidance"),
        (lambda c: c.reconstruct(voice(0.5), 24000, guidance=float("nan")), "guidance"),
        (lambda c: c.prompt(voice(0.05), 24000), "prompt of 0.05 s"),
        (lambda c: c.prompt(voice(13.0), 24000), "prompt of 13.00 s"),
        (lambda c: Codec.from_pretrained("no/such/folder"), "no such model"),
        (lambda c: Codec.from_pretrained("."), "no config.json"),
    ],
)
def test_bad_input_is_one_line(codec: Codec, call, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        call(codec)
    assert "\n" not in str(error.value)
