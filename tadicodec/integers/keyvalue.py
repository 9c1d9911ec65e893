"""Keys and values of attention in few bits, one scale for each token and head (RoSTE's KV4), to make a language model's
cache small."""

from __future__ import annotations

from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from tadicodec.errors import InputError
from tadicodec.integers.activation import Activation
from tadicodec.integers.rotation import hadamard


def quantize_heads(values: Tensor, heads: int, activation: Activation, *, turned: bool = False) -> Tensor:
    """Round keys or values [..., H] head by head; gradients pass straight through.

    turned: round them after a Hadamard rotation and rotate back, which is what a cache of rotated keys gives with
    rotated queries (RoSTE's R3).

    Raises:
        InputError: the number of heads does not divide H.
    """
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
    """Round the output of all layers whose name fits one of the patterns, from now on.

    Keys are therefore rounded before rotary positions are applied; the paper does it after. Remove the returned handles
    to stop.

    Raises:
        InputError: no layer has such a name.
    """

    def hook(_: nn.Module, __: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return quantize_heads(out, heads, activation, turned=turned)

    chosen = [m for name, m in model.named_modules() if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if not chosen:
        raise InputError(f"quantization: the network has no layer named {' or '.join(patterns)}")
    return [module.register_forward_hook(hook) for module in chosen]
