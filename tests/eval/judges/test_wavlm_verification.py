"""WavLM-large verification: published names and shapes at full size; the embedding by hand at a tiny size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from tadicodec.errors import InputError
from tadicodec.eval.judges.ecapa import EcapaConfig
from tadicodec.eval.judges.wavlm_verification import (
    UNUSED,
    VerificationConfig,
    WavlmVerification,
    load_verification,
    own_names,
)
from tests.eval.judges.published_layouts import (
    TINY_WAVLM,
    WAVLM_LARGE,
    Shapes,
    Ssl,
    Tensors,
    batch_norm,
    conv,
    dense,
    linear,
    part,
    random_tensors,
    ssl_shapes,
    ssl_states,
)

TINY_HEAD = EcapaConfig(
    feature_size=16, channels=12, scale=4, gate_size=3, pooled_size=10, attention_size=5, embedding_size=6
)


def unit_shapes(name: str, inputs: int, outputs: int, kernel: int = 1) -> Shapes:
    return conv(f"{name}.conv", inputs, outputs, kernel) | batch_norm(f"{name}.bn", outputs)


def verification_shapes(size: Ssl, head: EcapaConfig, speakers: int) -> Shapes:
    """Names and shapes of `wavlm_large_finetune.pth`'s "model"."""
    shapes = {"feature_extract.model." + name: shape for name, shape in ssl_shapes(size).items()}
    shapes["feature_weight"] = (size.layers + 1,)
    shapes |= unit_shapes("layer1", size.width, head.channels, 5)
    width = head.channels // head.scale
    for layer in ("layer2", "layer3", "layer4"):
        for name in ("Conv1dReluBn1", "Conv1dReluBn2"):
            shapes |= unit_shapes(f"{layer}.{name}", head.channels, head.channels)
        for i in range(head.scale - 1):
            shapes |= conv(f"{layer}.Res2Conv1dReluBn.convs.{i}", width, width, 3)
            shapes |= batch_norm(f"{layer}.Res2Conv1dReluBn.bns.{i}", width)
        shapes |= linear(f"{layer}.SE_Connect.linear1", head.channels, head.gate_size)
        shapes |= linear(f"{layer}.SE_Connect.linear2", head.gate_size, head.channels)
    shapes |= conv("conv", 3 * head.channels, head.pooled_size, 1)
    shapes |= conv("pooling.linear1", head.pooled_size, head.attention_size, 1)
    shapes |= conv("pooling.linear2", head.attention_size, head.pooled_size, 1)
    shapes |= batch_norm("bn", 2 * head.pooled_size) | linear("linear", 2 * head.pooled_size, head.embedding_size)
    return shapes | {"loss_calculator.projection.weight": (speakers, head.embedding_size)}


def tiny_config() -> VerificationConfig:
    from transformers import WavLMConfig

    size = TINY_WAVLM
    wavlm = WavLMConfig(
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=size.inner,
        conv_dim=(size.convolution,) * 7,
        feat_extract_norm="layer",
        conv_bias=False,
        do_stable_layer_norm=True,
        num_buckets=size.buckets,
        max_bucket_distance=800,
        num_conv_pos_embeddings=size.positions,
        num_conv_pos_embedding_groups=size.groups,
        mask_time_prob=0.0,
        mask_feature_prob=0.0,
    )
    return VerificationConfig(wavlm, TINY_HEAD)


@pytest.fixture(scope="module")
def published() -> Tensors:
    return random_tensors(verification_shapes(TINY_WAVLM, TINY_HEAD, speakers=9))


@pytest.fixture
def checkpoint(published: Tensors, tmp_path: Path) -> Path:
    path = tmp_path / "wavlm_large_finetune.pth"
    torch.save({"model": published, "best_valid_eer": 100.0}, path)
    return path


