"""Layers that only ever see a few inputs, as tables: the time gains of a decoder whose steps are fixed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tadicodec.errors import InputError

NEAR = 1e-3  # distance within which an input is one of the table's


class Key(nn.Module):
    """Replaces the module that computes an input of tables: it finds which of its known inputs `keys` [n, i] it was
    given."""

    keys: Tensor

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(count, size))

    def forward(self, x: Tensor) -> Tensor:
        """Inputs [..., i] -> the number of each among the known ones [..., 1], as float32.

        Raises:
            InputError: an input is none of the known ones, because other solver settings were asked for.
        """
        distance = torch.cdist(x.float().flatten(0, -2), self.keys, compute_mode="donot_use_mm_for_euclid_dist")
        nearest, number = distance.min(-1)
        if bool((nearest > NEAR).any()):
            raise InputError(
                f"this model's time gains are tabulated for its own {len(self.keys)} times; decode with its own solver "
                "settings (steps), or use the model that has no tables"
            )
        return number.reshape(*x.shape[:-1], 1).float()


class Table(nn.Module):
    """Replaces a Linear layer behind a `Key`: it returns the row that was computed for a known input."""

    rows: Tensor

    def __init__(self, count: int, size: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(count, size, dtype=dtype))

    def forward(self, number: Tensor) -> Tensor:
        """Numbers [..., 1] -> rows [..., o] float32."""
        return self.rows[number[..., 0].long()].float()


@torch.no_grad()
def tabulate(
    model: nn.Module, source: str, readers: Sequence[str], inputs: Tensor, dtype: torch.dtype, truth: nn.Module
) -> None:
    """Replace a module and the layers that read its output by tables of what they give for known inputs, in place.

    model: the network to change. source: name of the module that reads the inputs [n, i]. readers: names of the layers
    that read nothing but its output. dtype: how rows are stored. truth: a network of the same structure whose weights
    are not rounded; its values fill the tables.
    """
    outputs = truth.get_submodule(source)(inputs)
    for name in readers:
        rows = truth.get_submodule(name)(outputs)
        table = Table(len(rows), rows.shape[1], dtype).to(rows.device)
        table.rows.copy_(rows)
        replace_module(model, name, table)
    key = Key(len(inputs), inputs.shape[1]).to(inputs.device)
    key.keys.copy_(inputs)
    replace_module(model, source, key)


def replace_module(model: nn.Module, name: str, module: nn.Module) -> None:
    """Replace the submodule called `name` by another one, in place; it takes over the network's training mode."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module.train(model.training))
