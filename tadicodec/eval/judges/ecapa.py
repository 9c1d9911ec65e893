"""ECAPA-TDNN speaker embedder (Desplanques et al., 2020, arXiv:2005.07143), in UniSpeech's small form."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class EcapaConfig:
    """Sizes; the defaults are those of the published WavLM-large verification model."""

    feature_size: int = 1024
    channels: int = 512  # of each block
    scale: int = 8  # groups of channels a block's middle convolution works on, one after the other
    gate_size: int = 128
    pooled_size: int = 1536
    attention_size: int = 128
    embedding_size: int = 256


class Unit(nn.Module):
    """Convolution, ReLU, batch norm, in this order: [B, C, F] -> [B, C', F]."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x).relu())


class Res2Conv(nn.Module):
    """Dilated convolutions of channel groups, each also fed what the group before gave: [B, C, F] -> same."""

    def __init__(self, channels: int, scale: int, dilation: int) -> None:
        super().__init__()
        self.scale = scale
        width = channels // scale
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation) for _ in range(scale - 1)
        )
        self.bns = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(scale - 1))

    def forward(self, x: Tensor) -> Tensor:
        *groups, untouched = x.chunk(self.scale, dim=1)
        done: list[Tensor] = []
        for group, conv, bn in zip(groups, self.convs, self.bns):
            done.append(bn(conv(group + done[-1] if done else group).relu()))
        return torch.cat([*done, untouched], dim=1)


class Gate(nn.Module):
    """Squeeze and excitation: scales each channel of [B, C, F] by what all channels are on average."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(channels, size)
        self.linear2 = nn.Linear(size, channels)

    def forward(self, x: Tensor) -> Tensor:
        gain = self.linear2(self.linear1(x.mean(dim=2)).relu()).sigmoid()
        return x * gain[:, :, None]


class Block(nn.Module):
    """Residual block of the above: [B, C, F] -> same."""

    def __init__(self, config: EcapaConfig, dilation: int) -> None:
        super().__init__()
        self.enter = Unit(config.channels, config.channels)
        self.middle = Res2Conv(config.channels, config.scale, dilation)
        self.leave = Unit(config.channels, config.channels)
        self.gate = Gate(config.channels, config.gate_size)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gate(self.leave(self.middle(self.enter(x))))


class AttentivePooling(nn.Module):
    """Mean and standard deviation over frames, weighted by attention for each channel: [B, C, F] -> [B, 2 C]."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.linear1 = nn.Conv1d(channels, size, 1)
        self.linear2 = nn.Conv1d(size, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.linear2(self.linear1(x).tanh()).softmax(dim=2)
        mean = (weight * x).sum(dim=2)
        variance = (weight * x.square()).sum(dim=2) - mean.square()
        return torch.cat([mean, variance.clamp(min=1e-9).sqrt()], dim=1)


class Ecapa(nn.Module):
    """Features [B, C, F] -> embedding [B, E]."""

    def __init__(self, config: EcapaConfig) -> None:
        super().__init__()
        self.instance_norm = nn.InstanceNorm1d(config.feature_size)
        self.layer1 = Unit(config.feature_size, config.channels, kernel=5)
        self.layer2, self.layer3, self.layer4 = (Block(config, dilation) for dilation in (2, 3, 4))
        self.conv = nn.Conv1d(3 * config.channels, config.pooled_size, 1)
        self.pooling = AttentivePooling(config.pooled_size, config.attention_size)
        self.bn = nn.BatchNorm1d(2 * config.pooled_size)
        self.linear = nn.Linear(2 * config.pooled_size, config.embedding_size)

    def forward(self, features: Tensor) -> Tensor:
        first = self.layer1(self.instance_norm(features))
        second = self.layer2(first)
        third = self.layer3(second)
        fourth = self.layer4(third)
        joined = self.conv(torch.cat([second, third, fourth], dim=1)).relu()
        return self.linear(self.bn(self.pooling(joined)))
