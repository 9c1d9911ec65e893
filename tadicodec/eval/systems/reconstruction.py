"""The codec's own rows: vocoder alone, and encode and decode under each condition of text and prompt."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tadicodec.checkpoint import content_hash
from tadicodec.config import CODE_BITS
from tadicodec.errors import InputError
from tadicodec.eval.systems.system import Rendering, Row, Setup
from tadicodec.eval.utterances.bitrate import count_bits
from tadicodec.eval.utterances.cases import Case
from tadicodec.eval.utterances.choice import number, vocabulary, wrong_words
from tadicodec.eval.utterances.recordings import Recordings
from tadicodec.pipeline.reading import reads
from tadicodec.pipeline.waves import to_samples
from tadicodec.tdc.container import squeezed_bytes, to_bytes
from tadicodec.tdc.saved_prompt import prompt_to_bytes

if TYPE_CHECKING:
    from tadicodec.codec import Codec
    from tadicodec.speech import Prompt, Speech

CONDITIONS = {  # as --conditions calls them, and their rows
    "text": "reference text",
    "own": "own transcript",
    "none": "no text",
    "unread": "codes alone",
    "wrong10": "10 % wrong words",
    "wrong20": "20 % wrong words",
    "prompt": "text and prompt",
}
WRONG = {"wrong10": 0.1, "wrong20": 0.2}


class Reconstruct:
    """The system of `--system reconstruct`: the codec, under each condition of text and prompt."""

    def __init__(self, setup: Setup) -> None:
        if not setup.chosen.recorded:
            raise InputError(f"{setup.chosen.name} names no recordings to reconstruct; score waves: --system folder")
        asked = setup.conditions or tuple(CONDITIONS)
        if unknown := [name for name in asked if name not in CONDITIONS]:
            raise InputError(f"no condition {', '.join(unknown)}; --conditions takes {', '.join(CONDITIONS)}")
        self.codec = codec = setup.load_codec()
        self.solver = codec.limits.solver(setup.steps, setup.guidance)
        self.encoder = Encoder(codec, setup.recordings)
        offered = {"own": codec.transcribes, "prompt": setup.chosen.prompted, "unread": reads(codec.limits)}
        refused = {
            "own": f"{codec.name} has no transcriber",
            "prompt": f"{setup.chosen.name} names no prompts",
            "unread": f"{codec.name} never reads its codes; none says the same",
        }
        missing = [name for name in asked if not offered.get(name, True)]
        if setup.conditions and missing:
            raise InputError(f"--conditions {missing[0]}: {refused[missing[0]]}")
        self.conditions = [name for name in asked if name not in missing]
        self.words = vocabulary(setup.chosen.texts)

    def rows(self) -> list[Row]:
        """The vocoder alone, and one row for each condition."""
        return [VocoderRow(self.encoder), *(ConditionRow(self, name) for name in self.conditions)]

    def settings(self) -> dict[str, Any]:
        """The model, its weights, and how it decodes."""
        codec = self.codec
        return {
            "model": codec.name,
            "weights": "-".join(content_hash(module, ("",)) for module in (codec.model, codec.vocoder)),
            **asdict(self.solver),
            "dtype": str(codec.dtype).removeprefix("torch."),
        }


class Encoder:
    """Encodes an utterance once for all of its rows."""

    def __init__(self, codec: Codec, recordings: Recordings) -> None:
        self.codec, self.recordings = codec, recordings
        self.last: Encoded | None = None
        self.filed: tuple[tuple[str, str | None], dict[str, Any]] = (("", ""), {})

    def wave(self, case: Case) -> np.ndarray:
        """The recording [N] at the codec's rate."""
        return to_samples(*self.recordings.read(case.audio), self.codec.sample_rate)

    def encode(self, case: Case) -> Encoded:
        """Codes of the recording; the time excludes reading and resampling it."""
        if self.last is None or self.last.id != case.id:
            wave = self.wave(case)
            started = time.perf_counter()
            speech = self.codec.encode(wave, self.codec.sample_rate, text="")  # the rows have texts of their own
            self.last = Encoded(case.id, speech, wave, time.perf_counter() - started)
        return self.last

    def files(self, encoded: Encoded, text: str | None) -> dict[str, Any]:
        """The bits of an utterance's token files, by their names in `Bits`; none for codes too large for them."""
        if self.codec.config.autoencoder.vq_emb_dim > CODE_BITS:
            return {}
        if self.filed[0] != (encoded.id, text):
            speech = replace(encoded.speech, text=(text,))
            squeezed, costs = squeezed_bytes(speech, listener=self.codec)
            self.filed = (
                (encoded.id, text),
                {
                    "file": 8 * len(to_bytes(speech)),
                    "squeezed_codes": costs.speech,
                    "squeezed_text": costs.text,
                    "squeezed_file": 8 * len(squeezed),
                },
            )
        return self.filed[1]

    def prompt(self, case: Case) -> Prompt:
        """The case's prompt, with its whole text."""
        return self.codec.prompt(*self.recordings.read(case.prompt_audio), text=case.prompt_text)


