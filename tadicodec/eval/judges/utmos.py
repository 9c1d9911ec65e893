"""UTMOS22, the strong learner: predicts how natural a listener finds an utterance, on a scale of about 1 to 5.

Definition: Saeki et al., 2022 (arXiv:2204.02152), sarulab-speech/UTMOS22, as its demo runs it (no phoneme encoder).
Weights: that demo's Lightning checkpoint `epoch=3-step=7459.ckpt`, or the same tensors as SpeechMOS publishes them
(`utmos22_strong_step7459_v1.pt`), or safetensors of either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tadicodec.eval.judges.published import FAIRSEQ_NAMES, MASK, load_strictly, read_checkpoint, renamed

if TYPE_CHECKING:
    from transformers import Wav2Vec2Config

# The listening test and the listener that the published scorer always asks: row, rows of the table.
ASKED = {"domain": (0, 3), "judge": (288, 3000)}
SSL = (r"^(feature_extractors\.0\.ssl_model|wav2vec2)\.", "ssl.")
HEAD_NAMES = (
    (r"^feature_extractors\.1\.embedding\.weight$|^domain_emb$", "domain"),
    (r"^output_layers\.0\.judge_embedding\.weight$|^judge_emb$", "judge"),
    (r"^(output_layers\.0\.decoder_rnn|blstm)\.", "recurrent."),
    (r"^output_layers\.1\.net\.3\.", "projection.2."),  # a dropout counts as .2 there
    (r"^output_layers\.1\.net\.", "projection."),
)


def wav2vec2_base() -> Wav2Vec2Config:
    """wav2vec 2.0 base: 12 blocks of 768, layer norms last."""
    from transformers import Wav2Vec2Config

    return Wav2Vec2Config(
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        feat_extract_norm="group",
        conv_bias=False,
        do_stable_layer_norm=False,
        mask_time_prob=0.0,
        mask_feature_prob=0.0,
    )


@dataclass(frozen=True)
class UtmosConfig:
    """Sizes; the defaults are the published model's."""

    ssl: Wav2Vec2Config = field(default_factory=wav2vec2_base)
    condition_size: int = 128  # of the domain's and of the judge's embedding
    recurrent_size: int = 512  # in each direction
    projection_size: int = 2048


class Utmos(nn.Module):
    """16 kHz waves [B, N], all of one length -> scores [B]. Padding would change a score: give one at a time."""

    def __init__(self, config: UtmosConfig) -> None:
        from transformers import Wav2Vec2Model

        super().__init__()
        self.ssl = Wav2Vec2Model(config.ssl)
        self.domain = nn.Parameter(torch.zeros(config.condition_size))
        self.judge = nn.Parameter(torch.zeros(config.condition_size))
        width = config.ssl.hidden_size + 2 * config.condition_size
        self.recurrent = nn.LSTM(width, config.recurrent_size, batch_first=True, bidirectional=True)
        self.projection = nn.Sequential(
            nn.Linear(2 * config.recurrent_size, config.projection_size),
            nn.ReLU(),
            nn.Linear(config.projection_size, 1),
        )

    def forward(self, wave: Tensor) -> Tensor:
        features = self.ssl(wave).last_hidden_state  # [B, F, H]
        condition = torch.cat([self.domain, self.judge]).expand(*features.shape[:2], -1)
        hidden, _ = self.recurrent(torch.cat([features, condition], dim=2))
        return self.projection(hidden).mean(dim=(1, 2)) * 2 + 3


def load_utmos(path: Path, config: UtmosConfig | None = None) -> Utmos:
    """The network with published weights.

    Raises:
        InputError: the file is not that checkpoint: a tensor is missing, left over or of another shape.
    """
    network = Utmos(config or UtmosConfig())
    load_strictly(network, own_names(read_checkpoint(path, entry="state_dict")), path)
    return network.eval()


def own_names(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published tensors under this network's names: of the two tables of embeddings, the row that is asked."""
    tensors = {own_name(name): tensor for name, tensor in published.items() if not name.endswith("." + MASK)}
    for name, (row, rows) in ASKED.items():
        if name in tensors and len(tensors[name]) in (1, rows):  # SpeechMOS keeps that row only
            tensors[name] = tensors[name][row if len(tensors[name]) == rows else 0]
    return tensors


def own_name(name: str) -> str:
    """The name that a published tensor has in this network."""
    own = renamed(name, (SSL,))
    if own.startswith("ssl."):
        return "ssl." + renamed(own.removeprefix("ssl."), FAIRSEQ_NAMES)
    return renamed(name, HEAD_NAMES)
