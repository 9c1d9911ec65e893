"""The transcriber gives an item in a batch what it gets alone, with convolutions behind its blocks, too."""

from __future__ import annotations

import pytest
import torch

from tadicodec.model.transcriber import Transcriber
from tadicodec.model.transformer import BlockConfig


@pytest.mark.parametrize("convolved", [False, True])
def test_batch_equals_single(convolved: bool) -> None:
    torch.manual_seed(0)
    network = Transcriber(BlockConfig(8, 2, 16), 2, convolved).eval()
    torch.nn.init.normal_(network.out.weight)
    states, lengths = torch.randn(2, 30, 8), torch.tensor([30, 17])
    with torch.no_grad():
        both, alone = network(states, lengths), network(states[1:, :17])
    torch.testing.assert_close(both[1:, :17], alone)
    assert len(network.conformer) == (2 if convolved else 0)
