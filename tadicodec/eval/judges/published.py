"""Weights as others publish them: found by name, read without running what a file holds, loaded strictly."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tadicodec.errors import InputError, reason
from tadicodec.guards.pretrained import load_network

Names = Iterable[tuple[str, str]]  # regular expressions and what to write instead, all applied, in order


def local(name: str) -> Path | None:
    """The file or folder of that name, or None for a Hugging Face id.

    Raises:
        InputError: neither.
    """
    path = Path(name).expanduser()
    if path.exists():
        return path
    if name.count("/") != 1 or name.startswith((".", "/", "~")) or path.suffix in (".pt", ".pth", ".ckpt"):
        raise InputError(f"{name}: no such file or folder, and not a Hugging Face id such as openai/whisper-large-v3")
    return None


def pretrained(kind: str, name: str) -> Any:
    """A transformers network from a folder or a hub id, in float32 for evaluation, every one of its weights loaded.

    Raises:
        InputError: it cannot be found or fetched, or is another kind of network.
    """
    model, loaded = load_network(kind, name)
    if missing := sorted(loaded["missing_keys"]):
        raise InputError(f"{name}: is not a {kind}: it has no {missing[0]}")
    return model.float().eval()


def read_checkpoint(path: Path, entry: str) -> dict[str, Tensor]:
    """Tensors of a safetensors file, or of a PyTorch file that holds them itself or under the key `entry`.

    Raises:
        InputError: missing, damaged, or without tensors.
    """
    try:
        content = load_file(path) if path.suffix == ".safetensors" else load_inert(path)
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"{path}: cannot be read as a checkpoint ({reason(error)})") from error
    content = content.get(entry, content) if isinstance(content, Mapping) else {}
    if not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path}: holds no tensors, nor tensors under {entry!r}")
    return dict(content)


class Inert:
    """Stands for an object that a checkpoint carries beside its tensors (a training configuration, say)."""

    def __new__(cls, *_: object, **__: object) -> Inert:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def load_inert(path: Path) -> Any:
    """torch.load that builds tensors and plain containers only; every other class in the file becomes `Inert`."""
    stand_ins: list[Any] = []
    if zipfile.is_zipfile(path):
        for full_name in torch.serialization.get_unsafe_globals_in_checkpoint(path):
            module, _, name = full_name.rpartition(".")
            stand_ins.append(type(name, (Inert,), {"__module__": module, "__qualname__": name}))
    with torch.serialization.safe_globals(stand_ins):
        return torch.load(path, map_location="cpu", weights_only=True)


def renamed(name: str, names: Names) -> str:
    """A tensor's name after all substitutions."""
    for pattern, replacement in names:
        name = re.sub(pattern, replacement, name)
    return name


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fill a network; nothing may be missing, left over or of another shape.

    Raises:
        InputError: naming the first tensor that does not fit.
    """
    own = module.state_dict()
    problems = [f"{name} is missing" for name in own if name not in tensors]
    problems += [f"{name} is not part of the network" for name in tensors if name not in own]
    problems += [
        f"{name} is {list(tensors[name].shape)} instead of {list(tensor.shape)}"
        for name, tensor in own.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(f"{path}: not the published {type(module).__name__} weights: {problems[0]}{more}")
    module.load_state_dict(tensors)


# fairseq's names of wav2vec 2.0 and WavLM -> transformers' names.
FAIRSEQ_NAMES: Names = (
    (r"^feature_extractor\.conv_layers\.(\d+)\.0\.", r"feature_extractor.conv_layers.\1.conv."),
    # a group norm sits at .2, a layer norm between two transpositions at .2.1
    (r"^feature_extractor\.conv_layers\.(\d+)\.2\.(1\.)?", r"feature_extractor.conv_layers.\1.layer_norm."),
    (r"^layer_norm\.", "feature_projection.layer_norm."),
    (r"^post_extract_proj\.", "feature_projection.projection."),
    (r"^encoder\.pos_conv\.0\.weight_g$", "encoder.pos_conv_embed.conv.parametrizations.weight.original0"),
    (r"^encoder\.pos_conv\.0\.weight_v$", "encoder.pos_conv_embed.conv.parametrizations.weight.original1"),
    (r"^encoder\.pos_conv\.0\.", "encoder.pos_conv_embed.conv."),
    (r"\.self_attn\.grep_linear\.", ".attention.gru_rel_pos_linear."),
    (r"\.self_attn\.grep_a$", ".attention.gru_rel_pos_const"),
    (r"\.self_attn\.relative_attention_bias\.", ".attention.rel_attn_embed."),
    (r"\.self_attn\.", ".attention."),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.fc1\.", ".feed_forward.intermediate_dense."),
    (r"\.fc2\.", ".feed_forward.output_dense."),
)
MASK = "mask_emb"  # replaces masked frames in pretraining; no frame is masked here
