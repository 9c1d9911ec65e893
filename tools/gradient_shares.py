"""Which part of the codec's loss moves which part of its encoder: gradient norms of one batch at a run's newest
checkpoint.

    python tools/gradient_shares.py features runs/codec

Each part counts with its weight in the recipe. A head whose gradient is far below the others' teaches the encoder
nothing, however large its loss is.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tadicodec.errors import InputError
from tadicodec.train.codec_task import CodecTask
from tadicodec.train.recipe import DataConfig, assemble
from tadicodec.train.recipe_file import checked, read_recipe
from tadicodec.train.state import checkpoints

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "codec" / "default.yaml"
CLIPS = 8


def shares(task: CodecTask, batch: dict, generator: torch.Generator) -> dict[str, dict[str, float]]:
    """Part of the encoder -> part of the loss -> the norm of its gradient there."""
    network = task.networks["codec"]
    parts = task.parts(batch, network(batch, task.draw(batch, generator)))
    encoder = network.codec.encoder
    groups = {"first convolution": encoder.convolutions[:1], "last convolution": encoder.convolutions[-1:]}
    groups = {name: group for name, group in groups.items() if len(group)} | {"attention": encoder.layers}
    return {
        place: {name: norm(weight * value, group.parameters()) for name, (weight, value) in parts.items()}
        for place, group in groups.items()
    }


def norm(loss: Tensor, parameters: Iterable[nn.Parameter]) -> float:
    """Of the loss's gradient on all of these parameters; 0 where none depends on them."""
    if not loss.requires_grad:
        return 0.0
    found = torch.autograd.grad(loss, list(parameters), retain_graph=True, allow_unused=True)
    squares = [gradient.float().square().sum() for gradient in found if gradient is not None]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


def main(given: list[str] | None = None) -> int:
    """0 when done, 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=" ".join(__doc__.split("\n\n")[0].split()))
    parser.add_argument("features", type=Path, help="made by `tadicodec prepare`")
    parser.add_argument("run", type=Path, help="folder of a training run, which has checkpoints/")
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--seed", type=int, default=0, help="of the clips")
    arguments = parser.parse_args(given)
    try:
        report(arguments)
    except InputError as error:
        print(f"gradient_shares: error: {error}", file=sys.stderr)
        return 2
    return 0


def report(arguments: argparse.Namespace) -> None:
    """Print the shares. Raises InputError."""
    document = read_recipe(arguments.recipe, [f"data.features={arguments.features}"])
    task, speech, _ = assemble(document, checked(DataConfig, document.get("data", {}), "data"), arguments.seed)
    found = checkpoints(arguments.run / "checkpoints")
    if not found:
        raise InputError(f"{arguments.run}: no run has left a checkpoint there")
    task.networks["codec"].load_state_dict(load_file(found[-1] / "codec.safetensors"))
    generator = torch.Generator().manual_seed(arguments.seed)
    clips = torch.randperm(len(speech.frames), generator=generator)[:CLIPS].tolist()
    print(found[-1].name)
    for place, norms in shares(task, speech.collate(clips, generator), generator).items():
        print(f"{place}: " + ", ".join(f"{name} {value:.5f}" for name, value in norms.items()))


if __name__ == "__main__":
    sys.exit(main())
