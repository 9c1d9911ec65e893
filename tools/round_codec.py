"""Round what makes codes, transcripts and alignments, so that what is trained afterwards learns from what is stored.

    python tools/round_codec.py runs/codec/model runs/rounded

writes the same model with the matrices of encoder, aligner and transcriber on the grid of their 8-bit form, and the
rest at what half precision holds. The numbers themselves are stored in float32, so that training can go on from them;
to round them once more changes nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import nn

from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.integers.layout import linear_layers
from tadicodec.integers.stored_matrix import from_integers, to_integers

ROUNDED = ("encoder.", "aligner.", "transcriber.")


def round_matrices(model: nn.Module) -> None:
    """Put the matrices of `ROUNDED` parts on the grid that 8 bits store, and all other tensors in half precision."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.copy_(tensor.half())
        for name, linear in linear_layers(model).items():
            if name.startswith(ROUNDED):
                linear.weight.copy_(from_integers(*to_integers(linear.weight)))


def round_codec(source: Path, out: Path) -> None:
    """Write OUT. Raises InputError for a model that is stored in integers already."""
    codec = Codec.from_pretrained(source)
    if codec.config.quantization.get("model"):
        raise InputError(f"{source}: is rounded already")
    round_matrices(codec.model)
    codec.save_pretrained(out, overwrite=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("codec", type=Path, help="model folder of a codec run")
    parser.add_argument("out", type=Path, help="folder to write")
    arguments = parser.parse_args()
    try:
        round_codec(arguments.codec, arguments.out)
    except InputError as error:
        print(f"round_codec: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
