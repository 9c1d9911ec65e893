"""Losses that no gradient reaches: speech is decoded as a user would decode it, and anything that gives a number judges
it. For methods that learn from losses alone (ZeroQAT).

A recipe names one under `tuning.loss`: "words", "voice", or `module:function` for one of your own. These two measure
with the codec's float network, which knows how to listen, so that no other model is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from tadicodec.codec import Codec
from tadicodec.errors import InputError, reason
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.pipeline.decoding import Item, decode_items, draw
from tadicodec.pipeline.vocoding import vocode
from tadicodec.quant.quant_settings import BUILT_IN_JUDGES
from tadicodec.text.normalize import letters_only
from tadicodec.train.speaker_loss import patches
from tadicodec.train.word_errors import rate


@dataclass(frozen=True)
class Decoded:
    """One clip after the rounded network has encoded and decoded it.

    wave [480 F] float32 at 24 kHz on the CPU; text: what is said; mel [F, 128] of the recording; codec: the float codec
    to measure with.
    """

    wave: Tensor
    text: str
    mel: Tensor
    codec: Codec


Judge = Callable[[Sequence[Decoded]], float]  # of the clips of a batch; the lower, the better


def word_errors(clips: Sequence[Decoded]) -> float:
    """Word error rate of what the codec's own transcriber hears. Raises InputError for a codec that has none."""
    heard = [clip.codec.transcribe(clip.wave, Codec.sample_rate) for clip in clips]
    return rate([letters_only(clip.text) for clip in clips], heard)


def voice_distance(clips: Sequence[Decoded]) -> float:
    """1 - cosine of what the codec sums up of the voice in what was decoded and in the recording, mean over clips.
    Raises InputError for a codec that sums up no voices."""
    found = [1 - torch.cosine_similarity(voice_of(c, c.codec.mel(c.wave)), voice_of(c, c.mel[None])) for c in clips]
    return float(torch.cat(found).mean())


def voice_of(clip: Decoded, mel: Tensor) -> Tensor:
    """The summary [1, size] of the voice in mel [1, F, 128]."""
    shape, prior = clip.codec.config.autoencoder, clip.codec.model.decoder.prior
    if prior is None or not shape.voice_size:
        raise InputError(f"tuning: {clip.codec.name} sums up no voices; use another loss than voice")
    return prior.prompt_voice.embed(*patches(mel, torch.tensor([mel.shape[1]]), shape.patch_size))


BUILT_IN: dict[str, Judge] = dict(zip(BUILT_IN_JUDGES, (word_errors, voice_distance), strict=True))


def find_judge(name: str) -> Judge:
    """The judge that a recipe names: "words", "voice" or `module:function`.

    Raises:
        InputError: no such module or function.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    module, _, function = name.partition(":")
    try:
        found: Any = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"tuning: loss {name} cannot be imported ({reason(error)}); is its folder on PYTHONPATH?"
        ) from error
    if not callable(found):
        raise InputError(f"tuning: loss {name} is no function; it takes the clips of a batch and returns a number")
    return found


@torch.no_grad()
def decode_clips(
    codec: Codec, model: Autoencoder, clips: Sequence[tuple[str, Tensor]], generator: torch.Generator
) -> list[Decoded]:
    """Clips, each the text that is said and its mel [F, 128], encoded and decoded by a copy `model` of the codec's
    network that is being rounded: with the text, in the solver's own steps, through the vocoder. Frames that fill no
    token are left out."""
    factor, found = codec.config.autoencoder.down_sample_factor, []
    for text, mel in clips:
        mel = mel[: len(mel) // factor * factor].cpu()
        codes = model.encode(mel[None].to(codec.device))[0].cpu()
        ids = torch.tensor(codec.tokenizer.encode(text), dtype=torch.long)
        item = Item(codes, draw(len(codes), mel.shape[1], generator), ids, None)
        (made,) = decode_items(model, [item], codec.limits.solver(), len(codes))
        wave = vocode(codec.vocoder, codec.config, made[None], None)[0]
        found.append(Decoded(wave, text, mel, codec))
    return found
