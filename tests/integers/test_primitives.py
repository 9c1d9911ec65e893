"""Grids, ranges, packing, rotation: hand-computed cases and round trips."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tadicodec.errors import InputError
from tadicodec.integers import ranges
from tadicodec.integers.activation import Activation, hadamard, random_signs, rotate, smoothing_scale
from tadicodec.integers.grid import Grid, round_to_grid, split, to_levels, weight_grid
from tadicodec.integers.packing import from_fixed_point, pack, to_fixed_point, unpack
from tadicodec.integers.straight import fake_quantize, lsq_factor, pass_through, round_through, scale_gradient, stored
from tadicodec.quant import observe
from tadicodec.quant.lowrank import LowRank, loftq


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed))


@pytest.mark.parametrize(
    ("grid", "ends"),
    [
        (Grid(8), (-128, 127)),
        (Grid(4, narrow=True), (-7, 7)),
        (Grid(2, narrow=True), (-1, 1)),
        (Grid(3, signed=False), (0, 7)),
    ],
)
def test_ends_of_grids(grid: Grid, ends: tuple[int, int]) -> None:
    assert (grid.lowest, grid.highest) == ends


def test_levels_by_hand() -> None:
    values = torch.tensor([[0.0, 0.5, -1.4, 9.0]])
    grid = weight_grid(3)
    assert to_levels(split(values, grid), torch.tensor(0.5), None, grid).tolist() == [[[0, 1, -3, 3]]]
    unsigned = weight_grid(3, signed=False)
    assert to_levels(split(values, unsigned), torch.tensor(0.5), torch.tensor(3.0), unsigned).tolist() == [
        [[3, 4, 0, 7]]
    ]


def test_granularities_share_what_they_say() -> None:
    values = normal(3, 8)
    assert split(values, Grid(4, granularity="tensor")).shape == (1, 1, 24)
    assert split(values, Grid(4)).shape == (3, 1, 8)
    assert split(values, weight_grid(4, 4)).shape == (3, 2, 4)
    with pytest.raises(InputError, match="do not divide 8"):
        split(values, weight_grid(4, 3))


@pytest.mark.parametrize("bad", [{"bits": 1}, {"bits": 9}, {"bits": 4, "group": 3}, {"bits": 4, "granularity": "x"}])
def test_impossible_grids_are_refused(bad: dict) -> None:
    with pytest.raises(InputError):
        Grid(**bad)


def test_rounding_is_idempotent_and_nearest() -> None:
    values, grid = normal(5, 16), weight_grid(4, 8)
    scale = ranges.no_clip(split(values, grid), grid)
    rounded = round_to_grid(values, scale, None, grid)
    torch.testing.assert_close(round_to_grid(rounded, scale, None, grid), rounded)
    assert ((split(values - rounded, grid)).abs() <= scale / 2 + 1e-6).all()


def test_range_rules_by_hand() -> None:
    groups, grid = torch.tensor([[[-8.0, 3.5, 0.0, 1.0]]]), Grid(4)
    assert ranges.no_clip(groups, grid).item() == 1.0  # max(8 / 8, 3.5 / 7)
    assert ranges.absmax(groups, Grid(4, narrow=True)).item() == pytest.approx(8 / 7)
    scale, zero = ranges.min_max(*ranges.ends(groups), Grid(4, signed=False))
    assert scale.item() == pytest.approx(11.5 / 15) and zero.item() == 10  # 8 / 0.7667 = 10.43
    _, floored = ranges.min_max(torch.tensor(-0.9), torch.tensor(2.1), Grid(2, signed=False), floor=True)
    assert floored.item() == 0  # -0.9 / 1.0, rounded down
    spread = torch.tensor([[[-1.0, 1.0]]])
    assert ranges.three_sigma(spread, Grid(2)).item() == pytest.approx(3 / 2)
    levels, size = ranges.ternary(torch.tensor([[[1.0, -3.0, 0.1, 0.0]]]))  # threshold 0.7 * 4.1 / 4 = 0.7175
    assert levels.tolist() == [[[1, -1, 0, 0]]] and size.item() == 2.0


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_searched_range_is_never_worse(bits: int) -> None:
    groups = split(normal(6, 64).pow(3), weight_grid(bits))
    signed, unsigned = weight_grid(bits), weight_grid(bits, signed=False)

    def error(scale: Tensor, zero: Tensor | None, grid: Grid, power: float) -> Tensor:
        return (ranges.rounded(groups, scale, zero, grid) - groups).abs().pow(power).sum(-1)

    found = ranges.least_error(groups, signed)
    assert (error(found, None, signed, 4) <= error(ranges.no_clip(groups, signed), None, signed, 4) + 1e-6).all()
    low, high = ranges.ends(groups)
    share = ranges.least_error_share(groups, unsigned)
    best, full = ranges.min_max(low * share, high * share, unsigned), ranges.min_max(low, high, unsigned)
    assert (error(*best, unsigned, 2) <= error(*full, unsigned, 2) + 1e-6).all()


def test_zero_rows_stay_zero() -> None:
    groups = torch.zeros(2, 1, 8)
    for rule in (ranges.absmax, ranges.no_clip, ranges.three_sigma, ranges.least_error):
        assert (ranges.rounded(groups, rule(groups, Grid(4)), None, Grid(4)) == 0).all()


@pytest.mark.parametrize("width", [2, 4, 8])
@pytest.mark.parametrize("count", [1, 7, 8, 33])
@pytest.mark.parametrize("high_first", [False, True])
def test_packing_round_trip(width: int, count: int, high_first: bool) -> None:
    values = torch.randint(2**width, (5, count), generator=generator())
    packed = pack(values, width, high_first=high_first)
    assert packed.dtype == torch.uint8 and packed.shape == (5, -(-count * width // 8))
    assert torch.equal(unpack(packed, width, count, high_first=high_first).long(), values)


def test_packing_order_by_hand() -> None:
    values = torch.tensor([[0x1, 0x2]])
    assert pack(values, 4).item() == 0x21 and pack(values, 4, high_first=True).item() == 0x12
    assert pack(torch.tensor([[3, 0, 1, 2]]), 2).item() == 0b10_01_00_11


@pytest.mark.parametrize("bits", [3, 4])
def test_fixed_point(bits: int) -> None:
    values = torch.linspace(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 97)
    back = from_fixed_point(to_fixed_point(values, bits), bits)
    assert (back - values).abs().max() <= 2.0 ** -(8 - bits) / 2
    assert torch.equal(to_fixed_point(back, bits), to_fixed_point(values, bits))


@pytest.mark.parametrize("size", [1, 4, 24, 64])
def test_hadamard_is_orthogonal_and_a_layer_does_not_notice(size: int) -> None:
    matrix = hadamard(torch.eye(size, dtype=torch.float64))
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(size, dtype=torch.float64))
    signs = random_signs(size, generator())
    weight, x = normal(3, size).double(), normal(5, size, seed=1).double()
    torch.testing.assert_close(rotate(x, signs) @ rotate(weight, signs).T, x @ weight.T)


def test_hadamard_by_hand() -> None:
    assert hadamard(torch.tensor([1.0, 0, 0, 0])).tolist() == [0.5] * 4
    torch.testing.assert_close(hadamard(torch.tensor([1.0, 2, 3, 4])), torch.tensor([5.0, -1, -2, 0]))


def test_rotation_spreads_an_outlier() -> None:
    x = torch.zeros(1, 64)
    x[0, 5] = 8.0
    assert rotate(x, random_signs(64, generator())).abs().max() == pytest.approx(1.0)


def test_smoothing_evens_out() -> None:
    x, weight = normal(200, 16), normal(8, 16, seed=1)
    x[:, 3] *= 50
    scale = smoothing_scale(x, weight)
    torch.testing.assert_close((x / scale) @ (weight * scale).T, x @ weight.T, rtol=1e-4, atol=1e-3)
    assert (x / scale)[:, 3].abs().max() < x[:, 3].abs().max() / 4
    assert scale.log().mean().abs() < 1e-5


def test_low_rank_starts_at_zero_and_loftq_lowers_the_error() -> None:
    part = LowRank((8, 12), 3, 6.0, generator())
    assert part.delta().abs().max() == 0 and part.gain == 2
    weight, grid = normal(8, 12), weight_grid(2)

    def quantize(w: Tensor) -> Tensor:
        return round_to_grid(w, ranges.no_clip(split(w, grid), grid), None, grid)

    left, right = loftq(weight, quantize, 3)
    part.fill(left, right)
    torch.testing.assert_close(part.delta(), left @ right)
    base = quantize(weight - part.delta())
    assert (weight - base - part.delta()).norm() < (weight - quantize(weight)).norm()


def test_straight_through_and_scaled_gradients() -> None:
    x = torch.tensor([0.2, 1.7, -0.5], requires_grad=True)
    y = round_through(x)
    assert y.tolist() == [0, 2, 0]
    (3 * scale_gradient(y, 0.5)).sum().backward()
    assert x.grad.tolist() == [1.5] * 3
    s = torch.tensor([0.1234567], requires_grad=True)
    half = stored(s, torch.float16)
    half.sum().backward()
    assert half.item() == s.half().item() and s.grad.item() == 1


@pytest.mark.parametrize("zero", [None, 3.0])
def test_learned_step_gradient_is_the_published_one(zero: float | None) -> None:
    grid = weight_grid(3, 4, signed=zero is None)
    values = (2 * normal(2, 8)).requires_grad_()
    scale = torch.full((2, 2, 1), 0.4).requires_grad_()
    offset = None if zero is None else torch.full((2, 2, 1), zero)
    upstream = normal(2, 8, seed=2)
    (fake_quantize(values, scale, offset, grid) * upstream).sum().backward()
    z = 0.0 if zero is None else zero
    ratio = values.detach().unflatten(-1, (2, 4)) / 0.4
    below, above = ratio.round() + z < grid.lowest, ratio.round() + z > grid.highest
    inside = ~(below | above)
    slope = torch.where(inside, ratio.round() - ratio, torch.where(below, grid.lowest - z, grid.highest - z))
    torch.testing.assert_close(scale.grad, (upstream.unflatten(-1, (2, 4)) * slope).sum(-1, keepdim=True))
    torch.testing.assert_close(values.grad, upstream * inside.flatten(-2))
    assert lsq_factor(scale, 16, grid) == pytest.approx((4 * grid.highest) ** -0.5)


def test_pass_through_ignores_the_clip() -> None:
    values = torch.tensor([[100.0, 0.3]], requires_grad=True)
    out = pass_through(values, torch.tensor(0.5), None, Grid(3))
    out.sum().backward()
    assert out.tolist() == [[1.5, 0.5]] and values.grad.tolist() == [[1.0, 1.0]]


def test_activations_round_each_token_by_itself() -> None:
    x = torch.stack([normal(8), 100 * normal(8, seed=1)])
    for activation in (Activation(8), Activation(8, symmetric=True)):
        both = activation(x)
        assert torch.equal(both[:1], activation(x[:1])) and torch.equal(both[1:], activation(x[1:]))
        assert ((both - x).abs() <= x.abs().amax(-1, keepdim=True) / 60).all()
    per_tensor = Activation(8, granularity="tensor")(x)
    assert not torch.equal(per_tensor[:1], Activation(8)(x)[:1])
    assert Activation()(x) is x
    with pytest.raises(InputError):
        Activation(1)


def test_hooks_record_replace_and_leave() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    x = normal(5, 4)
    plain = model(x)
    with observe.recorded_outputs(model, ["0"]) as seen:
        model(x)
    torch.testing.assert_close(seen["0"], model[0](x))
    with observe.replaced_outputs(model, {"0": torch.zeros(5, 4)}) as own:
        torch.testing.assert_close(model(x), model[1].bias.expand(5, 4))
    torch.testing.assert_close(own["0"], seen["0"])
    inputs = observe.collect_inputs(model, ["0", "1"], lambda: model(x), generator(), rows=3)
    assert inputs["1"].shape == (3, 4) and all((row == x).all(-1).any() for row in inputs["0"])
    assert torch.equal(model(x), plain) and not model[0]._forward_hooks and not model[0]._forward_pre_hooks


def test_saved_bytes_counts_a_storage_once() -> None:
    x, layer = normal(16, 8), nn.Linear(8, 8)
    with observe.SavedBytes() as saved:
        (layer(x).square() + layer(x)).sum()
    assert saved.total(without=[*layer.parameters()]) == x.nbytes + 16 * 8 * 4
