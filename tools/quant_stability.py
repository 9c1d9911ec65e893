"""GLM-130B's stabilisers: which deep language models of bytes learn at which learning rates in float16.

A CPU has no fast float16, so its rounding and its range are put on float32: what leaves a layer and what comes back to
it in the backward pass goes through float16, with a scaled loss and steps that are left out where gradients overflow,
as mixed precision does. Attention itself stays in float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from quant_arms import Setting
from quant_queue import Results, Row, Trial
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.data.features import Features
from tadicodec.tts.autoregressive import ArConfig, build_lm
from tadicodec.tts.stabilisers import DeepNorm, shrink_gradient, use_deep_norm

SHAPE = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 96,
    "num_hidden_layers": 24,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}
LENGTH, BATCH = 32, 32  # bytes of a line, lines a step
RATES = (5e-4, 1e-3, 3e-3)
LOSS_SCALE = 1024.0
MARGIN = 0.1  # nats; above the frequency of letters a training has diverged, below it has learned more than that
VARIANTS = {
    "post-norm": ("post", 1.0),
    "post-norm, embedding gradient 0.1": ("post", 0.1),
    "DeepNorm, GLM's": ("glm", 1.0),
    "DeepNorm, GLM's, embedding gradient 0.1": ("glm", 0.1),
    "DeepNorm, DeepNet's": ("deepnet", 1.0),
    "pre-norm": ("", 1.0),
}


def stability(setting: Setting, results: Results) -> Iterator[Trial]:
    """Every variant at every rate from every seed: its loss, whether it diverged, whether it learned more than the
    frequency of letters, and how alike the last states of different bytes are."""
    train, valid = bytes_of(setting.train), bytes_of(setting.valid)
    shares = torch.bincount(train, minlength=256) / len(train)
    unigram = float(torch.special.entr(shares).sum())

    def run(name: str, rate: float, seed: int) -> Row:
        loss, alike = train_one(train, valid, VARIANTS[name], (rate, seed, setting.steps))
        outcome = {"diverged": not loss < unigram + MARGIN, "learned": loss < unigram - MARGIN, "alike": alike}
        return {"val": loss if math.isfinite(loss) else None, **outcome}

    for seed in range(setting.seeds):
        for rate in RATES:
            for name in VARIANTS:
                yield Trial(name, seed, lambda name=name, rate=rate, seed=seed: run(name, rate, seed), rate)


def bytes_of(split: Features) -> Tensor:
    """All texts in a row, at least two lines of them."""
    text = torch.tensor(list(" ".join(clip.text for clip in split.clips).encode()))
    return text.repeat(1 + 2 * LENGTH // len(text))


def deep_model(norm: str, seed: int) -> Any:
    """A language model of bytes whose layers give what float16 can hold."""
    torch.manual_seed(seed)
    lm = build_lm(ArConfig(SHAPE, deep_norm="" if norm == "post" else norm), 256)
    lm.config.use_cache = False
    if norm == "post":  # as DeepNet's baseline: the same Xavier start, nothing made smaller or larger
        use_deep_norm(lm, lambda layers: DeepNorm(1.0, 1.0))
    for module in lm.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)) or "Norm" in type(module).__name__:
            module.register_forward_hook(lambda _, __, out: out.half().float())
    return lm


Outcome = tuple[float, float | None]


def train_one(train: Tensor, valid: Tensor, variant: tuple[str, float], tuning: tuple[float, int, int]) -> Outcome:
    """Held-out loss in nats a byte, infinite where one was, and the likeness of states. tuning: rate, seed, steps."""
    (norm, share), (rate, seed, steps) = variant, tuning
    lm = deep_model(norm, seed)
    optimizer = torch.optim.AdamW(lm.parameters(), rate, betas=(0.9, 0.95))
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / (steps / 20))
        loss = loss_of(lm, lines(train, generator), share)
        if not math.isfinite(float(loss.detach())):
            return math.inf, None
        optimizer.zero_grad()
        (LOSS_SCALE * loss).backward()
        for parameter in lm.parameters():
            parameter.grad /= LOSS_SCALE
        norm_of_all = torch.nn.utils.clip_grad_norm_(lm.parameters(), 1.0)
        if torch.isfinite(norm_of_all):
            optimizer.step()
    held = torch.Generator().manual_seed(0)
    judged = [lines(valid, held) for _ in range(4)]
    with torch.no_grad():
        return sum(float(loss_of(lm.eval(), rows, 1.0)) for rows in judged) / len(judged), likeness(lm, judged[0])


def likeness(lm: Any, rows: Tensor) -> float:
    """The mean cosine of the last layer's states of bytes of different lines: 1 where nothing of what was given is
    left."""
    states = F.normalize(lm.base_model(rows[:, :-1]).last_hidden_state, dim=-1)
    return float((states * states.roll(1, dims=0)).sum(-1).mean())


def lines(text: Tensor, generator: torch.Generator) -> Tensor:
    starts = torch.randint(len(text) - LENGTH - 1, (BATCH,), generator=generator)
    return torch.stack([text[start : start + LENGTH + 1] for start in starts.tolist()])


def loss_of(lm, rows: Tensor, share: float) -> Tensor:
    vectors = shrink_gradient(lm.get_input_embeddings()(rows[:, :-1]), share)
    return F.cross_entropy(lm(inputs_embeds=vectors).logits.flatten(0, 1), rows[:, 1:].flatten())
