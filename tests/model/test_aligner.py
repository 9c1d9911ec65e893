"""Forced alignment against a search through every path, and what the aligner promises the decoder."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from tadicodec.model.aligner import Aligner, forced_alignment
from tadicodec.model.transformer import BlockConfig


def by_hand(log_probs: torch.Tensor, text: list[int]) -> list[int]:
    """First emission of each character on the best of all CTC paths."""
    steps, blank = log_probs.shape[0], log_probs.shape[1] - 1
    best, answer = -float("inf"), None
    for path in product(range(blank + 1), repeat=steps):
        spoken = [(t, c) for t, c in enumerate(path) if c != blank and (t == 0 or path[t - 1] != c)]
        if [c for _, c in spoken] == text:
            score = sum(float(log_probs[t, c]) for t, c in enumerate(path))
            if score > best:
                best, answer = score, [t for t, _ in spoken]
    return answer


@pytest.mark.parametrize("text", [[0], [0, 1], [1, 1], [0, 1, 0], [2, 2, 1]])
def test_it_finds_the_best_path(text: list[int]) -> None:
    for seed in range(5):
        logits = 2 * torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(seed))
        times = forced_alignment(logits, torch.tensor([6]), torch.tensor([text]), torch.tensor([len(text)]))
        assert times[0].tolist() == by_hand(logits[0].log_softmax(-1), text)


def test_speech_may_end_before_its_text() -> None:
    """Logits that spell 0, 1, 2 and then stay silent: the rest of the text is not said."""
    said = torch.tensor([3, 0, 3, 1, 3, 2, 3, 3, 3, 3])
    logits = 8 * torch.nn.functional.one_hot(said, 4)[None].float()
    text = torch.tensor([[0, 1, 2, 0, 1]])
    times = forced_alignment(logits, torch.tensor([10]), text, torch.tensor([5]), whole=False)
    assert times[0].tolist() == [1, 3, 5, 10, 10]


def test_padding_changes_nothing() -> None:
    logits = torch.randn(2, 30, 12, generator=torch.Generator().manual_seed(0))
    text = torch.randint(0, 11, (2, 9), generator=torch.Generator().manual_seed(1))
    steps, letters = torch.tensor([30, 17]), torch.tensor([4, 9])
    together = forced_alignment(logits, steps, text, letters)
    for i in range(2):
        s, n = int(steps[i]), int(letters[i])
        alone = forced_alignment(logits[i : i + 1, :s], steps[i : i + 1], text[i : i + 1, :n], letters[i : i + 1])
        assert torch.equal(together[i, :n], alone[0])
        assert (together[i, n:] == 30).all() and (alone[0].diff() >= 0).all()


def test_a_text_that_cannot_fit_is_spread_and_an_empty_one_is_nothing() -> None:
    logits = torch.randn(2, 4, 5)
    times = forced_alignment(logits, torch.tensor([4, 4]), torch.zeros(2, 8, dtype=torch.long), torch.tensor([8, 0]))
    torch.testing.assert_close(times[0], torch.arange(8) / 2)
    assert (times[1] == 4).all()


@pytest.mark.parametrize("convolved", [False, True])
def test_batch_equals_single(convolved: bool) -> None:
    torch.manual_seed(0)
    network = Aligner(14, BlockConfig(8, 2, 16), 2, 5, convolved).eval()
    torch.nn.init.normal_(network.out.weight)
    quantized, lengths = torch.randn(2, 9, 14), torch.tensor([9, 5])
    with torch.no_grad():
        both, alone = network(quantized, lengths), network(quantized[1:, :5])
    torch.testing.assert_close(both[1:, :20], alone)
    assert len(network.conformer) == (2 if convolved else 0)
