"""GLM-130B's stabilisers: which small, deep language models of bytes survive which learning rates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import MethodType

import torch
from quant_arms import Row, Setting
from torch import Tensor
from torch.nn import functional as F

from tadicodec.data.features import Features
from tadicodec.tts.autoregressive import ArConfig, build_lm
from tadicodec.tts.stabilisers import DeepNorm, post_norm_forward, shrink_gradient

SHAPE = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 192,
    "num_hidden_layers": 12,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}
LENGTH, BATCH = 64, 16  # bytes of a line, lines a step
RATES = (3e-3, 1e-2, 3e-2)
VARIANTS = {
    "pre-norm": ("", 1.0),
    "pre-norm, embedding gradient 0.1": ("", 0.1),
    "post-norm": ("post", 1.0),
    "DeepNorm, GLM's": ("glm", 1.0),
    "DeepNorm, GLM's, embedding gradient 0.1": ("glm", 0.1),
    "DeepNorm, DeepNet's": ("deepnet", 1.0),
}


def stability(setting: Setting) -> Iterator[Row]:
    """Loss after training at each rate, and at how many of them nothing but the frequency of letters was learned."""
    train, valid = bytes_of(setting.train), bytes_of(setting.valid)
    shares = torch.bincount(train, minlength=256) / len(train)
    unigram = float(torch.special.entr(shares).sum())
    for name, (norm, share) in VARIANTS.items():
        losses = {str(rate): train_one(train, valid, norm, share, rate, setting) for rate in RATES}
        failed = sum(not loss < unigram for loss in losses.values())
        yield {"arm": name, "losses": losses, "unigram": unigram, "failed": failed, "val": min(losses.values())}


def bytes_of(split: Features) -> Tensor:
    """All texts in a row, at least two lines of them."""
    text = torch.tensor(list(" ".join(clip.text for clip in split.clips).encode()))
    return text.repeat(1 + 2 * LENGTH // len(text))


def train_one(train: Tensor, valid: Tensor, norm: str, share: float, rate: float, setting: Setting) -> float:
    """Validation loss in nats a byte."""
    torch.manual_seed(setting.seed)
    lm = build_lm(ArConfig(SHAPE, deep_norm="" if norm == "post" else norm), 256)
    if norm == "post":
        for layer in lm.base_model.layers:
            layer.forward = MethodType(post_norm_forward(DeepNorm(1.0, 1.0)), layer)
    optimizer = torch.optim.AdamW(lm.parameters(), rate, betas=(0.9, 0.95))
    generator = torch.Generator().manual_seed(setting.seed)
    for step in range(setting.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / (setting.steps / 20))
        loss = loss_of(lm, lines(train, generator), share)
        if not math.isfinite(float(loss.detach())):
            return math.inf
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lm.parameters(), 1.0)
        optimizer.step()
    lm.eval()
    held = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return sum(float(loss_of(lm, lines(valid, held), 1.0)) for _ in range(4)) / 4


def lines(text: Tensor, generator: torch.Generator) -> Tensor:
    starts = torch.randint(len(text) - LENGTH - 1, (BATCH,), generator=generator)
    return torch.stack([text[start : start + LENGTH + 1] for start in starts.tolist()])


def loss_of(lm, rows: Tensor, share: float) -> Tensor:
    vectors = shrink_gradient(lm.get_input_embeddings()(rows[:, :-1]), share)
    return F.cross_entropy(lm(inputs_embeds=vectors).logits.flatten(0, 1), rows[:, 1:].flatten())
