"""The benchmark's table and plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

BAR, GAP, LEFT, WIDTH = 16, 8, 230, 720
COLOURS = {"plain": "#b8bec8", "ours": "#2f6fde"}


@dataclass(frozen=True)
class Row:
    """seconds of audio an item, `took` seconds for the batch, real-time factor, peak memory in MB, `plain` seconds."""

    stage: str
    seconds: float
    batch: int
    took: float
    real_time_factor: float
    memory: float
    plain: float | None = None

    @property
    def ratio(self) -> float | None:
        return None if self.plain is None else self.plain / self.took

    def line(self) -> str:
        ratio = "" if self.ratio is None else f", {self.ratio:.2f} x the plain path ({self.plain:.3f} s)"
        return (
            f"{self.stage} {self.seconds:g} s x {self.batch}: {self.took:.3f} s, RTF {self.real_time_factor:.4f}{ratio}"
        )


def table(about: dict[str, object], rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [
        f"{about['model']}, {about['device']}, {about['threads']} threads, torch {about['torch']}, {about['dtype']}, "
        f"compiled: {about['compiled']}; {about['network passes a decode']} network passes a decode, "
        f"{about['prompt_seconds']} s of prompt; mel error against float32 {about['mel error against float32']:.2e}.",
        "",
        "| stage | audio | batch | seconds | RTF | peak memory | plain path | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        plain = "-" if row.plain is None else f"{row.plain:.3f} s"
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f} x"
        lines.append(
            f"| {row.stage} | {row.seconds:g} s | {row.batch} | {row.took:.3f} | {row.real_time_factor:.4f} "
            f"| {row.memory:.0f} MB | {plain} | {ratio} |"
        )
    return "\n".join(lines) + "\n"


def plot(about: dict[str, object], rows: Sequence[Row]) -> str:
    """SVG: real-time factor of each row, logarithmic, the plain path behind it."""
    import math

    values = [row.real_time_factor for row in rows]
    values += [row.plain / (row.seconds * row.batch) for row in rows if row.plain is not None]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 1e-9)

    def width(value: float) -> float:
        return (math.log10(value) - low) / max(high - low, 1) * (WIDTH - LEFT - 90)

    parts, y = [], 46
    for power in range(low, high + 1):
        x = LEFT + width(10.0**power)
        parts.append(f'<line x1="{x:.1f}" y1="36" x2="{x:.1f}" y2="{{bottom}}" stroke="#e3e6ea"/>')
        parts.append(f'<text x="{x:.1f}" y="30" text-anchor="middle">{10.0**power:g}</text>')
    for row in rows:
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(row.stage)}, {row.seconds:g} s'
            f"{f' x {row.batch}' if row.batch > 1 else ''}</text>"
        )
        if row.plain is not None:
            parts.append(bar(y, width(row.plain / (row.seconds * row.batch)), "plain", ""))
            y += BAR
        label = f"{row.real_time_factor:.3g}" + ("" if row.ratio is None else f" ({row.ratio:.1f} x faster)")
        parts.append(bar(y, width(row.real_time_factor), "ours", label))
        y += BAR + GAP
    title = escape(
        f"Seconds a second of audio: {about['model']}, {about['device']}, {about['dtype']} (grey: plain path)"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 8}" font-family="sans-serif" '
        'font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/><text x="8" y="14" font-size="12">{title}</text>'
        + "".join(parts).replace("{bottom}", str(y))
        + "</svg>\n"
    )


def bar(y: int, width: float, kind: str, label: str) -> str:
    end = LEFT + max(width, 1)
    text = f'<text x="{end + 4:.1f}" y="{y + 12}">{label}</text>' if label else ""
    return f'<rect x="{LEFT}" y="{y}" width="{max(width, 1):.1f}" height="{BAR - 2}" fill="{COLOURS[kind]}"/>{text}'
