"""Everything a run needs to go on exactly where it stopped, as safetensors and JSON.

Random numbers need no state of their own: each step's generator is seeded from (seed, step, process).
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tadicodec.data.batches import Position
from tadicodec.errors import InputError

KEEP = 2  # newest checkpoints that stay on disk


@dataclass
class TrainState:
    """Networks, optimisers, the moving average, and where the run is."""

    networks: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    average: dict[str, Tensor]  # moving average of the EMA network's state_dict
    step: int = 0
    position: Position = field(default_factory=Position)
    interrupted: bool = False  # a signal ended the run before its last step
    processes: int = 1  # they share the data order, so a run goes on with as many

    def save(self, folder: Path) -> Path:
        """Write folder/step-XXXXXXXX (complete or not at all) and remove all but the newest."""
        final = folder / f"step-{self.step:08d}"
        draft = folder / f".{final.name}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for name, network in self.networks.items():
            save_file(contiguous(network.state_dict()), draft / f"{name}.safetensors")
            save_file(optimizer_tensors(self.optimizers[name]), draft / f"{name}.optimizer.safetensors")
        save_file(contiguous(self.average), draft / "average.safetensors")
        meta = {"step": self.step, "position": asdict(self.position), "processes": self.processes}
        (draft / "state.json").write_text(json.dumps(meta))
        shutil.rmtree(final, ignore_errors=True)
        draft.rename(final)
        for old in checkpoints(folder)[:-KEEP]:
            shutil.rmtree(old, ignore_errors=True)
        return final

    def load(self, folder: Path) -> None:
        """Restore from one checkpoint.

        Raises:
            InputError: the checkpoint belongs to another model, or was made by another number of processes.
        """
        meta = json.loads((folder / "state.json").read_text())
        if meta.get("processes", 1) != self.processes:
            made = meta.get("processes", 1)
            raise InputError(f"{folder}: made by {made} processes, this is {self.processes}; start as many again")
        try:
            for name, network in self.networks.items():
                network.load_state_dict(load_file(folder / f"{name}.safetensors"))
                load_optimizer(self.optimizers[name], load_file(folder / f"{name}.optimizer.safetensors"))
            averaged = load_file(folder / "average.safetensors")
            for name, value in self.average.items():
                value.copy_(averaged[name])
        except (RuntimeError, KeyError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{folder}: does not fit this recipe; use another `out` folder ({reason})") from error
        self.step, self.position = meta["step"], Position(**meta["position"])


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted(folder.glob("step-*"))


def contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Optimiser state as flat tensors: "<parameter number>.<name>"."""
    state = optimizer.state_dict()["state"]
    flat = {f"{index}.{key}": torch.as_tensor(value) for index, item in state.items() for key, value in item.items()}
    return contiguous(flat)


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    document = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": document["param_groups"]})
