"""A part of the network as a judge that rests while the part itself learns: its weights are the moving average's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from tadicodec.train.task import Batch


class Method(nn.Module):
    """One method of a module, as the whole of another module."""

    def __init__(self, module: nn.Module, method: str) -> None:
        super().__init__()
        self.module, self.method = module, method

    def forward(self, *args: Any) -> Any:
        """Call the method."""
        return getattr(self.module, self.method)(*args)


def resting(module: nn.Module, prefix: str, batch: Batch, method: str = "forward") -> Callable[..., Tensor]:
    """A method of `module` with the averaged weights that the loop hands out in `batch["average"]`, where the module's
    begin with `prefix`; with its own where there are none (a network that rests anyway). No gradient reaches them."""
    average: dict[str, Tensor] = batch.get("average", {})
    weights = {f"module.{name}": average.get(prefix + name, p).detach() for name, p in module.state_dict().items()}
    whole = Method(module, method)
    return lambda *args: functional_call(whole, weights, args)
