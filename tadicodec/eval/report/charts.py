"""Bars with intervals and a scatter plot as inline SVG: no script, no font, nothing to fetch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from tadicodec.eval.report.intervals import Estimate

WIDTH, LABELS, VALUES, BAR = 780, 170, 150, 24  # pixels
HEIGHT, MARGIN = 300, 46


@dataclass(frozen=True)
class Bar:
    """One bar; `kind` is a class of the page's style sheet."""

    label: str
    kind: str
    found: Estimate


@dataclass(frozen=True)
class Dot:
    """One point of a scatter plot, with a label and a class of the page's style sheet."""

    x: float
    y: float
    kind: str
    label: str


def bars(title: str, items: Sequence[Bar], scale: float = 1.0, digits: int = 2, start: float = 0.0) -> str:
    """Horizontal bars from `start`, with their intervals; values are shown multiplied by `scale`."""
    top = max([item.found.high * scale for item in items] + [start + 1e-6])
    marks = ticks(start, top)
    reach = WIDTH - LABELS - VALUES
    place = Axis(start, marks[-1], LABELS, LABELS + reach)
    height = BAR * len(items) + 26
    parts = [f'<line class="grid" x1="{place(m)}" x2="{place(m)}" y1="0" y2="{height - 20}"/>' for m in marks]
    parts += [f'<text class="mark" x="{place(m)}" y="{height - 6}">{m:g}</text>' for m in marks]
    for row, item in enumerate(items):
        parts.append(bar(item, row * BAR, place, scale, digits))
    return svg(title, height, parts)


def bar(item: Bar, y: int, place: Axis, scale: float, digits: int) -> str:
    """One bar with its interval and its value, as SVG."""
    value, low, high = (scale * bound for bound in (item.found.value, item.found.low, item.found.high))
    middle, begin = y + BAR / 2, place(place.low)
    shown = f"{value:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"
    return (
        f"<g><title>{escape(item.label)}: {shown}, {item.found.count} utterances</title>"
        f'<text class="label" x="{LABELS - 8}" y="{middle + 4}">{escape(item.label)}</text>'
        f'<rect class="{item.kind}" x="{begin}" y="{y + 4}" width="{max(place(value) - begin, 0):.1f}" '
        f'height="{BAR - 8}" rx="2"/>'
        f'<path class="interval" d="M{place(low)} {middle}H{place(high)}M{place(low)} {middle - 4}v8'
        f'M{place(high)} {middle - 4}v8"/>'
        f'<text class="value" x="{WIDTH - VALUES + 10}" y="{middle + 4}">{shown}</text></g>'
    )


def scatter(title: str, dots: Sequence[Dot], x_title: str, y_title: str) -> str:
    """A dot for each utterance, its label on hover."""
    across, up = ticks(0, max(dot.x for dot in dots)), ticks(0, max(max(dot.y for dot in dots), 1.0))
    x, y = Axis(0, across[-1], MARGIN, WIDTH - 10), Axis(0, up[-1], HEIGHT - MARGIN, 10)
    parts = frame({mark: x(mark) for mark in across}, {mark: y(mark) for mark in up}, x_title, y_title)
    for dot in dots:
        place = f'cx="{x(dot.x)}" cy="{y(dot.y)}" r="4"'
        parts.append(f'<circle class="{dot.kind}" {place}><title>{escape(dot.label)}</title></circle>')
    return svg(title, HEIGHT, parts)


def rate_chart(title: str, dots: Sequence[Dot], x_title: str, y_title: str) -> str:
    """A dot with its name for each system; across, rates above 0 by their logarithm, with round numbers below."""
    low, high = (log10(pick(dot.x for dot in dots)) for pick in (min, max))
    marks = [m * 10**power for power in range(floor(low), ceil(high) + 1) for m in (1, 2, 5)]
    marks = [m for m in marks if low - 0.2 <= log10(m) <= high + 0.2]
    up = ticks(0, max(max(dot.y for dot in dots), 1.0))
    x, y = Axis(low - 0.2, high + 0.5, MARGIN, WIDTH - 10), Axis(0, up[-1], HEIGHT - MARGIN, 10)
    parts = frame({mark: x(log10(mark)) for mark in marks}, {mark: y(mark) for mark in up}, x_title, y_title)
    for dot in dots:
        across, height = x(log10(dot.x)), y(dot.y)
        parts.append(f'<circle class="{dot.kind}" cx="{across}" cy="{height}" r="5"/>')
        parts.append(f'<text x="{across + 8}" y="{height + 4}">{escape(dot.label)}</text>')
    return svg(title, HEIGHT, parts)


def frame(across: Mapping[float, float], up: Mapping[float, float], x_title: str, y_title: str) -> list[str]:
    """The lines, marks and titles around dots: `across` and `up` are the pixels at which numbers stand."""
    parts = [f'<line class="grid" x1="{MARGIN}" x2="{WIDTH - 10}" y1="{y}" y2="{y}"/>' for y in up.values()]
    parts += [f'<text class="label" x="{MARGIN - 6}" y="{y + 4}">{mark:g}</text>' for mark, y in up.items()]
    parts += [f'<text class="mark" x="{x}" y="{HEIGHT - MARGIN + 16}">{mark:g}</text>' for mark, x in across.items()]
    parts.append(f'<text class="mark" x="{WIDTH / 2}" y="{HEIGHT - 8}">{escape(x_title)}</text>')
    parts.append(f'<text class="value" x="{MARGIN + 6}" y="18">{escape(y_title)}</text>')
    return parts


@dataclass(frozen=True)
class Axis:
    """Values low .. high on pixels start .. stop."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """The pixel at which a value lies."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.stop - self.start), 1)


def ticks(low: float, high: float) -> list[float]:
    """Four to nine round numbers from at most `low` to at least `high`."""
    rough = max(high - low, 1e-6) / 5
    power = 10.0 ** floor(log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = floor(low / step), max(ceil(high / step), floor(low / step) + 1)
    return [round(place * step, 10) for place in range(first, last + 1)]


def svg(title: str, height: int, parts: Sequence[str]) -> str:
    """A figure of this height around SVG parts, with its title."""
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg></figure>'
    )
