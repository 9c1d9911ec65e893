"""Keys and values in few bits, per token and head (RoSTE's KV4): for language models, whose cache they are."""

from __future__ import annotations

from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from tadicodec.errors import InputError
from tadicodec.integers.activation import Activation
from tadicodec.integers.rotation import hadamard


def quantize_heads(values: Tensor, heads: int, activation: Activation, *, turned: bool = False) -> Tensor:
    """Keys or values [..., H] -> rounded head by head, straight-through. `turned`: rounded as H k and turned back,
    which is what a cache of turned keys gives with turned queries (RoSTE's R3)."""
    if values.shape[-1] % heads:
        raise InputError(f"quantization: {heads} heads do not divide {values.shape[-1]} channels")
    split = values.unflatten(-1, (heads, -1))
    if turned:  # the normalised Hadamard matrix is its own inverse
        return hadamard(activation(hadamard(split), through_clipped=True)).flatten(-2)
    return activation(split, through_clipped=True).flatten(-2)


def quantize_keys_and_values(
    model: nn.Module,
    heads: int,
    activation: Activation = Activation(4, clip=0.95),
    patterns: tuple[str, ...] = ("*k_proj", "*v_proj"),
    *,
    turned: bool = False,
) -> list[RemovableHandle]:
    """Round what these layers give; keys therefore before rotary positions (the paper: after). Remove the handles to
    stop.

    Raises:
        InputError: no layer has such a name.
    """

    def hook(_: nn.Module, __: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return quantize_heads(out, heads, activation, turned=turned)

    chosen = [m for name, m in model.named_modules() if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if not chosen:
        raise InputError(f"quantization: the network has no layer named {' or '.join(patterns)}")
    return [module.register_forward_hook(hook) for module in chosen]
