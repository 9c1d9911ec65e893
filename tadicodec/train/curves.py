"""A picture of a training run: the curves of its log. Needs the extra `plot`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from tadicodec.errors import InputError
from tadicodec.pipeline.plots import SHADE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOT_CURVES = {"kind", "step", "seconds"}
COLUMNS = 3


def draw_curves(log: Path) -> Figure:
    """Each metric of a run's log.jsonl over its steps: a line in training, dots on held-out speech.

    Raises:
        InputError: no such log, or no numbers in it.
    """
    curves = read_curves(log)
    count = len(curves)
    rows = math.ceil(count / COLUMNS)
    figure = new_figure(4.2 * min(count, COLUMNS), 2.8 * rows)
    places = figure.subplots(rows, min(count, COLUMNS), squeeze=False).flat
    for axes, (name, kinds) in zip(places, sorted(curves.items())):
        for kind, points in kinds.items():
            steps, values = zip(*points)
            style = (
                {"color": SHADE, "linewidth": 1} if kind == "train" else {"color": "#c8553d", "marker": "o", "ms": 3}
            )
            axes.plot(steps, values, label=kind, **style)
        axes.set_title(name, fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, frameon=False)
    for axes in list(figure.axes)[count:]:
        axes.set_axis_off()
    return figure


def read_curves(log: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """metric -> "train" or "valid" -> (step, value), without what is not finite."""
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {}
    try:
        rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    except (OSError, ValueError) as error:
        raise InputError(f"{log} cannot be read as the log of a training run ({error.__class__.__name__})") from None
    for row in rows:
        for name, value in row.items():
            if name not in NOT_CURVES and isinstance(value, int | float) and math.isfinite(value):
                curves.setdefault(name, {}).setdefault(row["kind"], []).append((row["step"], value))
    if not curves:
        raise InputError(f"{log} holds no numbers yet")
    return curves
