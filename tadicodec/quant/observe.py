"""Looking into a network while it runs, by hooks that leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def recorded_outputs(model: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """While the context is open, collect the newest output of each of these modules, by name."""
    found: dict[str, Tensor] = {}
    handles = [
        model.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: found.update({name: out}))
        for name in names
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def replaced_outputs(model: nn.Module, values: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """While the context is open, these modules give these values instead of their own.

    What they would have given is in the dictionary that is yielded.
    """
    own: dict[str, Tensor] = {}

    def hook(name: str) -> Callable[[nn.Module, tuple, Tensor], Tensor]:
        def swap(_: nn.Module, __: tuple, out: Tensor) -> Tensor:
            own[name] = out
            return values[name]

        return swap

    handles = [model.get_submodule(name).register_forward_hook(hook(name)) for name in values]
    try:
        yield own
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def collect_inputs(
    model: nn.Module, names: Iterable[str], run: Callable[[], object], generator: torch.Generator, rows: int = 128
) -> dict[str, Tensor]:
    """Some inputs [rows, i] of each of these Linear layers, by name, seen while `run()` runs the network.

    They are drawn evenly from all calls of a layer (a decoder's diffusion times included). Padding is not told from
    speech.
    """
    seen: dict[str, list[Tensor]] = {name: [] for name in names}

    def keep(name: str) -> Callable[[nn.Module, tuple], None]:
        def hook(_: nn.Module, arguments: tuple) -> None:
            tokens = arguments[0].detach().flatten(0, -2).float()
            seen[name].append(tokens[torch.randint(len(tokens), (rows,), generator=generator).to(tokens.device)])

        return hook

    handles = [model.get_submodule(name).register_forward_pre_hook(keep(name)) for name in seen]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    found = {name: torch.cat(parts) for name, parts in seen.items() if parts}
    return {name: x[torch.randperm(len(x), generator=generator)[:rows].to(x.device)] for name, x in found.items()}


def relative_error(value: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over the variance of the target, because layers of a pre-norm network differ a hundredfold in
    size."""
    target = target.detach()
    return (value - target).square().mean() / target.var(correction=0).clamp(min=1e-8)


class SavedBytes(torch.autograd.graph.saved_tensors_hooks):
    """Counts the bytes that autograd keeps for the backward pass, each storage once: `with SavedBytes() as saved: loss
    = ...`."""

    def __init__(self) -> None:
        self.storages: dict[int, int] = {}
        self.kept: list[Tensor] = []  # so that no address is used twice
        super().__init__(self.note, lambda tensor: tensor)

    def __enter__(self) -> SavedBytes:  # type: ignore[override]  # torch's gives nothing back
        super().__enter__()
        return self

    def note(self, tensor: Tensor) -> Tensor:
        """Called by autograd for each tensor that it keeps."""
        storage = tensor.untyped_storage()
        self.storages[storage.data_ptr()] = storage.nbytes()
        self.kept.append(tensor)
        return tensor

    def total(self, without: Iterable[Tensor] = ()) -> int:
        """The bytes that were kept, without the storages of these tensors (parameters, say, which are there anyway)."""
        known = {tensor.untyped_storage().data_ptr() for tensor in without}
        return sum(size for place, size in self.storages.items() if place not in known)
