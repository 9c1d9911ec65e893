"""Word error rates, without another package: training needs torch, numpy and safetensors only."""

from __future__ import annotations

from collections.abc import Sequence


def rate(said: Sequence[str], written: Sequence[str]) -> float:
    """Wrong words over words said."""
    wrong = sum(edits(one.split(), other.split()) for one, other in zip(said, written))
    return wrong / max(sum(len(one.split()) for one in said), 1)


def edits(said: Sequence[str], written: Sequence[str]) -> int:
    """The least number of substitutions, deletions and insertions (Levenshtein) that turn one into the other."""
    row = list(range(len(written) + 1))
    for i, word in enumerate(said, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(written, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]
