"""Store a trained speech language model in half precision, where `tadicodec speak` finds it.

    python tools/bundle_speaker.py runs/tts_masked/model tadicodec/tts/assets/masked [--codec MODEL]

Refuses a model that does not speak the codes of the codec (the bundled one).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from tadicodec.errors import InputError
from tadicodec.tts.folder import load_tts, save_tts
from tadicodec.tts.synthesize import Speaker


def bundle(model: Path, out: Path, codec: str | None) -> None:
    Speaker.from_pretrained(model, codec=codec)
    config, network = load_tts(model)
    if config.shape is None:
        raise InputError(f"{model}: in transformers' layout; only models of our own layout are bundled")
    save_tts(out, config, network, dtype=torch.float16, overwrite=True)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{out}: {config.engine}, {size / 1e6:.1f} MB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--codec", help="folder or id (default: the bundled one)")
    args = parser.parse_args()
    try:
        bundle(args.model, args.out, args.codec)
    except InputError as error:
        print(f"bundle_speaker: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
