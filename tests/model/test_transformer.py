"""The blocks of all networks: attention spelled out, where a CPU trains in bfloat16, is attention."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tadicodec.model.lengths import valid
from tadicodec.model.transformer import attend, key_mask


@pytest.mark.parametrize("masked", [False, True])
def test_attention_in_bfloat16_is_that_of_float32_with_its_gradients(masked: bool) -> None:
    torch.manual_seed(0)
    mask = key_mask(valid(torch.tensor([7, 4]), 7)) if masked else None
    exact = [torch.randn(2, 3, 7, 8).requires_grad_() for _ in range(3)]
    rounded = [x.detach().bfloat16().requires_grad_() for x in exact]
    wanted = F.scaled_dot_product_attention(*exact, attn_mask=mask)
    found = attend(*rounded, mask)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, atol=0.03, rtol=0.03)
    wanted.square().sum().backward()
    found.float().square().sum().backward()
    for x, y in zip(rounded, exact):
        assert x.grad is not None and y.grad is not None
        assert F.cosine_similarity(x.grad.float().flatten(), y.grad.flatten(), dim=0) > 0.999


def test_a_hidden_key_gets_no_gradient() -> None:
    q, k, v = (torch.randn(1, 2, 5, 4, dtype=torch.bfloat16).requires_grad_() for _ in range(3))
    attend(q, k, v, key_mask(valid(torch.tensor([3]), 5))).sum().backward()
    assert v.grad is not None and not v.grad[:, :, 3:].any()
