"""ONNX Runtime gets the trained integers as they are: in float it multiplies what torch does."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from tadicodec.errors import InputError
from tadicodec.integers.packed_linear import Format, Integers, PackedLinear
from tadicodec.quant.conversion import convert, prepare
from tadicodec.quant.quant_settings import QuantConfig
from tests.integers.test_primitives import generator, normal

runtime = pytest.importorskip("tadicodec.integers.onnx_linear")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


def layer_of(form: Format, inputs: int, bias: bool) -> PackedLinear:
    low = 0 if form.zero else -(2 ** (form.bits - 1))
    levels = torch.randint(low, low + 2**form.bits, (24, inputs), generator=generator())
    groups = form.groups(inputs)
    scale = normal(24, groups, 1).abs() / 10 + 0.01
    zero = torch.randint(2**form.bits, (24, groups, 1), generator=generator(1)).float() if form.zero else None
    return PackedLinear.of(Integers(levels, scale, zero), normal(24) if bias else None, form)


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize(
    ("bits", "group", "inputs"),
    [(8, 0, 64), (8, 32, 128), (4, 0, 300), (4, 32, 96), (3, 16, 64), (2, 16, 64), (4, 48, 96)],
)
def test_exact_integers(bits: int, group: int, inputs: int, zero: bool) -> None:
    layer = layer_of(Format(bits, group, "float32", zero=zero), inputs, bias=zero)
    x = normal(2, 5, inputs, seed=2)
    expected = layer(x)
    exact = runtime.RuntimeLinear(layer, accuracy_level=0)(x)
    torch.testing.assert_close(exact, expected, rtol=1e-4, atol=1e-4)
    fast = runtime.RuntimeLinear(layer)(x)
    assert (fast - expected).norm() < 0.02 * expected.norm()  # int8 activations


def test_a_whole_network() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 32)).eval()
    x = normal(7, 64)
    convert(prepare(model, QuantConfig("roste", bits=4, group=32, rotation="all"), generator()))
    expected = model(x)
    runtime.use_onnxruntime(model)
    assert all(not isinstance(m, PackedLinear) for m in model.modules())
    assert (model(x) - expected).norm() < 0.02 * expected.norm()


def test_what_it_cannot_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="groups of 8"):
        runtime.RuntimeLinear(layer_of(Format(4, 8), 64, False))
    with pytest.raises(InputError, match="no packed layer"):
        runtime.use_onnxruntime(nn.Linear(2, 2))
    odd = layer_of(Format(4, 16, "float32", zero=True), 64, False)
    odd.zero += 0.5
    with pytest.raises(InputError, match="zero point"):
        runtime.RuntimeLinear(odd)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"tadicodec\[onnx\]"):
        runtime.RuntimeLinear(layer_of(Format(), 64, False))
