"""Each method against its equations: gradients by slow loops or plain autograd, merges to the integer, layouts."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from tadicodec.errors import InputError
from tadicodec.integers.activation import Activation
from tadicodec.integers.grid import split
from tadicodec.integers.packed_linear import PackedLinear
from tadicodec.quant.conversion import convert, each_trained, prepare
from tadicodec.quant.l4q import L4QLinear
from tadicodec.quant.lr_qat import LRQATLinear
from tadicodec.quant.observe import SavedBytes, collect_inputs
from tadicodec.quant.perturbation import Directions, ZerothOrder
from tadicodec.quant.quant_settings import QuantConfig, TuneConfig
from tadicodec.quant.roste import RoSTELinear
from tadicodec.quant.ternary import TernaryLinear
from tadicodec.quant.zero_qat import ZeroQATLinear
from tests.integers.test_primitives import generator, normal

W4A4 = Activation(4, clip=0.95)
CONFIGS = {
    "glm": QuantConfig(bits=4, group=8),
    "lr_qat": QuantConfig("lr_qat", bits=3, rank=4),
    "lr_qat_two_bits": QuantConfig("lr_qat", bits=2, group=8, rank=4),
    "lr_qat_integer": QuantConfig("lr_qat", bits=4, group=8, rank=4, store="integer", loftq=2),
    "lr_qat_float": QuantConfig("lr_qat", bits=4, rank=4, store="float", scale="float32"),
    "l4q": QuantConfig("l4q", bits=3, group=8, rank=4),
    "l4q_offset": QuantConfig("l4q", bits=4, group=8, rank=4, learn_offset=True, scale="float32"),
    "ternary": QuantConfig("teacher_intervention", bits=2, activation=Activation(8, symmetric=True)),
    "ternary_groups": QuantConfig("teacher_intervention", bits=2, group=8),
    "three_bits": QuantConfig("teacher_intervention", bits=3),
    "zero_qat": QuantConfig("zero_qat", bits=4, activation=Activation(4)),
    "zero_qat_layers": QuantConfig("zero_qat", bits=4, rotation="all", variant="layers", activation=Activation(4)),
    "zero_qat_weights": QuantConfig("zero_qat", bits=2, group=8, variant="scales"),
    "roste": QuantConfig("roste", bits=4, activation=W4A4),
    "roste_all": QuantConfig("roste", bits=4, rotation="all", activation=W4A4),
}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 24), nn.SiLU(), nn.Linear(24, 8, bias=False)).eval()


def prepared(config: QuantConfig, model: nn.Module | None = None) -> nn.Module:
    model = model or network()
    inputs = collect_inputs(model, ["0", "2"], lambda: model(normal(64, 16)), generator(), rows=32)
    return prepare(model, config, generator(), inputs)


def disturb(model: nn.Module) -> None:
    """As if it had been trained."""
    with torch.no_grad():
        for index, layer in enumerate(each_trained(model)):
            for p in [*layer.weights()]:
                p.add_(
                    0.3 * p.std() * normal(*p.shape, seed=index)
                    if p.numel() and p.std() > 0
                    else 0.2 * normal(*p.shape)
                )
            for p in [*layer.scales()]:
                p.mul_(1 + 0.05 * normal(*p.shape, seed=index))


@pytest.mark.parametrize("name", CONFIGS)
def test_trained_and_converted_agree_to_the_integer(name: str) -> None:
    model = prepared(CONFIGS[name])
    disturb(model)
    x = normal(5, 16, seed=3)
    before, layers = model(x).detach(), {k: m for k, m in model.named_modules() if hasattr(m, "integers")}
    levels = {k: m.integers().levels.clone() for k, m in layers.items()}
    weights = {k: m.weight().detach().clone() for k, m in layers.items()}
    convert(model)
    for key, layer in ((k, model.get_submodule(k)) for k in levels):
        assert isinstance(layer, PackedLinear)
        assert torch.equal(layer.levels().float(), levels[key].float())
        torch.testing.assert_close(layer.weight(), weights[key], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model(x), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_training_step_moves_only_what_the_method_trains(name: str) -> None:
    model = prepared(CONFIGS[name])
    own = {id(p) for layer in each_trained(model) for p in (*layer.weights(), *layer.scales())}
    assert all(p.requires_grad == (id(p) in own) for p in model.parameters())
    if not own or CONFIGS[name].variant == "layers":  # whose clip of inputs has no gradient
        return
    model(normal(5, 16)).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters() if id(p) in own)


# LR-QAT ---------------------------------------------------------------------------


@pytest.mark.parametrize("group", [0, 8])
def test_lr_qat_gradients_are_the_published_ones(group: int) -> None:
    config = QuantConfig("lr_qat", bits=3, group=group, rank=4, alpha=8.0, scale="float32")
    layer = LRQATLinear(nn.Linear(16, 6, bias=False), config, generator())
    layer.correction.left.data.copy_(normal(6, 4))
    x, upstream = normal(7, 16, seed=1).requires_grad_(), normal(7, 6, seed=2)
    (layer(x) * upstream).sum().backward()
    whole = split(upstream.T @ x.detach(), layer.grid)  # G
    z = layer.thaw() + layer.correction.delta().detach()
    inside = split((z.round() >= -4) & (z.round() <= 3), layer.grid)
    integers = split(z.round().clamp(-4, 3), layer.grid)
    to_z = (layer.scale.detach() * whole * inside).flatten(-2)
    torch.testing.assert_close(layer.correction.left.grad, 2.0 * to_z @ layer.correction.right.detach().T)
    torch.testing.assert_close(layer.correction.right.grad, 2.0 * layer.correction.left.detach().T @ to_z)
    torch.testing.assert_close(layer.scale.grad, (whole * integers).sum(-1, keepdim=True))
    torch.testing.assert_close(x.grad, upstream @ layer.weight().detach())


def test_lr_qat_stores_bytes_and_starts_at_rounding() -> None:
    linear = nn.Linear(32, 24)
    sizes = {}
    for store in ("float", "fixed", "integer"):
        layer = LRQATLinear(linear, QuantConfig("lr_qat", bits=4, store=store), generator())
        sizes[store] = layer.frozen.nbytes
        expected = split(linear.weight, layer.grid).div(layer.scale).round().clamp(-8, 7).flatten(-2)
        assert (layer.levels() - expected).abs().max() <= (1 if store == "fixed" else 0)
    assert sizes == {"float": 32 * 24 * 4, "fixed": 32 * 24, "integer": 32 * 24 / 2}


# L4Q ----------------------------------------------------------------------------------------------------------------


def l4q_layer(offset: bool) -> L4QLinear:
    config = QuantConfig("l4q", bits=3, group=4, rank=2, alpha=3.0, learn_offset=offset, scale="float32")
    layer = L4QLinear(nn.Linear(8, 5, bias=False), config, generator())
    layer.factor = 1.0
    layer.scale.data.mul_(0.5)  # so that something is clipped
    layer.adapter.left.data.copy_(0.3 * normal(5, 2))
    if offset:
        layer.offset.data.copy_(0.05 * normal(*layer.offset.shape))
    return layer.double()


def test_l4q_starts_where_nothing_is_clipped_or_where_errors_are_least() -> None:
    linear = nn.Linear(64, 16)
    errors, clipped = [], []
    for searched in (False, True):
        layer = L4QLinear(linear, QuantConfig("l4q", bits=3, group=32, searched=searched), generator())
        errors.append(float((layer.weight() - linear.weight).abs().pow(4).sum()))
        units = layer.adapted().units()
        clipped.append(bool(((units < -4.01) | (units > 3.01)).any()))
    assert errors[1] < errors[0] and clipped == [False, True]


@pytest.mark.parametrize("offset", [False, True])
def test_l4q_gradients_match_plain_autograd_and_a_slow_loop(offset: bool) -> None:
    layer, x = l4q_layer(offset), normal(2, 3, 8, seed=1).double().requires_grad_()
    upstream = normal(2, 3, 5, seed=2).double()
    (layer(x) * upstream).sum().backward()
    found = {name: p.grad.clone() for name, p in layer.named_parameters()} | {"x": x.grad.clone()}
    for p in (*layer.parameters(), x):
        p.grad = None

    adapted = layer.adapted()  # straight-through composition, all of it kept for the backward pass
    clamped = adapted.units().clamp(-4, 3)
    levels = clamped + (clamped.round() - clamped).detach()
    (x @ adapted.weight(levels).T * upstream).sum().backward()
    for name, p in (*layer.named_parameters(), ("x", x)):
        torch.testing.assert_close(found[name], p.grad, rtol=1e-10, atol=1e-12)

    whole, units = upstream.flatten(0, 1).T @ x.detach().flatten(0, 1), adapted.units().detach()
    to_scale = torch.zeros_like(layer.scale)
    to_offset = torch.zeros_like(layer.scale)
    for o in range(5):
        for i in range(8):
            w, g = units[o, i // 4, i % 4].item(), whole[o, i].item()
            inside = -4 <= w <= 3
            to_scale[o, i // 4, 0] += g * ((round(w) - w) if inside else (-4 if w < -4 else 3))
            to_offset[o, i // 4, 0] += g * (not inside)
    torch.testing.assert_close(found["scale"], to_scale)
    if offset:
        torch.testing.assert_close(found["offset"], to_offset)
    assert to_offset.abs().max() > 0  # something was clipped


def test_l4q_keeps_no_more_than_its_input() -> None:
    torch.manual_seed(0)
    layer = L4QLinear(nn.Linear(64, 64, bias=False), QuantConfig("l4q", bits=4, rank=4), generator())
    x = normal(3, 64)
    with SavedBytes() as saved:
        layer(x)
    assert saved.total([*layer.parameters(), layer.frozen, x]) < 64 * 64  # bytes: no tensor of the weight's size
    adapted = layer.adapted()
    with SavedBytes() as plain:
        clamped = adapted.units().clamp(-8, 7)
        x @ adapted.weight(clamped + (clamped.round() - clamped).detach()).T
    assert plain.total([*layer.parameters(), layer.frozen, x]) > 2 * 64 * 64 * 4


def test_l4q_offset_needs_precise_scales() -> None:
    with pytest.raises(InputError, match="float32"):
        QuantConfig("l4q", learn_offset=True)


# ternary, RoSTE -----------------------------------------------------------------------------------------------------


def test_ternary_gradient_is_one_inside_the_clip() -> None:
    linear = nn.Linear(8, 2, bias=False)
    linear.weight.data[0, 0] = 9.0
    layer = TernaryLinear(linear, CONFIGS["ternary"])
    upstream = normal(2, 8)
    (layer.weight() * upstream).sum().backward()
    expected = upstream.clone()
    expected[0, 0] = 0
    assert torch.equal(layer.latent.grad, expected)
    assert set(layer.integers().levels.unique().tolist()) <= {-1.0, 0.0, 1.0}
    assert layer.integers().scale.unique().numel() == 1  # one magnitude for the weight


def test_roste_gradient_passes_straight_through_in_rotated_space() -> None:
    layer = RoSTELinear.make(nn.Linear(8, 3, bias=False), CONFIGS["roste_all"], None, generator())
    assert layer.signs is not None
    x, upstream = normal(4, 8, seed=1).requires_grad_(), normal(4, 3, seed=2)
    (layer(x) * upstream).sum().backward()
    matrix = layer.turned(torch.eye(8)).T  # R
    rounded = layer.prepare_input(x).detach()  # Q_x(R x)
    torch.testing.assert_close(layer.latent.grad, upstream.T @ rounded @ matrix)
    torch.testing.assert_close(x.grad, upstream @ layer.weight().detach() @ matrix)


def test_roste_rotates_where_it_helps_and_only_there() -> None:
    linear, x = nn.Linear(64, 32, bias=False), normal(200, 64)
    config = CONFIGS["roste"]
    spiked = x.clone()
    spiked[:, 3] *= 60
    chosen = RoSTELinear.make(linear, config, spiked, generator())
    assert chosen.signs is not None and chosen.error(spiked) < RoSTELinear(linear, config, None).error(spiked)
    aligned = nn.Linear(64, 32, bias=False)  # on the grid already: turning can only hurt
    aligned.weight.data.copy_(torch.randint(-7, 8, (32, 64), generator=generator()) / 7)
    exact = RoSTELinear.make(aligned, QuantConfig("roste", bits=4), x, generator())
    assert exact.signs is None
    with pytest.raises(InputError, match="inputs"):
        RoSTELinear.make(linear, config, None, generator())
    assert RoSTELinear.make(nn.Linear(7, 3), config, None, generator()).signs is None


# ZeroQAT ------------------------------------------------------------------------------------------------------------


def test_zeroth_order_steps_along_the_published_estimate() -> None:
    """The first step is the estimate's sign: its difference is the only one that is usual yet."""
    start, seeds = torch.tensor([1.0, -2.0]), generator(5)
    theta, directions = start.clone(), []
    stepper = ZerothOrder([Directions((theta,), 1e-3, 0.1)], generator(5))
    for _ in range(2):
        before = theta.clone()
        stepper.step(lambda: (theta**2).sum())
        u = torch.randn(2, generator=generator(torch.randint(2**62, (1,), generator=seeds).item()))
        difference = float(((before + 1e-3 * u) ** 2).sum() - ((before - 1e-3 * u) ** 2).sum())
        directions.append(difference)
        weights = [0.98 ** (len(directions) - 1 - k) for k in range(len(directions))]
        usual = (sum(w * d * d for w, d in zip(weights, directions)) / sum(weights)) ** 0.5
        torch.testing.assert_close(theta, before - 0.1 * 1e-3 * difference / usual * u, rtol=1e-4, atol=1e-6)
    assert stepper.evaluations == 4


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_zeroth_order_descends_whatever_the_loss_is_measured_in(unit: float) -> None:
    theta = normal(20)
    stepper = ZerothOrder([Directions((theta,), 1e-2, 5.0)], generator(), directions=2)
    first = float((theta**2).sum())
    for _ in range(100):
        stepper.step(lambda: unit * (theta**2).sum())
    assert (theta**2).sum() < 0.5 * first and stepper.evaluations == 400


