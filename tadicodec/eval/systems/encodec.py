"""EnCodec (Défossez et al. 2022) at 1.5 kbit/s as a baseline, through transformers."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch

from tadicodec.errors import InputError
from tadicodec.eval.systems.system import Rendering
from tadicodec.eval.utterances.bitrate import Bits
from tadicodec.eval.utterances.cases import Case
from tadicodec.eval.utterances.recordings import Recordings
from tadicodec.guards.pretrained import load_network
from tadicodec.pipeline.waves import to_samples

if TYPE_CHECKING:
    from transformers import EncodecModel

ENCODEC = "facebook/encodec_24khz"  # the published weights
BANDWIDTH = 1.5  # kbit/s: two of its codebooks


class EncodecRow:
    """The recording through EnCodec at 1.5 kbit/s."""

    name, kind, seeded, prompted = f"EnCodec {BANDWIDTH} kbit/s", "baseline", False, False

    def __init__(self, recordings: Recordings, weights: str, device: str) -> None:
        self.recordings, self.device = recordings, device
        self.network = load_encodec(weights).to(device)

    @torch.inference_mode()
    def render(self, case: Case, seed: int) -> Rendering:
        """The wave of one utterance, as `Row.render` says."""
        rate = self.network.config.sampling_rate
        wave = to_samples(*self.recordings.read(case.audio), rate)
        given = torch.from_numpy(wave)[None, None].to(self.device)  # [1, 1, N]
        started = time.perf_counter()
        coded = self.network.encode(given, bandwidth=BANDWIDTH)
        count = coded.audio_codes.cpu().numel()  # waits for a GPU
        encoded = time.perf_counter()
        made = self.network.decode(coded.audio_codes, coded.audio_scales)[0]
        samples = made[0, 0, : len(wave)].cpu().numpy()
        bits = Bits(count * int(math.log2(self.network.config.codebook_size)))
        return Rendering(samples, rate, bits, encoded - started, time.perf_counter() - encoded)


def load_encodec(weights: str) -> EncodecModel:
    """An EnCodec model by hub id or folder. Raises InputError where there is none."""
    try:
        network = load_network("EncodecModel", weights)[0].eval()
    except InputError as error:
        raise InputError(f"{error}; give --baselines encodec=FOLDER") from error
    if network.config.audio_channels != 1 or BANDWIDTH not in network.config.target_bandwidths:
        raise InputError(f"EnCodec {weights} has no mono mode of {BANDWIDTH} kbit/s; use {ENCODEC}")
    return network
