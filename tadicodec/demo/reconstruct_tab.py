"""What the page shows of a recording: its sound from tokens, a picture, and what it costs. Knows no web page."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
import torch

from tadicodec.audio.recording import open_recording
from tadicodec.audio.resample import resample
from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.eval.utterances.bitrate import Bits, count_bits
from tadicodec.pipeline.plots import Utterance, draw_utterance, png
from tadicodec.speech import Prompt, Speech
from tadicodec.tdc.saved_prompt import prompt_to_bytes

LONGEST = 120.0  # seconds: what is longer is for the command line


@dataclass(frozen=True)
class Hearing:
    """original and decoded [N] at `sample_rate`, a picture (PNG), what is said, and the bits of its parts."""

    original: np.ndarray
    decoded: np.ndarray
    sample_rate: int
    picture: bytes
    speech: Speech
    bits: Bits
    notes: tuple[str, ...]

    def summary(self) -> str:
        """Markdown: the words, and a table of bits."""
        seconds, tokens = float(self.speech.seconds[0]), int(self.speech.lengths[0])
        rows = {
            f"codes ({tokens} tokens of 14 bits)": self.bits.codes,
            "text, compressed": self.bits.text_compressed,
            "prompt, once": self.bits.prompt,
        }
        lines = [f"| {name} | {bits:,} | {bits / seconds:,.1f} |" for name, bits in rows.items() if bits]
        recording = round(16 * seconds * self.sample_rate)
        lines.append(f"| *16-bit samples* | {recording:,} | {recording / seconds:,.0f} |")
        warnings = "".join(f"\n\n**Note:** {escaped(note)}." for note in self.notes)
        said = escaped(self.speech.text[0] or "") or "nothing"
        return f"Words: {said}{warnings}\n\n| what is sent | bits | bit/s |\n|---|---:|---:|\n" + "\n".join(lines)


def read(path: str | None, sample_rate: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """A recording as wave [N] at this rate, and what of the file is missing.

    Raises:
        InputError: none was given, no recording, or longer than the page takes.
    """
    if path is None:
        raise InputError("record something first, or drop a file")
    with open_recording(path, "the file") as recording:
        blocks, read = [], 0
        for block in recording.mono():
            read += len(block)
            if read > LONGEST * recording.sample_rate:
                raise InputError(f"longer than {LONGEST:.0f} s; the command `tadicodec reconstruct` takes any length")
            blocks.append(block)
        return resample(np.concatenate(blocks), recording.sample_rate, sample_rate), tuple(recording.notes)


def hear(codec: Codec, path: str | None, text: str, voice: str | None, steps: int, seed: int) -> Hearing:
    """What comes back of a recording. text: what is said, "" for what the model hears; voice: a recording whose voice
    the decoder is given. Raises InputError."""
    wave, notes = read(path, codec.sample_rate)
    prompt: Prompt | None = None
    if voice is not None:
        prompt = codec.prompt(read(voice, codec.sample_rate)[0], codec.sample_rate)
    speech = codec.encode(wave, codec.sample_rate, text.strip() or None)
    generator = torch.Generator().manual_seed(seed)
    decoded = codec.decode(speech, prompt, steps, generator=generator)[0].numpy()
    words = codec.words(speech) if codec.config.autoencoder.aligned else []
    mels = [codec.mel(sound)[0].numpy() for sound in (wave, decoded)]
    bits = codec.config.autoencoder.vq_emb_dim
    drawing = Utterance(wave, codec.sample_rate, mels[0], speech.codes[0].numpy(), words, mels[1], bits)
    prompt_bytes = 0 if prompt is None else len(prompt_to_bytes(prompt))
    size = count_bits(bits * int(speech.lengths[0]), speech.text[0] or "", prompt_bytes)
    return Hearing(wave, decoded, codec.sample_rate, png(draw_utterance(drawing)), speech, size, notes)


def picture_html(picture: bytes) -> str:
    """The picture in its own size, in a frame that scrolls: letters must not shrink on a phone."""
    data = base64.b64encode(picture).decode()
    alt = "waveform with words, mels of the original and of what was decoded, bits of the codes"
    return f'<div class="picture"><img src="data:image/png;base64,{data}" alt="{alt}"></div>'


def escaped(text: str) -> str:
    """Text that Markdown and HTML leave alone."""
    return "".join(f"&#{ord(letter)};" if letter in "<>&*_`[]|\\~#!$" else letter for letter in text)
