"""Vectors for codes, computed from their bits.

A corpus of hours holds each of 16,384 codes a few dozen times, too few to learn a vector for each, while every bit is
seen in every token. It also keeps small models small.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.model.quantizer import from_codes

FEATURE_SIZE = 0.4  # root mean square of the features at the start


class CodeTable(nn.Module):
    """Codes to vectors by a small network: bits, Linear, GELU, Linear. It is a function of all bits together, not a sum
    over them.

    std: about the deviation that the vectors' entries have at the start of training.
    """

    corners: Tensor

    def __init__(self, codes: int, size: int, features: int, std: float) -> None:
        super().__init__()
        bits = codes.bit_length() - 1
        corners = from_codes(torch.arange(codes), bits) * bits**0.5  # +1 and -1
        self.register_buffer("corners", corners, persistent=False)
        self.inner = nn.Linear(bits, features)
        self.outer = nn.Linear(features, size)
        nn.init.normal_(self.outer.weight, std=std / (FEATURE_SIZE * features**0.5))
        nn.init.zeros_(self.outer.bias)

    def forward(self, codes: Tensor | None = None) -> Tensor:
        """codes [...] -> vectors [..., size]; None gives those of all codes, [codes, size]."""
        corners = self.corners if codes is None else F.embedding(codes, self.corners)
        return self.outer(F.gelu(self.inner(corners)))
