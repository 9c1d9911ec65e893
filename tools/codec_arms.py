"""Which shape of decoder learns most from a given time: arms trained from scratch on the same codes, each for as many
CPU seconds, and then asked for the validation split's mels.

    python tools/codec_arms.py features --seconds 300 --out arms.jsonl

Codes and the times of characters are the bundled model's for every arm, so only the decoder (and its prior) differs.
CPU seconds, so that other work does not change the result.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tadicodec.codec import Codec
from tadicodec.data.batches import BatchConfig, Position, batches_from, epoch_batches
from tadicodec.data.collate import Collator
from tadicodec.data.features import Features
from tadicodec.train.codec_network import CodecNetwork
from tadicodec.train.codec_objective import CodecObjective
from tadicodec.train.codec_task import CodecTask
from tadicodec.train.known_codes import KnownCodes

FRAMES = 1600  # padded mel frames a step
RULES = {"part": "decoder", "entropy_weight": 0.0, "prompt_probability": 0.5, "token_drop": 0.1, "text_drop": 0.05}
RULES |= {"both_drop": 0.1, "time_sampling": "squared"}
ARMS: dict[str, dict] = {  # name -> changes of the bundled model's decoder, or of its objective
    "bundled": {},
    "phones": {"phones": True},
    "no voice": {"voice_size": 0},
    "narrow and deep": {"hidden_size": 192, "intermediate_size": 576, "prior_layers": 6, "decoder_num_layers": 7},
    "wide and shallow": {"hidden_size": 384, "intermediate_size": 1152, "prior_layers": 1, "decoder_num_layers": 2},
    "patch 1": {"patch_size": 1},
    "patch 4": {"patch_size": 4},
    "uniform time": {"time_sampling": "uniform"},
    "nothing dropped": {"token_drop": 0.0, "text_drop": 0.0, "both_drop": 0.0},
}


class Phones:
    """Words as IPA instead of letters, each phone beginning where its share of the word's letters does."""

    def __init__(self) -> None:
        from hibari.g2p import G2P

        self.g2p, self.words, self.ids = G2P(british=False), {}, {}

    def spell(self, text: bytes, times: np.ndarray) -> tuple[Tensor, Tensor]:
        ids, starts = [], []
        for piece in re.finditer(rb"[A-Za-z0-9']+|[^A-Za-z0-9']", text):
            phones = self.sounds(piece.group().decode("latin-1"))
            places = piece.start() + np.arange(len(phones)) * (piece.end() - piece.start()) / max(len(phones), 1)
            ids += [self.ids.setdefault(phone, len(self.ids)) for phone in phones]
            starts += np.interp(places, np.arange(len(times)), times).tolist()
        return torch.tensor(ids, dtype=torch.long), torch.tensor(starts, dtype=torch.float32)

    def sounds(self, word: str) -> str:
        if word not in self.words:
            self.words[word] = (self.g2p(word) if word[0].isalnum() else word) or word
        return self.words[word]

    def __call__(self, batch: dict, times: Tensor) -> tuple[dict, Tensor]:
        spelled = []
        for ids, size, when in zip(batch["text_ids"], batch["text_lengths"], times):
            spelled.append(self.spell(bytes(ids[:size].tolist()), when[:size].float().numpy()))
        ids, starts = (pad_sequence(list(items), batch_first=True) for items in zip(*spelled))
        lengths = torch.tensor([len(item) for item, _ in spelled])
        return {**batch, "text_ids": ids.clamp(max=255), "text_lengths": lengths}, starts


class Arm(CodecNetwork):
    """A decoder that learns from another model's codes."""

    def __init__(self, task: CodecTask, codec: Codec, phones: bool) -> None:
        super().__init__(task.config, task.objective)
        self.known, self.spell = KnownCodes(codec.model), Phones() if phones else None

    def forward(self, batch: dict, draws: dict[str, Tensor]) -> dict[str, Tensor]:
        quantized, times = self.known(batch)
        if self.spell is not None:
            batch, times = self.spell(batch, times)
        tokens = batch["lengths"] // self.codec.config.down_sample_factor
        terms: dict[str, Tensor] = {}
        self.flow(batch, draws, self.prepare(batch, draws, self.codec.condition(quantized, tokens), times), terms)
        return terms


def build(changes: dict, codec: Codec) -> CodecTask:
    """The task whose only network is the arm."""
    shape = {key: value for key, value in changes.items() if hasattr(codec.config.autoencoder, key)}
    rules = {key: value for key, value in changes.items() if key not in shape and key != "phones"}
    config = replace(codec.config, autoencoder=replace(codec.config.autoencoder, **shape))
    torch.manual_seed(0)
    task = CodecTask(config, CodecObjective(**(RULES | rules)))
    task.networks["codec"] = Arm(task, codec, changes.get("phones", False))
    return task


def losses(task: CodecTask, batch: dict, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    with torch.autocast("cpu", torch.bfloat16):
        ((_, loss, metrics),) = task.losses(batch, generator)
    return loss, metrics


def train(task: CodecTask, features: Features, collate: Collator, seconds: float) -> int:
    """As many steps as fit into CPU seconds; the rate falls to zero over the second half."""
    network, generator = task.networks["codec"], torch.Generator().manual_seed(0)
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=0.0, betas=(0.9, 0.98))
    frames = [clip.frames for clip in features.clips]
    started, steps = time.process_time(), 0
    for indices, _ in batches_from(frames, BatchConfig(FRAMES), Position()):
        spent = (time.process_time() - started) / seconds
        if spent >= 1:
            break
        optimizer.param_groups[0]["lr"] = 1.2e-3 * min(1.0, (steps + 1) / 50, 2 * (1 - spent))
        loss, _ = losses(task, collate(indices, generator), generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 0.5)
        optimizer.step()
        steps += 1
    return steps


@torch.no_grad()
def validate(task: CodecTask, features: Features, collate: Collator) -> dict[str, float]:
    """Mean errors over the split, with everything given and the same noise for every arm."""
    generator = torch.Generator().manual_seed(1)
    task.objective = replace(task.objective, token_drop=0.0, text_drop=0.0, both_drop=0.0, time_sampling="squared")
    rows = []
    for indices in epoch_batches([clip.frames for clip in features.clips], BatchConfig(FRAMES), 0):
        _, metrics = losses(task, collate(indices, generator), generator)
        rows.append({name: float(metrics[name]) for name in ("prior", "velocity")})
    return {name: round(sum(row[name] for row in rows) / len(rows), 4) for name in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", type=Path, help="made by `tadicodec prepare`")
    parser.add_argument("--seconds", type=float, default=300.0, help="CPU seconds of training an arm")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, one an arm")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    codec = Codec.from_pretrained()
    splits = [Features(arguments.features, split, min_frames=40, max_frames=800) for split in ("train", "valid")]
    collators = [Collator(features, codec.tokenizer) for features in splits]
    for name in arguments.arms:
        task = build(ARMS[name], codec)
        size = sum(p.numel() for p in task.networks["codec"].codec.decoder.parameters())
        steps = train(task, splits[0], collators[0], arguments.seconds)
        row = {"arm": name, "parameters": size, "steps": steps, **validate(task, splits[1], collators[1])}
        print(json.dumps(row), flush=True)
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