@dataclass(frozen=True)
class Encoded:
    """What `Encoder` keeps of an utterance: wave [N], its codes, and the seconds that encoding took."""

    id: str
    speech: Speech
    wave: np.ndarray
    seconds: float


class VocoderRow:
    """The recording's mel through the vocoder: the ceiling of everything the codec decodes."""

    name, kind, seeded, prompted = "vocoder only", "reference", False, False

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def render(self, case: Case, seed: int) -> Rendering:
        """The wave of one utterance, as `Row.render` says."""
        codec, wave = self.encoder.codec, self.encoder.wave(case)
        mel = codec.mel(torch.from_numpy(wave)[None])
        started = time.perf_counter()
        made = codec.vocode(mel)
        return Rendering(as_wave(made, len(wave)), codec.sample_rate, decode_seconds=time.perf_counter() - started)


class ConditionRow:
    """The recording encoded and decoded, the decoder given a text and perhaps a prompt."""

    kind, seeded = "system", True

    def __init__(self, system: Reconstruct, condition: str) -> None:
        self.system, self.condition = system, condition
        self.name, self.prompted = CONDITIONS[condition], condition == "prompt"

    def render(self, case: Case, seed: int) -> Rendering:
        """The wave of one utterance, as `Row.render` says."""
        codec, encoded = self.system.codec, self.system.encoder.encode(case)
        text = self.text(case, encoded.wave)
        prompt = self.system.encoder.prompt(case) if self.prompted else None
        # One noise for all conditions of an utterance: they differ in what is given, not in luck.
        generator = torch.Generator().manual_seed(number(seed, case.id))
        started = time.perf_counter()
        made = codec.decode(
            replace(encoded.speech, text=(text,)),
            prompt,
            steps=self.system.solver.steps,
            guidance=self.system.solver.guidance,
            generator=generator,
        )
        decoded = time.perf_counter()
        codes = encoded.speech.codes[0].tolist()
        return Rendering(
            wave=as_wave(made, len(encoded.wave)),
            sample_rate=codec.sample_rate,
            bits=replace(
                count_bits(
                    len(codes) * codec.config.autoencoder.vq_emb_dim,
                    text or "",
                    len(prompt_to_bytes(prompt)) if prompt else 0,
                ),
                **self.system.encoder.files(encoded, text),
            ),
            encode_seconds=encoded.seconds,
            decode_seconds=decoded - started,
            codes=tuple(codes),
        )

    def text(self, case: Case, wave: np.ndarray) -> str | None:
        """What the decoder is told (None: it may read the codes); wave [N] is at the codec's rate."""
        if self.condition in ("none", "unread"):
            return None if self.condition == "none" else ""
        if self.condition == "own":
            return self.system.codec.transcribe(wave, self.system.codec.sample_rate)
        if self.condition in WRONG:
            return wrong_words(case.text, WRONG[self.condition], self.system.words, case.id)
        return case.text


def as_wave(batch: Tensor, samples: int) -> np.ndarray:
    """A decoded batch [1, N'] -> wave [samples], cut or padded with zeros, and no louder than full scale, as a file
    would hold it."""
    wave = batch.detach().cpu().float().numpy().reshape(-1)[:samples]
    return np.clip(np.pad(wave, (0, samples - len(wave))), -1, 1)