def test_zeroth_order_without_a_difference_stays() -> None:
    still = normal(20)
    ZerothOrder([Directions((still,), 1e-3, 1.0)], generator()).step(lambda: 7.0)
    assert (still - normal(20)).abs().max() < 1e-6  # back from the perturbation to rounding


def test_zeroth_order_cuts_what_is_far_from_usual() -> None:
    stepper = ZerothOrder([], generator())
    for _ in range(60):
        stepper.in_usual_sizes([1.0])
    assert stepper.in_usual_sizes([100.0]) == [3.0] and stepper.in_usual_sizes([-1e6]) == [-3.0]


def test_zeroth_order_drift_is_bounded() -> None:
    theta = normal(1000)
    start = theta.clone()
    stepper = ZerothOrder([Directions((theta,), 1e-3, 1.0)], generator())
    for _ in range(100):
        stepper.step(lambda: 0.0)
    assert (theta - start).square().mean().sqrt() < 5e-6


def test_zero_qat_moves_the_wanted_share_of_roundings() -> None:
    layer = ZeroQATLinear.make(nn.Linear(64, 64), QuantConfig("zero_qat", bits=4), None, generator())
    before = layer.integers().levels
    (weights, scales) = layer.directions(TuneConfig(flips=0.1))
    layer.latent.data.add_(normal(64, 64), alpha=weights.epsilon)
    assert 0.04 < layer.flipped(before) < 0.25
    assert len(scales.parameters) == 2  # no smoothing where activations are not rounded


