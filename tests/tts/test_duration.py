"""How long text takes: sums, starts and rates by hand."""

from __future__ import annotations

import pytest
import torch

from tadicodec.tts.duration import (
    Durations,
    by_bytes,
    duration_loss,
    even_starts,
    in_bins,
    speaking_rate,
    text_times,
    to_durations,
    to_starts,
)
from tadicodec.tts.script import SPACE, timed_script


def test_starts_and_durations_are_inverse() -> None:
    starts = torch.tensor([[1.0, 1.5, 4.0], [0.5, 2.0, 0.0]])
    durations = to_durations(starts, torch.tensor([3, 2]), torch.tensor([6, 3]))
    assert durations.tolist() == [[1.0, 0.5, 2.5, 2.0], [0.5, 1.5, 1.0, 0.0]]
    assert to_starts(durations[0], 6).tolist() == starts[0].tolist()
    assert to_starts(durations[0], 12).tolist() == (2 * starts[0]).tolist()
    assert even_starts(4, 2.0).tolist() == [0.0, 0.5, 1.0, 1.5]


def test_known_starts_are_kept_and_others_are_predicted() -> None:
    predicted = torch.tensor([[1.0, 1.0, 2.0], [1.0, 1.0, 2.0]])
    starts = torch.tensor([[0.0, 3.0], [-1.0, -1.0]])
    assert text_times(predicted, starts, torch.tensor([4, 8])).tolist() == [[0.0, 3.0], [2.0, 4.0]]


def test_times_by_bins_are_spread_over_them() -> None:
    starts = torch.tensor([[0.0, 0.1, 1.9, 4.5, 9.0], [0.0, 2.5, 3.5, 5.9, 9.0], [-1.0, -1.0, -1.0, 0.0, 0.0]])
    found = in_bins(starts, torch.tensor([4, 4, 3]), torch.tensor([2, 3, 2]))
    assert found[0].tolist() == pytest.approx([1 / 3, 1.0, 5 / 3, 5.0, 9.0])  # three in the first bin; padding is kept
    assert found[1].tolist() == pytest.approx([0.75, 2.25, 3.75, 5.25, 9.0])
    assert found[2].tolist() == starts[2].tolist()  # unknown times
    assert in_bins(starts, torch.tensor([4, 4, 3]), torch.zeros(3, dtype=torch.long)).tolist() == starts.tolist()


def test_loss_is_zero_for_the_truth_and_sees_only_the_total_where_starts_are_unknown() -> None:
    starts, letters, tokens = torch.tensor([[1.0, 2.0]]), torch.tensor([2]), torch.tensor([5])
    truth = to_durations(starts, letters, tokens)
    assert duration_loss(truth, letters, starts, tokens) == 0
    other = torch.tensor([[3.0, 1.0, 1.0]])
    assert duration_loss(other, letters, starts, tokens) > 0.1
    assert duration_loss(other, letters, starts - 10, tokens) == 0  # negative: unknown
    assert duration_loss(2 * truth, letters, starts, tokens) == pytest.approx(torch.log(torch.tensor(2.0)).item())


def test_rate_is_believed_with_the_length_of_the_prompt() -> None:
    usual = torch.tensor([2.0, 4.0, 4.0])
    assert speaking_rate(usual, 10) == 1.0
    assert speaking_rate(usual, 12) == pytest.approx(1.2 ** (12 / 22))
    assert speaking_rate(usual, 1) > 0.6 and speaking_rate(usual, 1000) == 1.6
    assert speaking_rate(torch.tensor([2.0]), 50) == 1.0  # no text


def test_the_published_rule_of_three() -> None:
    assert by_bytes("a" * 100, "b" * 50, 25, usual=0.4) == 50
    assert by_bytes("a" * 100, "", 25, usual=0.4) == 40
    assert by_bytes("ab", "b" * 50, 25, usual=0.4) == 2  # at least two tokens
    assert by_bytes("a" * 100, "b", 50, usual=0.4) == 67  # "b" in 8 s is no rate anybody speaks at


def test_padding_changes_no_duration() -> None:
    torch.manual_seed(0)
    network = Durations(256, 32).eval()
    ids = torch.tensor([[97, 98, 99], [100, 0, 0]])
    with torch.no_grad():
        both = network(ids, torch.tensor([3, 1]))
        alone = network(ids[1:, :1], torch.tensor([1]))
    assert both.shape == (2, 4) and (both[0] > 0).all() and not both[1, 2:].any()
    torch.testing.assert_close(both[1, :2], alone[0], atol=1e-6, rtol=1e-5)


def test_script_puts_the_new_text_behind_the_prompt() -> None:
    torch.manual_seed(0)
    network = Durations(256, 32)
    script = timed_script(network, list(b"cd"), list(b"ab"), 7, None)
    assert script.ids.tolist() == [*b"ab", SPACE, *b"cd"] and not script.fixed
    assert script.starts[2] == 7 and (script.starts.diff() >= 0).all()
    assert float(script.starts[1]) < 7 < float(script.starts[3]) < 7 + script.tokens
    longer = timed_script(network, list(b"cd"), list(b"ab"), 7, 30)
    assert longer.tokens == 30 and longer.fixed and float(longer.starts[4]) > float(script.starts[4])
    alone = timed_script(network, list(b"cd"), [], 7, None)
    assert alone.ids.tolist() == [*b"cd"] and float(alone.starts[0]) > 7
