"""Join a trained codec and a trained vocoder into one model folder: matrices in 8 bits, the rest in half precision.

    python tools/bundle_model.py runs/codec/model runs/vocoder/model tadicodec/assets [--steps 8] [--guidance 2.0] ...

CODEC is a folder exported by a codec run, VOCODER one exported by a vocoder run (vocoder.safetensors, vocoder.json), or
a model whose vocoder is taken as it is: a folder, a Hugging Face id or bundled.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tadicodec.checkpoint import load_config, load_weights, read_tensors, save_model, to_dtype
from tadicodec.codec import Codec
from tadicodec.config import VocoderConfig
from tadicodec.errors import InputError
from tadicodec.guards.fields import build
from tadicodec.integers.layout import describe, linear_layers
from tadicodec.integers.lookup import replace_module
from tadicodec.integers.packed_linear import Format
from tadicodec.integers.stored_matrix import store_matrices
from tadicodec.model.vocoder import Vocoder
from tadicodec.quant.glm import round_linear

DEFAULTS = {"steps": int, "guidance": float, "method": str, "sway": float, "temperature": float}


def bundle(codec: Path, vocoder: str, out: Path, defaults: dict[str, Any]) -> None:
    """Write OUT; `defaults` replace fields of the codec's SolverConfig."""
    config = load_config(codec)
    shape, network = packed_vocoder(vocoder)
    tensors = read_tensors(codec / "model.safetensors")
    weights = {
        "model.safetensors": to_dtype(store_matrices(tensors, stored_in_8_bits), torch.float16),
        "vocoder/model.safetensors": to_dtype(network.state_dict(), torch.float16),
    }
    config = replace(
        config,
        vocoder=shape,
        inference=replace(config.inference, solver=replace(config.inference.solver, **defaults)),
        quantization={"vocoder": describe(network)},
    )
    save_model(out, config, weights, overwrite=True)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{out}: {size / 1e6:.1f} MB, weights {Codec.from_pretrained(out).weights}")


def packed_vocoder(name: str) -> tuple[VocoderConfig, Vocoder]:
    """The vocoder of a run or of a model, its wide matrices in 8 bits. Raises InputError."""
    folder = Path(name)
    if not (folder / "vocoder.json").is_file():
        codec = Codec.from_pretrained(name)
        pack_linear(codec.vocoder)
        return codec.config.vocoder, codec.vocoder
    shape = build(VocoderConfig, json.loads((folder / "vocoder.json").read_text()))
    network = Vocoder(shape)
    load_weights(network, folder / "vocoder.safetensors")
    pack_linear(network)
    return shape, network


def stored_in_8_bits(name: str) -> bool:
    """Every matrix of a block and of what joins them; not those beside the codes and the mel, nor the time's."""
    return name.endswith("_proj.weight") or name.startswith(("aligner.", "transcriber.", "encoder.", "text_emb."))


def pack_linear(network: nn.Module) -> None:
    """8-bit rows for every matrix but the head's, which makes the spectrum."""
    for name, linear in linear_layers(network).items():
        if not name.startswith("head."):
            replace_module(network, name, round_linear(linear, Format(8)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("codec", type=Path)
    parser.add_argument("vocoder")
    parser.add_argument("out", type=Path)
    for name, kind in DEFAULTS.items():
        parser.add_argument(f"--{name}", type=kind)
    args = parser.parse_args()
    try:
        bundle(args.codec, args.vocoder, args.out, {k: v for k in DEFAULTS if (v := getattr(args, k)) is not None})
    except InputError as error:
        print(f"bundle_model: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
