"""A picture of an utterance: its sound, words, mel and codes, over the same seconds. Needs the extra `plot`."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tadicodec.config import CODE_BITS, DOWN_SAMPLE_FACTOR, HOP_SIZE, SAMPLE_RATE
from tadicodec.errors import InputError
from tadicodec.guards.extras import missing
from tadicodec.text.captions import Word

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FRAME_RATE = SAMPLE_RATE / HOP_SIZE  # mel frames a second
TOKEN_RATE = FRAME_RATE / DOWN_SAMPLE_FACTOR
MOST_SECONDS = 60.0  # in one picture
INK, TINTS, SHADE = "#1b2a41", ("#cfe3f7", "#f7e3cf"), "#2a6f97"
POINTS = 4000  # of a drawn waveform


@dataclass(frozen=True)
class Utterance:
    """What is drawn: wave [N] at sample_rate, its mel [F, bins], its codes [T] of so many bits, its words with their
    times, and, to compare, the mel of what was decoded."""

    wave: np.ndarray
    sample_rate: int
    mel: np.ndarray
    codes: np.ndarray
    words: Sequence[Word] = ()
    decoded: np.ndarray | None = None
    code_bits: int = CODE_BITS

    @property
    def seconds(self) -> float:
        """The length of the wave."""
        return len(self.wave) / self.sample_rate


def draw_utterance(utterance: Utterance, title: str = "") -> Figure:
    """The waveform with the words on it, the mel, and the bits of the codes, over the same seconds; at most the first
    minute. Raises InputError without matplotlib."""
    shown = min(utterance.seconds, MOST_SECONDS)
    mels = {"mel": utterance.mel}
    if utterance.decoded is not None:
        mels = {"mel, original": utterance.mel, "mel, decoded": utterance.decoded}
    figure = new_figure(min(max(0.9 * shown, 9.0), 40.0), 4.0 + 3.0 * len(mels))
    rows = figure.subplots(2 + len(mels), 1, sharex=True, height_ratios=[2, *[3] * len(mels), 2])
    draw_wave(rows[0], utterance)
    for axes, (name, mel) in zip(rows[1:], mels.items()):
        draw_mel(axes, mel, name)
        axes.images[0].set_clim(*limits(mels.values()))
    draw_codes(rows[-1], utterance.codes, utterance.code_bits)
    rows[0].set_xlim(0, shown)
    rows[-1].set_xlabel("seconds")
    if utterance.seconds > shown:
        title = f"{title} (the first {shown:.0f} of {utterance.seconds:.0f} s)".strip()
    rows[0].set_title(title, fontsize=10)
    return figure


def limits(mels: Iterable[np.ndarray]) -> tuple[float, float]:
    """One scale for several mels."""
    values = list(mels)
    return min(float(mel.min()) for mel in values), max(float(mel.max()) for mel in values)


def draw_wave(axes: Axes, utterance: Utterance) -> None:
    """Envelope of the samples, with each word on the time in which it is said."""
    step = max(len(utterance.wave) // POINTS, 1)
    whole = utterance.wave[: len(utterance.wave) // step * step].reshape(-1, step)
    times = (np.arange(len(whole)) + 0.5) * step / utterance.sample_rate
    axes.fill_between(times, whole.min(1), whole.max(1), color=SHADE, linewidth=0.5)
    top = float(np.abs(utterance.wave).max(initial=1e-3)) * 1.1
    axes.set_ylim(-top, 1.6 * top)
    for number, word in enumerate(utterance.words):
        if word.start < MOST_SECONDS:
            axes.axvspan(word.start, word.end, color=TINTS[number % 2], linewidth=0, zorder=0)
            place = (word.start + word.end) / 2
            height = (1.2 + 0.22 * (number % 2)) * top
            axes.text(place, height, plain(word.word), ha="center", va="center", fontsize=8, color=INK, clip_on=True)
    axes.set_ylabel("sound")


def draw_mel(axes: Axes, mel: np.ndarray, name: str) -> None:
    """mel [F, bins], low frequencies at the bottom."""
    frames, bins = mel.shape
    axes.imshow(mel.T, origin="lower", aspect="auto", cmap="magma", extent=(0, frames / FRAME_RATE, 0, bins))
    axes.set_ylabel(name)


def draw_codes(axes: Axes, codes: np.ndarray, code_bits: int) -> None:
    """The bits of each code [T], one column a token, the most significant at the top."""
    bits = (codes[None, :] >> np.arange(code_bits)[:, None]) & 1
    seconds = len(codes) / TOKEN_RATE
    axes.imshow(
        bits, origin="lower", aspect="auto", cmap="Blues", vmin=-0.3, vmax=1.3, extent=(0, seconds, 0, code_bits)
    )
    axes.set_ylabel("bits of the codes")
    axes.set_yticks([0, code_bits])


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, without a window and without global state: threads may draw at once."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError(missing("matplotlib", "drawing")) from None
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a word in a script the font does not have
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def plain(word: Any) -> str:
    """A word without what matplotlib would take for mathematics."""
    return str(word).replace("$", r"\$")
