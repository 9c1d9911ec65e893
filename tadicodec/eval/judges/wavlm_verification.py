"""WavLM-large fine-tuned for speaker verification: the model behind SIM in Seed-TTS-eval.

Definition: microsoft/UniSpeech, downstreams/speaker_verification (ECAPA_TDNN_SMALL on s3prl's wavlm_large; Chen et
al., 2022, arXiv:2110.13900). Weights: `wavlm_large_finetune.pth`, 711 tensors under "model".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tadicodec.eval.judges.ecapa import Ecapa, EcapaConfig
from tadicodec.eval.judges.published import FAIRSEQ_NAMES, MASK, load_strictly, read_checkpoint, renamed

if TYPE_CHECKING:
    from transformers import WavLMConfig

WAVLM = "feature_extract.model."  # prefix of WavLM's tensors in the published file
HEAD_NAMES = (
    (r"Conv1dReluBn1\.", "enter."),
    (r"Res2Conv1dReluBn\.", "middle."),
    (r"Conv1dReluBn2\.", "leave."),
    (r"SE_Connect\.", "gate."),
)
# Published, and rightly unused: the classifier of training speakers, and the frame that masks in pretraining.
UNUSED = ("loss_calculator.projection.weight", WAVLM + MASK)


def wavlm_large() -> WavLMConfig:
    """WavLM-large: 24 blocks of 1024, layer norms first."""
    from transformers import WavLMConfig

    return WavLMConfig(
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        feat_extract_norm="layer",
        conv_bias=False,
        do_stable_layer_norm=True,
        num_buckets=320,
        max_bucket_distance=800,
        mask_time_prob=0.0,
        mask_feature_prob=0.0,
    )


@dataclass(frozen=True)
class VerificationConfig:
    """The two parts; the head's feature size is WavLM's width."""

    wavlm: WavLMConfig = field(default_factory=wavlm_large)
    head: EcapaConfig = EcapaConfig()


class WavlmVerification(nn.Module):
    """16 kHz waves [B, N], all of one length -> embeddings [B, 256]; compare them by cosine."""

    def __init__(self, config: VerificationConfig) -> None:
        from transformers import WavLMModel

        super().__init__()
        self.wavlm = WavLMModel(config.wavlm)
        self.feature_weight = nn.Parameter(torch.zeros(config.wavlm.num_hidden_layers + 1))
        self.head = Ecapa(config.head)

    def forward(self, wave: Tensor) -> Tensor:
        wave = nn.functional.layer_norm(wave, wave.shape[-1:])
        found = self.wavlm(wave, output_hidden_states=True)
        # What enters each block, and what leaves the last one through the final norm: [layers + 1, B, F, H]
        states = torch.stack([*found.hidden_states[:-1], found.last_hidden_state])
        weight = self.feature_weight.softmax(dim=0)[:, None, None, None]
        features = (weight * states).sum(dim=0).transpose(1, 2)
        return self.head(features + 1e-6)


def load_verification(path: Path, config: VerificationConfig | None = None) -> WavlmVerification:
    """The network with the published weights (a .pth file, or safetensors of the same tensors).

    Raises:
        InputError: the file is not that checkpoint: a tensor is missing, left over or of another shape.
    """
    network = WavlmVerification(config or VerificationConfig())
    load_strictly(network, own_names(read_checkpoint(path, entry="model")), path)
    return network.eval()


def own_names(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published tensors under this network's names, without those that inference has no use for."""
    return {own_name(name): tensor for name, tensor in published.items() if name not in UNUSED}


def own_name(name: str) -> str:
    """The name that a published tensor has in this network."""
    if name.startswith(WAVLM):
        return "wavlm." + renamed(name.removeprefix(WAVLM), FAIRSEQ_NAMES)
    return name if name == "feature_weight" else "head." + renamed(name, HEAD_NAMES)
