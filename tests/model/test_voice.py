"""The voice of a whole utterance: a mean over what holds, and nothing until it is trained."""

from __future__ import annotations

import torch

from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.decoder import Decoder
from tadicodec.model.voice import Voice
from tests.conftest import tiny_config


def trained_voice() -> Voice:
    torch.manual_seed(0)
    voice = Voice(6, 8, 4)
    torch.nn.init.normal_(voice.out_linear.weight)
    return voice


def test_the_order_and_the_rest_do_not_matter() -> None:
    voice, x = trained_voice(), torch.randn(2, 10, 6)
    held = torch.zeros(2, 10)
    held[:, :6] = 1
    mixed = torch.cat([x[:, :6].flip(1), torch.full((2, 4, 6), 9.0)], dim=1)
    torch.testing.assert_close(voice(x, held), voice(mixed, held))
    torch.testing.assert_close(voice(x, held), voice(x[:, :6], torch.ones(2, 6)))


def test_nothing_held_says_nothing() -> None:
    out = trained_voice()(torch.randn(1, 5, 6), torch.zeros(1, 5))
    assert torch.equal(out, torch.zeros(1, 1, 4))


def test_a_position_that_holds_half_a_prompt_counts_half() -> None:
    voice, x = trained_voice(), torch.randn(1, 2, 6)
    one, both = (voice(x, torch.tensor([weights])) for weights in ([1.0, 0.0], [1.0, 0.5]))
    other = voice(x, torch.tensor([[0.0, 1.0]]))
    torch.testing.assert_close(both, (one + 0.5 * other) / 1.5)


def decoders() -> tuple[Decoder, Decoder]:
    """One without voices and the same with, not yet trained."""
    torch.manual_seed(0)
    plain = Autoencoder(tiny_config().autoencoder).eval().decoder
    grown = Autoencoder(tiny_config(voice_size=8).autoencoder).eval().decoder
    missing, left = grown.load_state_dict(plain.state_dict(), strict=False)
    assert not left and all("voice" in name for name in missing)
    return plain, grown


def expected(decoder: Decoder, prompt: torch.Tensor, frames: int) -> torch.Tensor:
    condition = torch.randn(1, 24, 32, generator=torch.Generator().manual_seed(1))
    return decoder.prepare(condition, prompt=prompt, prompt_lengths=torch.tensor([frames])).mel


def test_untrained_it_changes_nothing_and_trained_what_every_frame_is() -> None:
    plain, grown = decoders()
    prompt = torch.randn(1, 24, 128)
    before = expected(plain, prompt, 8)
    assert torch.equal(before, expected(grown, prompt, 8))
    for part in (grown.prior.prompt_voice, grown.prior.token_voice):
        torch.nn.init.normal_(part.out_linear.weight)
        assert ((before - expected(grown, prompt, 8)).abs().amax(-1) > 1e-3).all()
        torch.nn.init.zeros_(part.out_linear.weight)


def test_only_the_prompts_own_frames_are_heard() -> None:
    _, grown = decoders()
    torch.nn.init.normal_(grown.prior.prompt_voice.out_linear.weight)
    prompt = torch.randn(1, 24, 128)
    behind = torch.cat([prompt[:, :7], torch.randn(1, 17, 128)], dim=1)  # ends in the middle of a position
    torch.testing.assert_close(expected(grown, prompt, 7), expected(grown, behind, 7))
    assert not torch.allclose(expected(grown, prompt, 7), expected(grown, prompt.roll(1, -1), 7), atol=1e-3)


def test_heads_attend_to_what_is_held_alone() -> None:
    torch.manual_seed(0)
    voice, x = Voice(6, 8, 4, heads=2), torch.randn(2, 10, 6)
    held = torch.zeros(2, 10)
    held[0, :6] = 1
    summary = voice.embed(x, held)
    torch.testing.assert_close(summary[:1], voice.embed(x[:1, :6].flip(1), torch.ones(1, 6)))
    assert torch.equal(summary[1], torch.zeros(8))
    torch.nn.init.zeros_(voice.score_linear.weight)  # all frames alike: the mean
    torch.manual_seed(0)
    mean = Voice(6, 8, 4).embed(x[:1], held[:1])
    torch.testing.assert_close(voice.embed(x[:1], held[:1]), voice.summary_linear(mean.repeat(1, 2)))
