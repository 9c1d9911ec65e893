"""GLM-130B's stabilisers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tadicodec.tts.stabilisers import DeepNorm, shrink_gradient, stable_attention
from tests.integers.test_primitives import generator, normal


def test_deep_norm_presets() -> None:
    glm, deepnet = DeepNorm.glm(70), DeepNorm.deepnet(70)
    assert glm.alpha == pytest.approx(11.83, abs=0.01) and glm.gain == pytest.approx(1 / 11.83, abs=1e-3)
    assert deepnet.alpha == pytest.approx(3.44, abs=0.01) and deepnet.gain == pytest.approx(0.206, abs=1e-3)
    x, branch = normal(2, 8), normal(2, 8, seed=1)
    torch.testing.assert_close(glm(x, branch, nn.Identity()), glm.alpha * x + branch)
    small, other = nn.Linear(400, 400), nn.Linear(400, 400)
    glm.initialise([small], [other], generator())
    assert (small.weight.std() / other.weight.std()).item() == pytest.approx(
        glm.gain, rel=0.05
    ) and small.bias.abs().max() == 0


def test_shrunk_gradient() -> None:
    x = normal(3, 4).requires_grad_()
    y = shrink_gradient(x, 0.1)
    assert torch.equal(y, x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.full((3, 4), 0.1))


def test_stable_attention_is_attention_even_where_scores_overflow() -> None:
    q, k, v = (normal(2, 3, 5, 8, seed=i) for i in range(3))
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    torch.testing.assert_close(
        stable_attention(q, k, v, 11, mask), F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    )
    large = stable_attention((600 * q).half(), (600 * k).half(), v.half(), 40)
    assert torch.isfinite(large).all()
    assert not torch.isfinite((600 * q).half() @ (600 * k).half().transpose(-1, -2)).all()
