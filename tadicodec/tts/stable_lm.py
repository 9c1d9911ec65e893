"""GLM-130B's stabilisers (`quant/stable.py`) in a causal LM of transformers: post-norm blocks with DeepNorm's
residuals, and attention whose softmax is computed in float32."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from tadicodec.errors import InputError
from tadicodec.tts.stable import DeepNorm, stable_attention

ATTENTION = "tadicodec_float32_softmax"  # its name among transformers' attention functions
PRESETS = {"glm": DeepNorm.glm, "deepnet": DeepNorm.deepnet}
NORMS = {"input_layernorm", "post_attention_layernorm"}
QUERIES_AND_KEYS, SMALL = ("q_proj", "k_proj"), ("v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def attention_name(float32_softmax: bool) -> str:
    """What `attn_implementation` is called."""
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
    """query [B, heads, S, d], key and value [B, fewer heads, K, d], additive mask -> [B, S, heads, d]."""
    if given.get("softcap") or given.get("s_aux") is not None:
        raise InputError("config: ar.float32_softmax does not know this model_type's attention; leave it out")
    groups, usual = query.shape[1] // key.shape[1], query.shape[-1] ** -0.5
    query = query * ((given.get("scaling") or usual) / usual)
    key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
    seen = None if mask is None else mask[..., : key.shape[2]] == 0
    out = stable_attention(query, key, value, module.layer_idx, seen, given.get("dropout", 0.0))
    return out.transpose(1, 2).contiguous(), None


def use_deep_norm(lm: Any, preset: str) -> None:
    """Turn the pre-norm blocks of a model as Llama or Qwen into post-norm ones, in place. Names of tensors stay.

    Raises:
        InputError: blocks of another kind.
    """
    layers = getattr(lm.base_model, "layers", ())
    deep = PRESETS[preset](max(len(layers), 1))
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
    def forward(layer: Any, hidden_states: Tensor, **given: Any) -> Tensor:
        heard, _ = layer.self_attn(hidden_states=hidden_states, **given)
        state = deep(hidden_states, heard, layer.input_layernorm)
        return deep(state, layer.mlp(state), layer.post_attention_layernorm)

    return forward
