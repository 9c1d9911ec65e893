"""Published checkpoints' layouts, written out from their definitions: names, shapes, and what the tensors compute.

Nothing here uses the package or transformers, so that agreement with them means something.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
Tensors = dict[str, Tensor]
KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)


@dataclass(frozen=True)
class Ssl:
    """wav2vec 2.0 (norms last, group norm in the first convolution) or WavLM-large (`wavlm`: norms first)."""

    width: int
    layers: int
    heads: int
    inner: int
    convolution: int
    wavlm: bool
    groups: int = 16
    positions: int = 128
    buckets: int = 320


WAV2VEC2_BASE = Ssl(768, 12, 12, 3072, 512, wavlm=False)
WAVLM_LARGE = Ssl(1024, 24, 16, 4096, 512, wavlm=True)
TINY_WAV2VEC2 = Ssl(16, 2, 2, 24, 8, wavlm=False, groups=2, positions=4)
TINY_WAVLM = Ssl(16, 3, 2, 24, 8, wavlm=True, groups=2, positions=4, buckets=12)


def linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name: str, size: int) -> Shapes:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def conv(name: str, inputs: int, outputs: int, kernel: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, kernel), f"{name}.bias": (outputs,)}


def batch_norm(name: str, size: int) -> Shapes:
    moving = {f"{name}.running_mean": (size,), f"{name}.running_var": (size,), f"{name}.num_batches_tracked": ()}
    return norm(name, size) | moving


def ssl_shapes(size: Ssl) -> Shapes:
    """fairseq's names."""
    shapes: Shapes = {"mask_emb": (size.width,)}
    for i, kernel in enumerate(KERNELS):
        shapes[f"feature_extractor.conv_layers.{i}.0.weight"] = (size.convolution, size.convolution if i else 1, kernel)
        if size.wavlm:
            shapes |= norm(f"feature_extractor.conv_layers.{i}.2.1", size.convolution)
        elif i == 0:
            shapes |= norm("feature_extractor.conv_layers.0.2", size.convolution)
    shapes |= norm("layer_norm", size.convolution) | linear("post_extract_proj", size.convolution, size.width)
    shapes["encoder.pos_conv.0.weight_g"] = (1, 1, size.positions)
    shapes["encoder.pos_conv.0.weight_v"] = (size.width, size.width // size.groups, size.positions)
    shapes["encoder.pos_conv.0.bias"] = (size.width,)
    shapes |= norm("encoder.layer_norm", size.width)
    for i in range(size.layers):
        layer = f"encoder.layers.{i}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= linear(f"{layer}.self_attn.{part}", size.width, size.width)
        shapes |= norm(f"{layer}.self_attn_layer_norm", size.width) | norm(f"{layer}.final_layer_norm", size.width)
        shapes |= linear(f"{layer}.fc1", size.width, size.inner) | linear(f"{layer}.fc2", size.inner, size.width)
        if size.wavlm:
            shapes |= linear(f"{layer}.self_attn.grep_linear", size.width // size.heads, 8)
            shapes[f"{layer}.self_attn.grep_a"] = (1, size.heads, 1, 1)
    if size.wavlm:
        shapes["encoder.layers.0.self_attn.relative_attention_bias.weight"] = (size.buckets, size.heads)
    return shapes


def random_tensors(shapes: Shapes, seed: int = 0) -> Tensors:
    """Values of a size that leaves every part something to do."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.tensor(7)
        elif name.endswith(("running_var", "weight_g")):
            tensors[name] = 0.5 + noise.abs()
        elif len(shape) == 1 and name.endswith("weight"):
            tensors[name] = 1 + 0.3 * noise
        else:
            tensors[name] = noise * (0.3 if len(shape) == 1 else math.prod(shape[1:]) ** -0.5)
    return tensors


def part(tensors: Tensors, prefix: str) -> Tensors:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def layer_norm(x: Tensor, tensors: Tensors, name: str) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def dense(x: Tensor, tensors: Tensors, name: str) -> Tensor:
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def ssl_states(wave: Tensor, tensors: Tensors, size: Ssl) -> list[Tensor]:
    """Wave [N] -> what enters each block, then what the encoder gives: each [F, H]."""
    x = wave[None]
    for i, stride in enumerate(STRIDES):
        x = F.conv1d(x, tensors[f"feature_extractor.conv_layers.{i}.0.weight"], stride=stride)
        if size.wavlm:
            x = layer_norm(x.T, tensors, f"feature_extractor.conv_layers.{i}.2.1").T
        elif i == 0:
            names = [f"feature_extractor.conv_layers.0.2.{kind}" for kind in ("weight", "bias")]
            x = F.group_norm(x[None], len(x), *(tensors[name] for name in names))[0]
        x = F.gelu(x)
    x = dense(layer_norm(x.T, tensors, "layer_norm"), tensors, "post_extract_proj")
    direction = tensors["encoder.pos_conv.0.weight_v"]
    weight = tensors["encoder.pos_conv.0.weight_g"] * direction / direction.norm(dim=(0, 1), keepdim=True)
    bias = tensors["encoder.pos_conv.0.bias"]
    where = F.conv1d(x.T[None], weight, bias, padding=size.positions // 2, groups=size.groups)[0, :, :-1]
    x = x + F.gelu(where).T
    if not size.wavlm:
        x = layer_norm(x, tensors, "encoder.layer_norm")
    bias = position_bias(len(x), tensors, size) if size.wavlm else None
    states = [x]
    for i in range(size.layers):
        layer = part(tensors, f"encoder.layers.{i}.")
        if size.wavlm:
            x = x + attention(layer_norm(x, layer, "self_attn_layer_norm"), layer, size, bias)
            x = x + feed_forward(layer_norm(x, layer, "final_layer_norm"), layer)
        else:
            x = layer_norm(x + attention(x, layer, size, None), layer, "self_attn_layer_norm")
            x = layer_norm(x + feed_forward(x, layer), layer, "final_layer_norm")
        states.append(x)
    if size.wavlm:
        states[-1] = layer_norm(states[-1], tensors, "encoder.layer_norm")
    return states


def feed_forward(x: Tensor, layer: Tensors) -> Tensor:
    return dense(F.gelu(dense(x, layer, "fc1")), layer, "fc2")


def attention(x: Tensor, layer: Tensors, size: Ssl, bias: Tensor | None) -> Tensor:
    """[F, H] -> [F, H]; WavLM adds its position bias [heads, F, F], gated by what each query looks like."""
    heads = []
    width = size.width // size.heads
    query, key, value = (dense(x, layer, f"self_attn.{name}_proj") for name in "qkv")
    for h in range(size.heads):
        own = slice(h * width, (h + 1) * width)
        scores = query[:, own] @ key[:, own].T / math.sqrt(width)
        if bias is not None:
            gates = dense(x[:, own], layer, "self_attn.grep_linear")  # [F, 8]
            update, reset = gates[:, :4].sum(1).sigmoid(), gates[:, 4:].sum(1).sigmoid()
            gain = update * (reset * layer["self_attn.grep_a"][0, h, 0, 0] - 1) + 2
            scores = scores + gain[:, None] * bias[h]
        heads.append(scores.softmax(dim=1) @ value[:, own])
    return dense(torch.cat(heads, dim=1), layer, "self_attn.out_proj")


def position_bias(frames: int, tensors: Tensors, size: Ssl) -> Tensor:
    """[heads, F, F]: half of the buckets for keys after the query; in each half, exact distances, then logarithmic."""
    table = tensors["encoder.layers.0.self_attn.relative_attention_bias.weight"]
    half, exact = size.buckets // 2, size.buckets // 4
    bias = torch.empty(size.heads, frames, frames)
    for q in range(frames):
        for k in range(frames):
            distance = abs(k - q)
            bucket = distance
            if distance >= exact:
                steps = math.log(distance / exact) / math.log(800 / exact) * (half - exact)
                bucket = min(exact + int(steps), half - 1)
            bias[:, q, k] = table[bucket + (half if k > q else 0)]
    return bias
