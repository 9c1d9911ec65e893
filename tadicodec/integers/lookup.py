"""Layers that only ever see a few inputs, as tables: the time gains of a decoder whose steps are fixed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tadicodec.errors import InputError

NEAR = 1e-3  # distance within which an input is one of the table's


class Key(nn.Module):
    """Stands for the module `source`: an input [..., i] that is among `keys` [n, i] -> its number [..., 1]."""

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(count, size))

    def forward(self, x: Tensor) -> Tensor:
        distance = torch.cdist(x.float().flatten(0, -2), self.keys, compute_mode="donot_use_mm_for_euclid_dist")
        nearest, number = distance.min(-1)
        if bool((nearest > NEAR).any()):
            raise InputError(
                f"this model's time gains are tabulated for its own {len(self.keys)} times; decode with its own solver "
                "settings (steps), or use the model that has no tables"
            )
        return number.reshape(*x.shape[:-1], 1).float()


class Table(nn.Module):
    """Stands for a Linear layer behind a `Key`: numbers [..., 1] -> rows [..., o]."""

    def __init__(self, count: int, size: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(count, size, dtype=dtype))

    def forward(self, number: Tensor) -> Tensor:
        return self.rows[number[..., 0].long()].float()


@torch.no_grad()
def tabulate(
    model: nn.Module, source: str, readers: Sequence[str], inputs: Tensor, dtype: torch.dtype, truth: nn.Module
) -> None:
    """Replace, in place, the module `source` and the layers that read nothing but its output by what they give for
    these inputs [n, i]. Values are those of `truth`, a network of the same structure that has not been rounded."""
    outputs = truth.get_submodule(source)(inputs)
    for name in readers:
        rows = truth.get_submodule(name)(outputs)
        table = Table(*rows.shape, dtype).to(rows.device)
        table.rows.copy_(rows)
        put(model, name, table)
    key = Key(*inputs.shape).to(inputs.device)
    key.keys.copy_(inputs)
    put(model, source, key)


def put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module.train(model.training))