def bn(x: Tensor, tensors: Tensors, name: str) -> Tensor:
    """Of [C, F] or [C]."""
    mean, variance, weight, bias = (
        tensors[f"{name}.{kind}"].view(-1, *[1] * (x.ndim - 1))
        for kind in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def convolved(x: Tensor, tensors: Tensors, name: str, dilation: int = 1) -> Tensor:
    weight = tensors[f"{name}.weight"]
    padding = dilation * (weight.shape[2] // 2)
    return F.conv1d(x[None], weight, tensors[f"{name}.bias"], padding=padding, dilation=dilation)[0]


def block(x: Tensor, tensors: Tensors, dilation: int) -> Tensor:
    y = bn(convolved(x, tensors, "Conv1dReluBn1.conv").relu(), tensors, "Conv1dReluBn1.bn")
    width = TINY_HEAD.channels // TINY_HEAD.scale
    pieces, before = [], torch.zeros(width, x.shape[1])
    for i in range(TINY_HEAD.scale - 1):
        piece = before + y[i * width : (i + 1) * width]
        piece = convolved(piece, tensors, f"Res2Conv1dReluBn.convs.{i}", dilation).relu()
        before = bn(piece, tensors, f"Res2Conv1dReluBn.bns.{i}")
        pieces.append(before)
    y = torch.cat([*pieces, y[-width:]])
    y = bn(convolved(y, tensors, "Conv1dReluBn2.conv").relu(), tensors, "Conv1dReluBn2.bn")
    gain = dense(dense(y.mean(1), tensors, "SE_Connect.linear1").relu(), tensors, "SE_Connect.linear2").sigmoid()
    return x + y * gain[:, None]


def by_hand(wave: Tensor, tensors: Tensors) -> Tensor:
    """The published definition: wave [N] -> embedding [E]."""
    wave = (wave - wave.mean()) / (wave.var(unbiased=False) + 1e-5).sqrt()
    states = torch.stack(ssl_states(wave, part(tensors, "feature_extract.model."), TINY_WAVLM))
    weight = tensors["feature_weight"].exp() / tensors["feature_weight"].exp().sum()
    x = (weight[:, None, None] * states).sum(0).T + 1e-6  # [C, F]
    x = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    x = bn(convolved(x, tensors, "layer1.conv").relu(), tensors, "layer1.bn")
    outputs = []
    for layer, dilation in (("layer2.", 2), ("layer3.", 3), ("layer4.", 4)):
        x = block(x, part(tensors, layer), dilation)
        outputs.append(x)
    x = convolved(torch.cat(outputs), tensors, "conv").relu()
    weight = convolved(convolved(x, tensors, "pooling.linear1").tanh(), tensors, "pooling.linear2").softmax(1)
    mean = (weight * x).sum(1)
    deviation = ((weight * x**2).sum(1) - mean**2).clamp(min=1e-9).sqrt()
    return dense(bn(torch.cat([mean, deviation]), tensors, "bn"), tensors, "linear")


def test_full_size_has_the_published_names_and_shapes() -> None:
    with torch.device("meta"):
        network = WavlmVerification(VerificationConfig())
        shapes = verification_shapes(WAVLM_LARGE, EcapaConfig(), speakers=7205)
        published = {name: torch.empty(shape) for name, shape in shapes.items()}
    assert len(published) == 711  # what the published file holds
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    assert {name: tensor.shape for name, tensor in own_names(published).items()} == expected
    assert len(expected) == 711 - len(UNUSED)


def test_embedding_is_the_definition(published: Tensors, checkpoint: Path) -> None:
    wave = torch.randn(16000, generator=torch.Generator().manual_seed(1)) * 0.1 + 0.01
    with torch.inference_mode():
        embedding = load_verification(checkpoint, tiny_config())(wave[None])[0]
    np.testing.assert_allclose(embedding, by_hand(wave, published), rtol=1e-4, atol=1e-4)


def test_batch_is_single_and_safetensors_is_pth(published: Tensors, checkpoint: Path, tmp_path: Path) -> None:
    waves = torch.randn(2, 6000, generator=torch.Generator().manual_seed(1)) * 0.1
    save_file({name: tensor.contiguous() for name, tensor in published.items()}, tmp_path / "x.safetensors")
    network = load_verification(checkpoint, tiny_config())
    with torch.inference_mode():
        both = network(waves)
        np.testing.assert_allclose(both[1:], network(waves[1:]), rtol=1e-4, atol=1e-4)
        again = load_verification(tmp_path / "x.safetensors", tiny_config())(waves)
        np.testing.assert_allclose(both, again, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("change", ["missing", "left over", "shape"])
def test_another_checkpoint_is_refused(published: Tensors, tmp_path: Path, change: str) -> None:
    tensors, name = dict(published), "layer3.Res2Conv1dReluBn.convs.1.weight"
    if change == "missing":
        del tensors[name]
    elif change == "shape":
        tensors[name] = tensors[name][:-1]
    else:
        tensors["layer5.weight"] = torch.zeros(1)
    torch.save({"model": tensors}, tmp_path / "x.pth")
    expected = "layer5.weight is not part" if change == "left over" else "layer3.middle.convs.1"
    with pytest.raises(InputError, match=expected):
        load_verification(tmp_path / "x.pth", tiny_config())
