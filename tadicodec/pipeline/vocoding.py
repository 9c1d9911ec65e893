"""Mel to wave at any length: whole batches, and windows whose waves sound as if they had been made at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tadicodec.config import CodecConfig
from tadicodec.errors import InputError
from tadicodec.model.vocoder import Vocoder
from tadicodec.pipeline.waves import floats, pad
from tadicodec.speech import counted

VOCODER_FRAMES = 1500  # the vocoder takes at once
FADE = 480  # samples over which waves of two windows are cross-faded, one frame


@dataclass(frozen=True)
class Window:
    """Part of an utterance's mel: `mel` [F, 128] is final, `ahead` [A, 128] comes after it and will be decoded again,
    and after the `last` window nothing follows."""

    mel: Tensor
    ahead: Tensor
    last: bool


class WaveStream:
    """Turns mel windows into waves; each is made with all the frames on either side that the vocoder sees."""

    def __init__(self, vocoder: Vocoder, config: CodecConfig) -> None:
        self.vocoder, self.hop = vocoder, config.mel.hop_size
        self.context = 3 * (config.vocoder.num_layers + 1) + config.mel.n_fft // self.hop  # frames it sees on a side
        self.mel = torch.zeros(0, config.mel.num_mels)  # frames already made, as context, and those still waiting
        self.made = 0  # of these frames
        self.end = torch.zeros(0)  # kept back for the cross-fade

    def push(self, window: Window) -> Tensor:
        """The next window -> wave [n] of the frames whose right context is there: `window.ahead`, or later frames where
        that is empty."""
        self.mel = torch.cat([self.mel, window.mel])
        waits = 0 if window.last or len(window.ahead) else self.context
        stop = len(self.mel) - waits
        if stop <= self.made:
            return torch.zeros(0)
        first = max(self.made - self.context - 1, 0)
        seen = torch.cat([self.mel[first:], window.ahead[: self.context]])
        wave = run_vocoder(self.vocoder, seen[None], None)[0]
        wave = self.crossfade(wave[self.made * self.hop - first * self.hop - len(self.end) : (stop - first) * self.hop])
        keep = max(stop - self.context - 1, 0)
        self.mel, self.made = self.mel[keep:], stop - keep
        kept = 0 if window.last else FADE
        self.end = wave[len(wave) - kept :]
        return wave[: len(wave) - kept]

    def crossfade(self, wave: Tensor) -> Tensor:
        """Blend the start of a wave [n] with the samples that were kept back of the window before."""
        count = len(self.end)
        share = (torch.arange(count) + 0.5) / max(count, 1)
        return torch.cat([torch.lerp(self.end, wave[:count], share), wave[count:]])


def vocode(vocoder: Vocoder, config: CodecConfig, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Normalised log-mel [B, F, 128] to waves [B, 480 F] on the CPU; lengths [B] are frames (None: no padding).

    Raises:
        InputError: numbers of another shape, or lengths that are not 1 to F.
    """
    mel = floats("a mel", mel, (3,))
    if mel.shape[2] != config.mel.num_mels:
        raise InputError(f"a mel of shape {list(mel.shape)}: its last axis has {config.mel.num_mels} bins")
    lengths = None if lengths is None else counted(lengths, mel, "frames")
    if mel.shape[1] > VOCODER_FRAMES:
        counts = [mel.shape[1]] * len(mel) if lengths is None else lengths.tolist()
        return pad([vocode_long(vocoder, config, item[:count]) for item, count in zip(mel, counts, strict=True)])
    if lengths is not None and bool((lengths == mel.shape[1]).all()):
        lengths = None
    return run_vocoder(vocoder, mel, lengths)


def vocode_long(vocoder: Vocoder, config: CodecConfig, mel: Tensor) -> Tensor:
    """Mel [F, 128] to a wave [480 F], in pieces with all the context the vocoder sees: the same wave as whole."""
    stream, blocks = WaveStream(vocoder, config), mel.cpu().split(VOCODER_FRAMES)
    windows = [Window(block, block[:0], index + 1 == len(blocks)) for index, block in enumerate(blocks)]
    return torch.cat([stream.push(window) for window in windows])


def run_vocoder(vocoder: Vocoder, mel: Tensor, lengths: Tensor | None) -> Tensor:
    """One call of the network where its weights are; the waves come back to the CPU."""
    device = next(vocoder.parameters()).device
    return vocoder(mel.to(device), None if lengths is None else lengths.to(device)).cpu()
