"""GLM-130B's ways to keep the training of a language model from diverging (Zeng et al. 2023, section 2.2).

Post-norm blocks with DeepNorm's residuals, attention whose softmax is in float32, and a smaller gradient of embeddings,
alone and in a causal language model of transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.errors import InputError
from tadicodec.integers.straight import scale_gradient

ATTENTION = "tadicodec_float32_softmax"  # its name among transformers' attention functions
NORMS = {"input_layernorm", "post_attention_layernorm"}
QUERIES_AND_KEYS, SMALL = ("q_proj", "k_proj"), ("v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class DeepNorm:
    """Post-norm residuals x <- norm(alpha x + f(x)), with smaller starting weights in f."""

    alpha: float
    gain: float

    @classmethod
    def glm(cls, layers: int) -> DeepNorm:
        """As GLM-130B: alpha = (2 N)^(1/2), gain = (2 N)^(-1/2)."""
        return cls((2 * layers) ** 0.5, (2 * layers) ** -0.5)

    @classmethod
    def deepnet(cls, layers: int) -> DeepNorm:
        """As DeepNet's encoder-only and decoder-only models: alpha = (2 N)^(1/4), gain = (8 N)^(-1/4)."""
        return cls((2 * layers) ** 0.25, (8 * layers) ** -0.25)

    def __call__(self, x: Tensor, branch: Tensor, norm: nn.Module) -> Tensor:
        """x [..., H] and f(x) [..., H] -> the next state."""
        return norm(self.alpha * x + branch)

    def initialise(self, small: Iterable[nn.Linear], others: Iterable[nn.Linear], generator: torch.Generator) -> None:
        """Xavier-normal with `gain` for feed-forward, value and output matrices, with 1 for queries and keys."""
        for layers, gain in ((small, self.gain), (others, 1.0)):
            for linear in layers:
                nn.init.xavier_normal_(linear.weight, gain=gain, generator=generator)
                if linear.bias is not None:
                    nn.init.zeros_(linear.bias)


def shrink_gradient(embedded: Tensor, share: float = 0.1) -> Tensor:
    """Embeddings unchanged, with their gradient multiplied by `share`: a E + (1 - a) stopgrad(E). Loss spikes begin
    there."""
    return scale_gradient(embedded, share)


def stable_attention(
    q: Tensor, k: Tensor, v: Tensor, layer: int, mask: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """Attention [B, heads, S, d] whose softmax is computed in float32.

    Queries are divided by (layer + 1) sqrt(d), so that scores fit float16, and the scores are multiplied by layer + 1
    again before the softmax; layers count from 0. mask: bool, broadcastable to [B, heads, S, S], True where a query may
    look.
    """
    scores = (q / ((layer + 1) * q.shape[-1] ** 0.5)) @ k.transpose(-1, -2)
    scores = scores.float() * (layer + 1)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return F.dropout(scores.softmax(-1).to(v.dtype), dropout) @ v


PRESETS = {"glm": DeepNorm.glm, "deepnet": DeepNorm.deepnet}


def attention_name(float32_softmax: bool) -> str:
    """The name of the kind of attention, for transformers' `attn_implementation`."""
    if not float32_softmax:
        return "sdpa"
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(ATTENTION, float32_attention)
    AttentionMaskInterface.register(ATTENTION, eager_mask)
    return ATTENTION


def float32_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **given: Any
) -> tuple[Tensor, None]:
    """query [B, heads, S, d], key and value [B, fewer heads, K, d], additive mask -> [B, S, heads, d], as transformers
    calls it."""
    if given.get("softcap") or given.get("s_aux") is not None:
        raise InputError("config: ar.float32_softmax does not know this model_type's attention; leave it out")
    groups, usual = query.shape[1] // key.shape[1], query.shape[-1] ** -0.5
    query = query * ((given.get("scaling") or usual) / usual)
    key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
    seen = None if mask is None else mask[..., : key.shape[2]] == 0
    out = stable_attention(query, key, value, module.layer_idx, seen, given.get("dropout", 0.0))
    return out.transpose(1, 2).contiguous(), None


def use_deep_norm(lm: Any, preset: Callable[[int], DeepNorm]) -> None:
    """Turn the pre-norm blocks of a model such as Llama or Qwen into post-norm ones, in place. Names of tensors stay.
    preset: number of blocks -> their residuals and starting weights, such as those of `PRESETS`.

    Raises:
        InputError: blocks of another kind.
    """
    layers = getattr(lm.base_model, "layers", ())
    deep = preset(max(len(layers), 1))
    for layer in layers or (lm,):
        linears = {name.rpartition(".")[2]: m for name, m in layer.named_modules() if isinstance(m, nn.Linear)}
        norms = {name for name, _ in layer.named_children() if "norm" in name}
        known = set(linears) == {*QUERIES_AND_KEYS, *SMALL} and norms == NORMS
        if not known or hasattr(layer, "residual_multiplier"):
            raise InputError("config: ar.deep_norm needs blocks as Llama's or Qwen's; choose another model_type")
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, (), device="cpu")))
        deep.initialise([linears[n] for n in SMALL], [linears[n] for n in QUERIES_AND_KEYS], generator)
        layer.forward = MethodType(post_norm_forward(deep), layer)


def post_norm_forward(deep: DeepNorm) -> Any:
    """The forward pass of a block of transformers with post-norm residuals, to take the place of its own."""

    def forward(layer: Any, hidden_states: Tensor, **given: Any) -> Tensor:
        heard, _ = layer.self_attn(hidden_states=hidden_states, **given)
        state = deep(hidden_states, heard, layer.input_layernorm)
        return deep(state, layer.mlp(state), layer.post_attention_layernorm)

    return forward
