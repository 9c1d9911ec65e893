"""The fast path is the plain path: fused blocks, one pass for both branches, what is known beforehand computed once."""

from __future__ import annotations

import copy

import pytest
import torch
from plain_path import decode as plain_decode
from torch import Tensor

from tadicodec.config import SolverConfig
from tadicodec.model import flow
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.flow import count_evaluations, evaluation_times
from tadicodec.model.fused import fuse, fused, unfuse
from tests.conftest import tiny_config

GUIDED = SolverConfig(4, 2.0)


def model(**changes: object) -> Autoencoder:
    torch.manual_seed(0)
    network = Autoencoder(tiny_config(**changes).autoencoder).eval().requires_grad_(False)
    for parameter in network.parameters():  # time gains start at zero: give every path something to do
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.15)
    return network


def inputs(ragged: bool) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(2, 48, 128, generator=generator)
    given = {
        "codes": torch.randint(0, 2**14, (2, 6), generator=generator),
        "noise": noise,
        "text_ids": torch.randint(0, 256, (2, 9), generator=generator),
        "prompt": torch.randn(noise.shape, generator=generator),
        "prompt_lengths": torch.tensor([8, 16]),
    }
    if ragged:
        given |= {"lengths": torch.tensor([6, 4]), "text_lengths": torch.tensor([5, 9])}
    return given


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("prior, patch", [(1, 2), (0, 1), (0, 4)])
@torch.no_grad()
def test_the_fast_path_is_the_plain_path(prior: int, patch: int, text: bool, ragged: bool) -> None:
    network, given = model(prior_layers=prior, patch_size=patch), inputs(ragged)
    if not text:
        given = {name: value for name, value in given.items() if not name.startswith("text")}
    plain = plain_decode(network, solver=GUIDED, **given)
    unfused = network.decode(solver=GUIDED, **given)
    fuse(network, torch.float32)
    fast = network.decode(solver=GUIDED, **given)
    for item, frames in enumerate((48, 32 if ragged else 48)):
        torch.testing.assert_close(fast[item, :frames], plain[item, :frames], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(unfused[item, :frames], plain[item, :frames], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_bfloat16_blocks_are_close_and_leave_the_weights_alone() -> None:
    network, given = model(), inputs(ragged=True)
    before = copy.deepcopy(network.state_dict())
    exact = network.decode(solver=GUIDED, **given)
    fuse(network.decoder, torch.bfloat16)
    low = network.decode(solver=GUIDED, **given)
    assert low.dtype == torch.float32 and not torch.equal(low, exact)
    assert (low[0] - exact[0]).norm() < 0.03 * exact[0].norm()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@torch.no_grad()
def test_fused_weights_are_shared_and_never_stale() -> None:
    network = model()
    given, block = inputs(ragged=False), network.decoder.layers[0]
    fuse(network, torch.float32)
    attention = block.self_attn
    assert attention.q_proj.weight.untyped_storage().data_ptr() == attention.v_proj.weight.untyped_storage().data_ptr()
    attention.v_proj.weight.zero_()
    changed = network.decode(solver=GUIDED, **given)
    attention.o_proj = torch.nn.Identity()  # another kind of projection, as quantization puts in
    replaced = network.decode(solver=GUIDED, **given)
    unfuse(network)
    assert not fused(block).fits(network.decoder.layers[1])
    torch.testing.assert_close(network.decode(solver=GUIDED, **given), replaced, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(changed, replaced, atol=1e-4, rtol=1e-4)  # no values, nothing attended to


def test_training_does_not_see_fused_weights() -> None:
    network = model()
    fuse(network, torch.bfloat16)
    network.requires_grad_(True)
    mel = torch.randn(1, 16, 128)
    hidden = network.encoder(mel)
    hidden.sum().backward()
    assert network.encoder.layers[0].self_attn.q_proj.weight.grad is not None
    unfuse(network)
    assert torch.equal(hidden, network.encoder(mel))


@pytest.mark.parametrize(
    "method, steps, evaluations, passes",
    [("euler", 4, 4, 8), ("midpoint", 4, 8, 16), ("heun", 4, 7, 14), ("ab2", 4, 4, 8)],
)
def test_evaluations_are_counted(method: str, steps: int, evaluations: int, passes: int) -> None:
    config, calls = SolverConfig(steps, 2.0, method=method), []

    def field(x: Tensor, time: float, guided: bool) -> tuple[Tensor, Tensor]:
        calls.append((time, guided))
        return x, x

    flow.solve(field, torch.randn(1, 4, 2), config)
    assert evaluation_times(config) == [time for time, _ in calls] and len(calls) == evaluations
    assert count_evaluations(config) == passes == sum(1 + guided for _, guided in calls)


def test_guidance_interval_saves_evaluations() -> None:
    config = SolverConfig(4, 2.0, guidance_from=0.3, guidance_to=0.7)
    assert [config.guided_at(time) for time in evaluation_times(config)] == [False, True, True, False]
    assert (
        count_evaluations(config) == 6
        and count_evaluations(SolverConfig(4, 2.0, guidance_from=0.9, guidance_to=0.1)) == 4
    )


@pytest.mark.parametrize("method, order", [("euler", 1), ("midpoint", 2), ("heun", 2), ("ab2", 2)])
def test_solvers_have_their_order(method: str, order: int) -> None:
    """dx/dt = x + t from 1: halving the step divides the error by 2 to the order (Euler's velocity looks ahead in t
    only)."""
    exact = 2 * torch.tensor(1.0).double().exp() - 2

    def error(steps: int) -> float:
        def field(x: Tensor, time: float, guided: bool) -> tuple[Tensor, None]:
            return x + time, None

        config = SolverConfig(steps, 1.0, method=method)
        return float((flow.solve(field, torch.ones(1, 1, 1).double(), config) - exact).abs().max())

    assert 2 ** (order - 0.35) < error(16) / error(32) < 2 ** (order + 0.6)


def test_sway_moves_steps_towards_the_noise() -> None:
    even, early = SolverConfig(4).edges, SolverConfig(4, sway=-1.0).edges
    assert even == [0, 0.25, 0.5, 0.75, 1] and early[0] == 0 and early[-1] == 1
    assert all(b < a for a, b in zip(even[1:-1], early[1:-1])) and early == sorted(early)


def test_temperature_scales_the_noise_but_not_the_prompt() -> None:
    noise, prompt = torch.randn(1, 8, 4, generator=torch.Generator().manual_seed(0)), torch.ones(1, 8, 4)

    def still(mel: torch.Tensor, time: float, guided: bool) -> tuple[torch.Tensor, None]:
        return torch.zeros_like(mel), None

    cold = SolverConfig(2, 1.0, temperature=0.5)
    out = flow.solve(still, noise, cold, prompt=prompt, prompt_lengths=torch.tensor([3]))
    assert torch.equal(out[:, :3], prompt[:, :3]) and torch.equal(out[:, 3:], 0.5 * noise[:, 3:])
