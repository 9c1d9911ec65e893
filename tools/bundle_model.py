"""Join a trained codec and a trained vocoder into one model folder, stored in half precision.

    python tools/bundle_model.py runs/codec/model runs/vocoder/model tadicodec/assets [--steps 32] [--guidance 2.0]

CODEC is a folder exported by a codec run, VOCODER one exported by a vocoder run (vocoder.safetensors, vocoder.json).
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from tadicodec.checkpoint import load_config, read_tensors, save_model, to_dtype
from tadicodec.codec import Codec
from tadicodec.config import VocoderConfig, build
from tadicodec.errors import InputError


def bundle(codec: Path, vocoder: Path, out: Path, steps: int | None, guidance: float | None) -> None:
    config = load_config(codec)
    inference = config.inference
    if steps is not None:
        inference = replace(inference, steps=steps)
    if guidance is not None:
        inference = replace(inference, guidance=guidance)
    shape = build(VocoderConfig, json.loads((vocoder / "vocoder.json").read_text()))
    weights = {
        "model.safetensors": to_dtype(read_tensors(codec / "model.safetensors"), torch.float16),
        "vocoder/model.safetensors": to_dtype(read_tensors(vocoder / "vocoder.safetensors"), torch.float16),
    }
    save_model(out, replace(config, vocoder=shape, inference=inference), weights, overwrite=True)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{out}: {size / 1e6:.1f} MB, weights {Codec.from_pretrained(out).weights}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("codec", type=Path)
    parser.add_argument("vocoder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    args = parser.parse_args()
    try:
        bundle(args.codec, args.vocoder, args.out, args.steps, args.guidance)
    except InputError as error:
        print(f"bundle_model: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
