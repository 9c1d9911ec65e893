"""A token file or a recording as a person looks at it: its sound, its mel, its codes, its words and their times."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tadicodec.cli.loading import load_codec
from tadicodec.cli.transcripts import one_text, sidecar_text
from tadicodec.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from tadicodec.codec import Codec
    from tadicodec.pipeline.plots import Utterance
    from tadicodec.speech import Speech


def look(args: argparse.Namespace) -> Utterance:
    """The file of `args.target`, through the model. A model without an aligner finds no words.

    Raises:
        InputError: a token file of another model, or what reading it raises.
    """
    from tadicodec.pipeline.plots import Utterance
    from tadicodec.tdc.container import MAGIC

    path, text = Path(args.target), one_text(args.text, False)
    codec = load_codec(args)
    with open(path, "rb") as file:
        tokens = file.read(len(MAGIC)) == MAGIC
    speech, wave = from_tokens(codec, path, text, args.coder) if tokens else from_audio(codec, path, text)
    words = codec.words(speech) if codec.config.autoencoder.aligned or args.words else []
    mel, bits = codec.mel(wave)[0].numpy(), codec.config.autoencoder.vq_emb_dim
    return Utterance(wave, codec.sample_rate, mel, speech.codes[0].numpy(), words, code_bits=bits)


def from_audio(codec: Codec, path: Path, text: str | None) -> tuple[Speech, np.ndarray]:
    """A recording's codes, and its wave [N] at the codec's rate. Raises InputError."""
    from tadicodec.audio.files import read_audio
    from tadicodec.audio.resample import resample

    wave = resample(*read_audio(path), codec.sample_rate)
    return codec.encode(wave, codec.sample_rate, sidecar_text(path) if text is None else text), wave


def from_tokens(codec: Codec, path: Path, text: str | None, coder: str | None) -> tuple[Speech, np.ndarray]:
    """A token file's codes, and the wave [N] that they decode to. Raises InputError."""
    from dataclasses import replace

    from tadicodec.tdc.container import read_token_file

    file = read_token_file(path, coder)
    if file.header.weights != codec.weights:
        raise InputError(f"{path} was made by model {file.header.model!r}; give it with --model")
    speech = file.speech if text is None else replace(file.speech, text=(text,))
    return speech, codec.decode(speech, file.prompt)[0].numpy()
