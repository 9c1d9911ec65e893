"""Lengths, quantizer, decoder, flow and vocoder: padding changes nothing, equations hold."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from tadicodec.config import SolverConfig
from tadicodec.model import flow, quantizer
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.lengths import interpolate, masked_std
from tadicodec.model.vocoder import Vocoder
from tests.conftest import tiny_config


def test_interpolation_is_torchs_on_each_item() -> None:
    torch.manual_seed(0)
    values, lengths = torch.randn(3, 21, 5), torch.tensor([21, 16, 9])
    for targets in (lengths // 8, lengths * 8):
        out = interpolate(values, lengths, targets, int(targets.max()))
        for i in range(3):
            item = values[i, : lengths[i]].T[None]
            expected = F.interpolate(item, int(targets[i]), mode="linear", align_corners=False)[0].T
            torch.testing.assert_close(out[i, : targets[i]], expected, atol=1e-5, rtol=1e-4)


def test_every_code_round_trips() -> None:
    codes = torch.arange(2**14)
    vectors = quantizer.from_codes(codes, 14)
    assert torch.equal(quantizer.to_codes(vectors), codes)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(2**14))
    assert quantizer.from_codes(torch.tensor(1), 14)[-1] > 0 > quantizer.from_codes(torch.tensor(1), 14)[0]


def test_quantizer_is_straight_through_and_zero_is_negative() -> None:
    latents = torch.tensor([[0.0, 0.3, -0.2]], requires_grad=True)
    out = quantizer.quantize(latents)
    torch.testing.assert_close(out, torch.tensor([[-1.0, 1.0, -1.0]]) / math.sqrt(3))
    out.sum().backward()
    assert torch.equal(latents.grad, torch.ones(1, 3))


def test_entropies_reach_their_bounds_and_ignore_padding() -> None:
    latents = F.normalize(torch.randn(2, 50, 14, generator=torch.Generator().manual_seed(0)), dim=-1)
    sure, even = quantizer.entropies(latents)
    assert 0 < sure < even <= 14 * math.log(2) + 1e-4
    padded = torch.cat([latents, torch.ones(2, 7, 14)], dim=1)
    mask = torch.arange(57)[None].expand(2, -1) < 50
    for one, other in zip(quantizer.entropies(padded, mask), (sure, even), strict=True):
        torch.testing.assert_close(one, other)


def test_euler_is_exact_on_a_straight_path() -> None:
    """The velocity of one fixed target is constant along the path, so any number of steps lands on it."""
    target, noise = torch.randn(1, 16, 4), torch.randn(1, 16, 4)
    for steps in (1, 5):
        out = flow.solve(lambda x, t, guided: (target - noise, None), noise, SolverConfig(steps, 0.0))
        torch.testing.assert_close(out, target)


def test_guidance_of_one_is_none() -> None:
    def field(x, t, guided):
        assert not guided, "the unconditional branch must not run"
        return -x, None

    for guidance in (0.0, 1.0):
        flow.solve(field, torch.randn(1, 8, 4), SolverConfig(2, guidance))


def test_noisy_is_the_derivative_of_its_path() -> None:
    mel, noise, time = torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.tensor([0.2, 0.7])
    here, velocity = flow.noisy(mel, noise, time, 1e-5)
    later, _ = flow.noisy(mel, noise, time + 0.1, 1e-5)
    torch.testing.assert_close(later, here + 0.1 * velocity)


def test_masked_std_sees_valid_frames_only() -> None:
    values = torch.randn(2, 10, 3)
    mask = torch.arange(10)[None] < torch.tensor([10, 4])[:, None]
    out = masked_std(values, mask)
    torch.testing.assert_close(out.flatten(), torch.stack([values[0].std(), values[1, :4].std()]))


@pytest.mark.parametrize("prior, patch, voice", [(1, 2, 8), (1, 2, 0), (0, 1, 0), (0, 4, 0)])
def test_decoder_ignores_padding_of_frames_and_text(prior: int, patch: int, voice: int) -> None:
    torch.manual_seed(0)
    config = tiny_config(prior_layers=prior, patch_size=patch, voice_size=voice)
    decoder = Autoencoder(config.autoencoder).eval().decoder
    if voice:
        for part in (decoder.prior.prompt_voice, decoder.prior.token_voice):
            torch.nn.init.normal_(part.out_linear.weight)
    for norm in (layer.input_layernorm for layer in decoder.layers):
        torch.nn.init.normal_(norm.to_weight.weight, std=0.1)
    frames, letters, held = torch.tensor([24, 16]), torch.tensor([5, 9]), torch.tensor([3, 7])
    x, condition, text = torch.randn(2, 24, 128), torch.randn(2, 24, 32), torch.randn(2, 9, 32)
    time = torch.tensor([0.3, 0.8])
    starts = torch.rand(2, 9, generator=torch.Generator().manual_seed(0)).sort().values * 16
    given = decoder.prepare(
        condition, text, lengths=frames, text_lengths=letters, text_times=starts, prompt=x, prompt_lengths=held
    )
    out = decoder(x, time, given)
    for i in range(2):
        f, n = int(frames[i]), int(letters[i])
        own = x[i : i + 1, :f]
        alone = decoder.prepare(
            condition[i : i + 1, :f],
            text[i : i + 1, :n],
            text_times=starts[i : i + 1, :n],
            prompt=own,
            prompt_lengths=held[i : i + 1],
        )
        torch.testing.assert_close(out[i, :f], decoder(own, time[i : i + 1], alone)[0], atol=1e-5, rtol=1e-4)


def test_vocoder_ignores_padding() -> None:
    torch.manual_seed(0)
    vocoder = Vocoder(tiny_config().vocoder).eval()
    mel, lengths = torch.randn(2, 20, 128), torch.tensor([20, 11])
    out = vocoder(mel, lengths)
    assert out.shape == (2, 20 * 480)
    torch.testing.assert_close(out[1, : 11 * 480], vocoder(mel[1:, :11])[0], atol=1e-5, rtol=1e-4)
