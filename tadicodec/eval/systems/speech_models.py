"""Generated speech: each engine says the text of an utterance in the voice of its prompt, beside the codec's own
reconstruction of the recording under the same conditions."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import torch

from tadicodec.checkpoint import content_hash
from tadicodec.errors import InputError
from tadicodec.eval.systems.reconstruction import ConditionRow, Reconstruct, as_wave
from tadicodec.eval.systems.system import Rendering, Row, Setup
from tadicodec.eval.utterances.bitrate import count_bits
from tadicodec.eval.utterances.cases import Case
from tadicodec.eval.utterances.choice import number
from tadicodec.tdc.saved_prompt import prompt_to_bytes

if TYPE_CHECKING:
    from tadicodec.tts.synthesize import Speaker

RECONSTRUCTION = "prompt"  # the condition that generation is compared with


class Speak:
    """The system of `--system speak`: speech language models.

    Its conditions are engines ("ar", "masked") and folders or ids of other models; by default every bundled engine.
    """

    def __init__(self, setup: Setup) -> None:
        if not setup.chosen.prompted:
            raise InputError(f"{setup.chosen.name} names no prompts: whose voice should speak?")
        self.setup, codec = setup, setup.load_codec()
        names = setup.conditions or bundled()
        if not names:
            raise InputError("no speech language model is bundled; name one with --conditions FOLDER")
        self.speakers = {name: load_speaker(name, codec) for name in names}
        self.reconstruct: Reconstruct | None = None
        if setup.chosen.recorded:
            self.reconstruct = Reconstruct(replace(setup, conditions=(RECONSTRUCTION,), load_codec=lambda: codec))

    def rows(self) -> list[Row]:
        """One row for each speech language model and, with the bundled codec's reconstruction, one to compare with."""
        rows: list[Row] = [SpeakRow(name, speaker, self.setup) for name, speaker in self.speakers.items()]
        return rows if self.reconstruct is None else [*rows, ConditionRow(self.reconstruct, RECONSTRUCTION)]

    def settings(self) -> dict[str, Any]:
        """The codec, each model, and how they sample and decode."""
        codec = next(iter(self.speakers.values())).codec
        engines = {name: engine_settings(speaker) for name, speaker in self.speakers.items()}
        made = {"model": codec.name, "weights": "-".join(content_hash(m, ("",)) for m in (codec.model, codec.vocoder))}
        return {**made, **asdict(codec.limits.solver(self.setup.steps, self.setup.guidance)), **engines}


def bundled() -> tuple[str, ...]:
    """The engines whose models come with the package."""
    from tadicodec.tts.folder import find_tts_model
    from tadicodec.tts.model_config import ENGINES

    found = []
    for engine in ENGINES:
        try:
            find_tts_model(None, engine)
        except InputError:
            continue
        found.append(engine)
    return tuple(found)


def load_speaker(name: str, codec: Any) -> Speaker:
    """The speech language model of this engine, folder or id, on a codec that is loaded. Raises InputError."""
    from tadicodec.tts.model_config import ENGINES
    from tadicodec.tts.synthesize import Speaker

    return Speaker.from_pretrained(
        *(() if name in ENGINES else (name,)), engine=name if name in ENGINES else None, codec=codec
    )


def engine_settings(speaker: Speaker) -> str:
    """A text that says what the engine's codes depend on."""
    engine = speaker.engine
    module = getattr(engine, "network", None) or engine.lm  # type: ignore[attr-defined]
    return f"{content_hash(module, ('',))} {engine.config.sampling} {engine.config.decoding}"


class SpeakRow:
    """One speech language model. Its times: the language model's count as encoding, the codec's as decoding."""

    kind, seeded, prompted = "system", True, True

    def __init__(self, name: str, speaker: Speaker, setup: Setup) -> None:
        self.name, self.speaker, self.setup = f"spoken, {name}", speaker, setup

    def render(self, case: Case, seed: int) -> Rendering:
        """The wave of one utterance, as `Row.render` says."""
        from tadicodec.tts.synthesize import Options

        speaker, codec = self.speaker, self.speaker.codec
        options = Options(steps=self.setup.steps, guidance=self.setup.guidance)
        prompt = speaker.prompt(*self.setup.recordings.read(case.prompt_audio), case.prompt_text or None)
        generator = torch.Generator().manual_seed(number(seed, case.id))
        started = time.perf_counter()
        speeches = list(speaker.codes(case.text, prompt, options, generator))
        chosen = time.perf_counter()
        wave = torch.cat([speaker.decode(speech, prompt, options, generator) for speech in speeches])
        codes = tuple(code for speech in speeches for code in speech.codes[0].tolist())
        bits = len(codes) * codec.config.autoencoder.vq_emb_dim
        return Rendering(
            wave=as_wave(wave, len(wave)),
            sample_rate=codec.sample_rate,
            bits=count_bits(bits, case.text, len(prompt_to_bytes(prompt))),
            encode_seconds=chosen - started,
            decode_seconds=time.perf_counter() - chosen,
            codes=codes,
        )
