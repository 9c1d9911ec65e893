"""Draw recordings above each other as log-mel spectrograms on one time axis: what the codec keeps can be seen.

    python tools/draw_spectrograms.py docs/images/before_after.png \\
        samples/austen_3.flac recipes/codec/after/austen_3.flac

makes the figure of the README. Draw it again whenever the bundled model, and with it recipes/codec/after, changes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from tadicodec.audio.files import read_audio
from tadicodec.audio.mel import MelSpectrogram, hz_to_mel
from tadicodec.audio.resample import resample
from tadicodec.config import MelConfig
from tadicodec.errors import InputError

RATE, FRAMES_PER_SECOND = 24000, 50
TICKS = (0.5, 1, 2, 4, 8)  # kHz
SPAN = 8.0  # nepers from the loudest down to black
TITLES = ("recording", "after 6.25 tokens a second and the text")


def log_mel(path: str) -> np.ndarray:
    """An audio file -> log-mel [128, F] of its speech at the same level."""
    wave, rate = read_audio(path)
    samples = torch.from_numpy(np.ascontiguousarray(resample(wave, rate, RATE)))
    samples = samples / samples.square().mean().sqrt().clamp(min=1e-6)
    return MelSpectrogram(MelConfig()).log_mel(samples[None])[0].T.numpy()


def draw(out: Path, mels: list[np.ndarray]) -> None:
    """Write one panel a spectrogram."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(mels), 1, figsize=(8, 1.7 * len(mels)), sharex=True, layout="constrained")
    for panel, mel, title in zip(np.atleast_1d(axes), mels, TITLES, strict=False):
        top, seconds = np.percentile(mel, 99.8), mel.shape[1] / FRAMES_PER_SECOND
        extent = (0, seconds, -0.5, len(mel) - 0.5)
        panel.imshow(mel, origin="lower", aspect="auto", extent=extent, vmin=top - SPAN, vmax=top, cmap="magma")
        panel.set_yticks([bin_of(1000 * tick, len(mel)) for tick in TICKS], [f"{tick:g}" for tick in TICKS])
        panel.set_xticks(range(int(seconds) + 1))
        panel.set_ylabel("kHz")
        panel.set_title(title, loc="left", fontsize=10)
    panel.set_xlabel("seconds")
    figure.savefig(out, dpi=100)


def bin_of(hertz: float, bins: int) -> float:
    """Where a frequency lies among the mel bins, whose centres are evenly spaced on the mel scale."""
    config = MelConfig()
    low, here, high = hz_to_mel(torch.tensor([config.fmin, hertz, config.fmax], dtype=torch.float64)).tolist()
    return (here - low) / (high - low) * (bins + 1) - 1


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="picture to write (png or svg)")
    parser.add_argument("audio", nargs="+", help="audio files, drawn from top to bottom")
    args = parser.parse_args(arguments)
    try:
        draw(args.out, [log_mel(path) for path in args.audio])
    except InputError as error:
        print(f"draw_spectrograms: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
