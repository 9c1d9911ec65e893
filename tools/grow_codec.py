"""Give a trained codec more blocks, convolutions, and heads to sum up voices with, that change nothing until they are
trained.

    python tools/grow_codec.py bundled grown --encoder-layers 8 --encoder-conformer

New blocks add zero to what passes them (as in Net2Net, Chen et al. 2016), and every head of a voice begins as the mean
that it replaces, so that OUT encodes as MODEL does. recipes/codec/continue.yaml goes on from there.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from tadicodec.checkpoint import save_model
from tadicodec.codec import Codec
from tadicodec.config import AutoencoderConfig
from tadicodec.errors import InputError
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.convolution import Convolution
from tadicodec.model.transformer import Block

SIZES = ("encoder_num_layers", "prior_layers", "transcriber_layers", "aligner_layers", "voice_heads")
CONVOLVED = ("encoder_conformer", "transcriber_conformer", "aligner_conformer")


def grow(source: str, out: Path, sizes: dict[str, int], seed: int = 0) -> None:
    """Write OUT, the model `source` with the `sizes` of its autoencoder that are given.

    Raises:
        InputError: a size is smaller than it was, or the model's network is stored in integers.
    """
    codec = Codec.from_pretrained(source)
    before = codec.config.autoencoder
    for name, size in sizes.items():
        if size < getattr(before, name):
            raise InputError(f"{name} is {getattr(before, name)}; a codec only grows")
    if "voice_heads" in sizes and (before.voice_heads or not before.voice_size):
        raise InputError("voice_heads are for a model that sums up voices by their mean")
    if codec.config.quantization.get("model"):
        raise InputError(f"{source}: its network is quantized; grow the one that it was made from")
    torch.manual_seed(seed)  # of the new parameters
    grown = grown_network(codec.model, replace(before, **sizes))
    config = replace(codec.config, autoencoder=grown.config, quantization={})
    weights = {"model.safetensors": grown.state_dict(), "vocoder/model.safetensors": codec.vocoder.state_dict()}
    if codec.config.quantization.get("vocoder"):
        config = replace(config, quantization=codec.config.quantization)
    save_model(out, config, weights)


@torch.no_grad()
def grown_network(before: Autoencoder, config: AutoencoderConfig) -> Autoencoder:
    """A network of the given sizes that computes what `before` does."""
    network = Autoencoder(config)
    found = network.load_state_dict(before.state_dict(), strict=False)
    new = {name.rsplit(".", 3)[0] for name in found.missing_keys if ".layers." in name}
    for name, module in network.named_modules():
        if isinstance(module, Block) and name in new:
            module.self_attn.o_proj.weight.zero_()
            module.mlp.down_proj.weight.zero_()
        elif isinstance(module, Convolution) and f"{name}.out_proj.weight" in found.missing_keys:
            module.out_proj.weight.zero_()
    prior = network.decoder.prior
    if prior is not None and any("summary_linear" in name for name in found.missing_keys):
        size, heads = config.voice_size, config.voice_heads
        prior.prompt_voice.summary_linear.weight.copy_(torch.eye(size).repeat(1, heads) / heads)
        prior.prompt_voice.score_linear.weight.mul_(0.1)  # nearly even, but not alike, or all heads would stay one
    return network


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("codec", help="a folder, a Hugging Face id or bundled")
    parser.add_argument("out", type=Path, help="folder to write")
    for name in SIZES:
        parser.add_argument("--" + name.replace("_num", "").replace("_", "-"), dest=name, type=int)
    for name in CONVOLVED:
        part = name.split("_")[0]
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, action="store_true", help=f"convolutions behind the {part}'s blocks")
    arguments = parser.parse_args(given)
    sizes = {name: size for name in SIZES if (size := getattr(arguments, name)) is not None}
    sizes |= {name: True for name in CONVOLVED if getattr(arguments, name)}
    try:
        grow(arguments.codec, arguments.out, sizes)
    except InputError as error:
        print(f"grow_codec: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
