"""Lengths to masks, and resampling along time by each item's own length, so that padding never changes a result."""

from __future__ import annotations

import torch
from torch import Tensor


def valid(lengths: Tensor, size: int) -> Tensor:
    """lengths [B] -> bool [B, size], True where an item has data."""
    return torch.arange(size, device=lengths.device)[None] < lengths[:, None]


def interpolate(values: Tensor, lengths: Tensor, target_lengths: Tensor, size: int) -> Tensor:
    """Linear interpolation along time (`align_corners=False`), item by item.

    values [B, S, H] of which lengths [B] are valid -> [B, size, H] of which target_lengths [B] are valid.
    """
    position = torch.arange(size, device=values.device, dtype=torch.float32)[None]  # [1, size]
    scale = lengths.float() / target_lengths.float().clamp(min=1)
    source = ((position + 0.5) * scale[:, None] - 0.5).clamp(min=0)
    last = (lengths - 1).clamp(min=0)[:, None]
    left = torch.minimum(source.long(), last)
    right = torch.minimum(left + 1, last)
    weight = (source - left).clamp(max=1)[..., None].to(values.dtype)
    return gather(values, left) * (1 - weight) + gather(values, right) * weight


def gather(values: Tensor, index: Tensor) -> Tensor:
    """values [B, S, H], index [B, K] -> [B, K, H]."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))


def masked_std(values: Tensor, mask: Tensor) -> Tensor:
    """Standard deviation over valid frames and all bins of each item: values [B, F, D], mask [B, F] -> [B, 1, 1]."""
    values = values.float()  # sums over thousands of numbers do not fit half precision
    mask = mask[..., None].float()
    count = mask.sum((1, 2), keepdim=True) * values.shape[-1]
    mean = (values * mask).sum((1, 2), keepdim=True) / count
    squares = ((values - mean) * mask).square().sum((1, 2), keepdim=True)
    return (squares / (count - 1).clamp(min=1)).sqrt()