def test_zero_qat_light_moves_only_queries_and_values() -> None:
    names = ("q_proj", "k_proj", "v_proj", "o_proj")
    model = nn.ModuleDict({name: nn.Linear(8, 8) for name in names})
    prepare(model, QuantConfig("zero_qat", bits=4, variant="light"), generator())
    assert isinstance(model["k_proj"], PackedLinear) and isinstance(model["o_proj"], PackedLinear)
    assert [type(model[n]) for n in ("q_proj", "v_proj")] == [ZeroQATLinear] * 2
    assert all(len(layer.directions(TuneConfig())) == 1 for layer in each_trained(model))


def test_zero_qat_smoothing_leaves_the_function_alone() -> None:
    linear, x = nn.Linear(16, 8), normal(40, 16)
    x[:, 2] *= 30
    config = QuantConfig("zero_qat", bits=8, activation=Activation(8))
    layer = ZeroQATLinear.make(linear, config, x, generator())
    torch.testing.assert_close(layer(x), linear(x), rtol=0.1, atol=0.6)
    assert layer.smooth[2] > 2


def test_prepared_copies_are_independent(name: str = "l4q") -> None:
    model = prepared(CONFIGS[name])
    other = copy.deepcopy(model)
    disturb(other)
    x: Tensor = normal(2, 16)
    assert not torch.equal(model(x), other(x))
