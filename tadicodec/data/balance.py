"""How often each clip is heard, so that a voice counts and not its hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tadicodec.data.features import Clip
from tadicodec.errors import InputError


def hearings(clips: Sequence[Clip], shares: Mapping[str, float]) -> list[float]:
    """Times [len(clips)] that each clip is heard, on average, in an epoch as long as all of them.

    All speakers of a source are heard equally long. `shares` says how much of the time a source takes (0.1: a tenth),
    by the manifest's names; those it does not name take the rest by their numbers of speakers. Sources that have no
    clips are passed over.

    Raises:
        InputError: the shares of what is there leave nothing for the others, or are no shares.
    """
    total = sum(clip.frames for clip in clips)
    frames: Counter[tuple[str, str]] = Counter()  # of each speaker of a source
    for clip in clips:
        frames[clip.source, clip.speaker] += clip.frames
    speakers = Counter(source for source, _ in frames)
    given = {source: share for source, share in shares.items() if source in speakers}
    others = sum(count for source, count in speakers.items() if source not in given)
    rest = 1 - sum(given.values())
    if any(not isinstance(share, float | int) or not 0 < share <= 1 for share in shares.values()):
        raise InputError("data: shares are above 0 and at most 1 of the time")
    if rest < 0 or others and rest == 0:
        raise InputError("data: shares leave no time for the other sources")
    scale = rest / others if others else 0.0
    part = {s: given[s] / count if s in given else scale for s, count in speakers.items()}  # of a speaker's time
    if not others:
        part = {source: value / sum(given.values()) for source, value in part.items()}
    return [part[clip.source] * total / frames[clip.source, clip.speaker] for clip in clips]
