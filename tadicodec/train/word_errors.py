"""Words that survive, as the model's own transcriber reads them: what validation counts beside losses.

A loss on mels says little about words, and no other recogniser is needed to see them come: the prior's mel is most of
what the decoded speech will be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tadicodec.model.transcriber import best_path
from tadicodec.text.normalize import from_letters
from tadicodec.train.task import Batch

if TYPE_CHECKING:
    from tadicodec.train.codec_network import CodecNetwork


@torch.no_grad()
def word_errors(network: CodecNetwork, batch: Batch, draws: dict[str, Tensor]) -> dict[str, Tensor]:
    """Word error rates of a batch: "errors/own" of what the encoder hears, and of the prior's mel made of "errors/text"
    codes and text and "errors/codes" codes alone; none for a model without a transcriber and a prior."""
    shape = network.codec.config
    if not shape.transcriber_layers or not shape.prior_layers:
        return {}
    lengths, heard = batch["lengths"], batch.get("heard")
    heard = batch["mel"] if heard is None else heard
    tokens = lengths // shape.down_sample_factor
    quantized, times = network.quantize(network.codec.encoder(heard, lengths), batch, tokens, {})
    condition = network.codec.condition(quantized, tokens)
    whole = {"prompt": torch.zeros_like(lengths), "keep_tokens": torch.ones_like(draws["keep_tokens"])}
    mels = {"own": heard}
    for name, text in (("text", torch.ones_like), ("codes", torch.zeros_like)):
        given = {**draws, **whole, "keep_text": text(draws["keep_text"])}
        mel = network.prepare(batch, given, condition, times).mel
        assert mel is not None, "a prior expects one"
        mels[name] = mel
    letters = zip(batch["letters"].tolist(), batch["letter_lengths"].tolist())
    said = [from_letters(ids[:size]) for ids, size in letters]
    rates = {f"errors/{name}": rate(said, read(network, mel, lengths)) for name, mel in mels.items()}
    return {name: torch.tensor(value, device=lengths.device) for name, value in rates.items()}


def read(network: CodecNetwork, mel: Tensor, lengths: Tensor) -> list[str]:
    """What the transcriber writes of mel [B, F, 128], lengths [B] frames."""
    states = network.codec.config.states(lengths)
    logits = network.codec.transcriber(network.codec.encoder(mel.float(), lengths), states)
    return [from_letters(ids) for ids in best_path(logits, states)]


def rate(said: Sequence[str], written: Sequence[str]) -> float:
    """Wrong words over words said."""
    wrong = sum(edits(one.split(), other.split()) for one, other in zip(said, written))
    return wrong / max(sum(len(one.split()) for one in said), 1)


def edits(said: Sequence[str], written: Sequence[str]) -> int:
    """The least number of substitutions, deletions and insertions (Levenshtein) that turn one into the other."""
    row = list(range(len(written) + 1))
    for i, word in enumerate(said, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(written, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]
