"""Speech recognisers that word errors are measured with: a Whisper, as transformers or CTranslate2 hold it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from tadicodec.errors import InputError
from tadicodec.eval.judges.published import local, pretrained
from tadicodec.eval.utterances.audible import SAMPLE_RATE, check_audible
from tadicodec.guards.pretrained import load_pretrained

WINDOW = 30 * SAMPLE_RATE  # samples that Whisper hears at once
CTRANSLATE2_FILES = ("config.json", "tokenizer.json", "vocabulary.txt")  # beside model.bin


class Transcriber(Protocol):
    """16 kHz wave [N] float32 -> text. `name` goes beside every figure."""

    name: str

    def __call__(self, wave16k: np.ndarray) -> str: ...


class TransformersWhisper:
    """Whisper as Seed-TTS-eval runs it: float32, greedy, told that it hears English, one utterance at a time."""

    def __init__(self, name: str, device: str = "cpu") -> None:
        self.device = device
        self.model = pretrained("WhisperForConditionalGeneration", name).to(device)
        self.processor = load_pretrained("WhisperProcessor", name)
        # The English-only models (whisper-base.en) refuse to be told a language.
        multilingual = hasattr(self.model.generation_config, "lang_to_id")
        self.told = {"language": "en", "task": "transcribe"} if multilingual else {}
        self.name = f"{Path(name).name if local(name) else name} (transformers, float32, greedy)"

    def __call__(self, wave16k: np.ndarray) -> str:
        import torch

        wave = check_audible(wave16k)
        # Beyond 30 s Whisper moves its window to the last time stamp it wrote; up to 30 s there are none.
        long = len(wave) > WINDOW
        heard = self.processor(
            wave,
            sampling_rate=SAMPLE_RATE,
            return_tensors="pt",
            return_attention_mask=True,
            truncation=not long,
            padding="longest" if long else "max_length",
        ).to(self.device)
        with torch.inference_mode():
            tokens = self.model.generate(**heard, do_sample=False, num_beams=1, return_timestamps=long, **self.told)
        return self.processor.batch_decode(tokens, skip_special_tokens=True)[0].strip()


class CTranslate2Whisper:
    """A Whisper in CTranslate2's format through faster-whisper, 8-bit: what this project's own figures use."""

    def __init__(self, folder: Path, device: str = "cpu", threads: int = 0) -> None:
        if missing := [file for file in CTRANSLATE2_FILES if not (folder / file).is_file()]:
            raise InputError(f"{folder}: a CTranslate2 Whisper without its {missing[0]}")
        try:
            from faster_whisper import WhisperModel
        except (ImportError, OSError) as error:
            raise InputError(f"{folder} needs faster-whisper: pip install faster-whisper") from error
        kind, _, index = device.partition(":")
        try:
            self.model = WhisperModel(
                str(folder),
                device=kind,
                device_index=int(index or 0),
                compute_type="int8",
                cpu_threads=threads,
                local_files_only=True,
            )
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{folder}: cannot be loaded as a CTranslate2 Whisper ({error})") from error
        self.name = f"{folder.name} (CTranslate2, int8, beam 5)"

    def __call__(self, wave16k: np.ndarray) -> str:
        segments, _ = self.model.transcribe(
            check_audible(wave16k),
            language="en",
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return " ".join(segment.text.strip() for segment in segments)
