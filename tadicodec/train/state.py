"""Everything a run needs to go on exactly where it stopped, as safetensors and JSON.

Random numbers need no state of their own: each step's generator is seeded from (seed, step, process).
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tadicodec.data.batches import Position
from tadicodec.errors import InputError, reason
from tadicodec.guards.documents import parse_json
from tadicodec.outputs import writing

KEEP = 2  # newest checkpoints that stay on disk
ROOM = "; make room and start the same command again: it goes on from the last checkpoint"


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
        """Write folder/step-XXXXXXXX (complete or not at all) and remove all but the newest.

        Raises:
            InputError: it cannot be written; the older checkpoints are still there.
        """
        final = folder / f"step-{self.step:08d}"
        draft = folder / f".{final.name}"
        try:
            with writing(final, advice=ROOM):
                self.write(draft)
                shutil.rmtree(final, ignore_errors=True)
                draft.rename(final)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        for old in checkpoints(folder)[:-KEEP]:
            shutil.rmtree(old, ignore_errors=True)
        return final

    def write(self, draft: Path) -> None:
        """All files of a checkpoint, into a new folder."""
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for name, network in self.networks.items():
            save_file(contiguous(network.state_dict()), draft / f"{name}.safetensors")
            save_file(optimizer_tensors(self.optimizers[name]), draft / f"{name}.optimizer.safetensors")
        save_file(contiguous(self.average), draft / "average.safetensors")
        meta = {"step": self.step, "position": asdict(self.position), "processes": self.processes}
        (draft / "state.json").write_text(json.dumps(meta))

    def load_newest(self, folder: Path) -> list[str]:
        """Restore from the newest checkpoint of a folder that is whole; with none there at all, nothing happens.

        Returns:
            What is wrong with the newer ones that had to be passed over.

        Raises:
            InputError: as `load`, or all checkpoints are damaged.
        """
        faults: list[str] = []
        for path in reversed(checkpoints(folder)):
            try:
                self.load(path)
                return faults
            except DamagedCheckpoint as error:
                faults.append(str(error))
        if faults:
            raise InputError(f"{faults[0]}, and there is no other that is whole; delete {folder} to start anew")
        return faults

    def load(self, folder: Path) -> None:
        """Restore from one checkpoint. Nothing is changed before all of its files have been read.

        Raises:
            DamagedCheckpoint: a file is missing, cut or empty.
            InputError: the checkpoint belongs to another model, or was made by another number of processes.
        """
        step, position, processes = read_progress(folder / "state.json")
        files = {name: read_tensors(folder / f"{name}.safetensors") for name in self.networks}
        moments = {name: read_tensors(folder / f"{name}.optimizer.safetensors") for name in self.networks}
        averaged = read_tensors(folder / "average.safetensors")
        if processes != self.processes:
            raise InputError(f"{folder}: made by {processes} processes, this is {self.processes}; start as many again")
        try:
            for name, network in self.networks.items():
                network.load_state_dict(files[name])
                load_optimizer(self.optimizers[name], moments[name])
            for name, value in self.average.items():
                value.copy_(averaged[name])
        except (RuntimeError, KeyError, ValueError) as error:
            raise InputError(
                f"{folder}: does not fit this recipe; use another `out` folder ({reason(error)})"
            ) from error
        self.step, self.position = step, position


class DamagedCheckpoint(InputError):
    """A checkpoint that a full or failing disk left unreadable."""


def read_progress(path: Path) -> tuple[int, Position, int]:
    """Step, place in the data and number of processes of a checkpoint. Raises DamagedCheckpoint."""
    try:
        meta = parse_json(path.read_text(encoding="utf-8"))
        numbers = (meta["step"], meta["position"]["epoch"], meta["position"]["batch"], meta.get("processes", 1))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpoint(f"{path}: damaged ({reason(error)})") from error
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise DamagedCheckpoint(f"{path}: damaged (steps and places are whole numbers)")
    step, epoch, batch, processes = numbers
    return step, Position(epoch, batch), processes


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of a checkpoint. Raises DamagedCheckpoint."""
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise DamagedCheckpoint(f"{path}: damaged ({reason(error)})") from error


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted(folder.glob("step-*"))


def contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as they can be saved: detached, on the CPU, in one piece each."""
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Optimiser state as flat tensors: "<parameter number>.<name>"."""
    state = optimizer.state_dict()["state"]
    flat = {f"{index}.{key}": torch.as_tensor(value) for index, item in state.items() for key, value in item.items()}
    return contiguous(flat)


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`: give an optimiser its state back."""
    document = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": document["param_groups"]})
