"""A voice counts, not its hours."""

from __future__ import annotations

import pytest

from tadicodec.data.balance import hearings
from tadicodec.data.batches import BatchConfig, Position, batches_from, epoch_batches
from tadicodec.data.features import Clip
from tadicodec.errors import InputError


def clip(source: str, speaker: str, frames: int) -> Clip:
    return Clip("", "", speaker, "train", source, 0, 0, frames, 128)


CLIPS = [clip("much", "a", 80)] * 90 + [clip("few", "b", 40)] * 4 + [clip("few", "c", 80)] * 8


def heard(shares: dict[str, float]) -> dict[str, float]:
    """Share of the time by speaker."""
    times: dict[str, float] = {}
    for item, count in zip(CLIPS, hearings(CLIPS, shares), strict=True):
        times[item.speaker] = times.get(item.speaker, 0) + count * item.frames
    assert sum(times.values()) == pytest.approx(sum(item.frames for item in CLIPS))
    return {speaker: time / sum(times.values()) for speaker, time in times.items()}


def test_every_speaker_is_heard_as_long() -> None:
    assert heard({}) == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3})


def test_sources_take_the_share_that_is_asked_for() -> None:
    assert heard({"much": 0.1, "none such": 0.9}) == pytest.approx({"a": 0.1, "b": 0.45, "c": 0.45})
    assert heard({"few": 0.2, "much": 0.2}) == pytest.approx({"a": 0.5, "b": 0.25, "c": 0.25})


def test_shares_that_are_none_are_refused() -> None:
    for shares in ({"much": 0.0}, {"much": 1.0}, {"much": 0.7, "few": 0.7}):
        with pytest.raises(InputError, match="shares"):
            hearings(CLIPS, shares)


def test_epochs_draw_as_often_and_repeat() -> None:
    frames, config, times = [40, 48, 56, 64], BatchConfig(200, seed=3), [0.5, 2.0, 0.25, 1.0]
    epochs = [[i for batch in epoch_batches(frames, config, n, times) for i in batch] for n in range(400)]
    counts = [sum(epoch.count(i) for epoch in epochs) / 400 for i in range(4)]
    assert counts == pytest.approx(times, abs=0.08) and counts[1] == 2 and counts[3] == 1
    assert epochs[7] == [i for batch in epoch_batches(frames, config, 7, times) for i in batch]


def test_positions_lead_on_through_drawn_epochs() -> None:
    frames, config, times = [40] * 8, BatchConfig(80), [1.5] * 8
    order = batches_from(frames, config, Position(), times)
    taken = [next(order) for _ in range(20)]
    again = batches_from(frames, config, taken[9][1], times)
    assert [next(again)[0] for _ in range(10)] == [batch for batch, _ in taken[10:]]


def test_a_place_that_another_corpus_lacks_leads_to_the_next_epoch() -> None:
    """A run goes on with other features than it began with."""
    _, following = next(batches_from([40] * 4, BatchConfig(80), Position(epoch=2, batch=99)))
    assert following == Position(3, 1)
