"""What survives, as the model itself hears it: the words and the voice that validation counts beside losses.

A loss on mels says little about either, and no other recogniser is needed to see them come: the prior's mel is most of
what the decoded speech will be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tadicodec.model.aligner import STEPS_PER_TOKEN
from tadicodec.model.lengths import valid
from tadicodec.model.transcriber import best_path
from tadicodec.pipeline.reading import BYTES, letter_scores
from tadicodec.text.normalize import from_letters
from tadicodec.train.speaker_loss import voice_error
from tadicodec.train.task import Batch
from tadicodec.train.word_errors import rate

if TYPE_CHECKING:
    from tadicodec.train.codec_network import CodecNetwork

PROMPT = 0.3  # of a clip's frames, where it is given


@torch.no_grad()
def judged(network: CodecNetwork, batch: Batch, draws: dict[str, Tensor]) -> dict[str, Tensor]:
    """Word error rates of a batch: "errors/own" of what the encoder hears, "errors/read" of what the aligner reads in
    codes (models whose text is bytes), and of the prior's mel made of codes alone ("errors/codes") and of codes and
    text ("errors/text"). What a prompt costs are "errors/prompt" less "errors/unprompted": both begin with the
    recording's own mel, which the first has as its prompt and the second has not seen. Of a model that sums up voices
    by attention also "voice/text" and "voice/prompt": 1 - cosine to the recording behind the prompt. Nothing for a
    model without a transcriber and a prior."""
    shape = network.codec.config
    if not shape.transcriber_layers or not shape.prior_layers:
        return {}
    terms: dict[str, Tensor] = {}
    mels = conditions(network, batch, draws, terms)
    letters = zip(batch["letters"].tolist(), batch["letter_lengths"].tolist())
    said = [from_letters(ids[:size]) for ids, size in letters]
    rates = {f"errors/{name}": rate(said, read(network, mel, batch["lengths"])) for name, mel in mels.items()}
    if shape.text_vocab_size == BYTES and "ctc_logits" in terms:
        steps = batch["lengths"] // shape.down_sample_factor * STEPS_PER_TOKEN
        written = best_path(letter_scores(terms["ctc_logits"]), steps)
        rates["errors/read"] = rate(said, [from_letters(ids) for ids in written])
    found = {name: torch.tensor(value, device=batch["lengths"].device) for name, value in rates.items()}
    prior = network.codec.decoder.prior
    if shape.voice_heads and prior is not None:
        embed, held = prior.prompt_voice.embed, prompt_lengths(batch)
        for name in ("text", "prompt"):
            found[f"voice/{name}"] = voice_error(embed, mels[name], batch, held, shape.patch_size)
    return found


def conditions(
    network: CodecNetwork, batch: Batch, draws: dict[str, Tensor], terms: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Mels [B, F, 128] by what they are made of: "own", what the encoder hears, and four of the prior's. Adds to the
    terms what quantizing gives, the aligner's logits among it."""
    lengths, heard = batch["lengths"], batch.get("heard")
    heard = batch["mel"] if heard is None else heard
    tokens = lengths // network.codec.config.down_sample_factor
    quantized, times = network.quantize(network.codec.encoder(heard, lengths), batch, tokens, terms)
    condition = network.codec.condition(quantized, tokens)
    none, all_of = torch.zeros_like(draws["keep_text"]), torch.ones_like(draws["keep_text"])
    mels = {"own": heard}
    for name, text, prompt in (
        ("codes", none, torch.zeros_like(lengths)),
        ("text", all_of, torch.zeros_like(lengths)),
        ("prompt", all_of, prompt_lengths(batch)),
    ):
        given = {**draws, "prompt": prompt, "keep_tokens": all_of, "keep_text": text}
        mel = network.prepare(batch, given, condition, times).mel
        assert mel is not None, "a prior expects one"
        mels[name] = mel
    # no loss has ever seen what the prior makes of a prompt's own frames
    held = valid(prompt_lengths(batch), heard.shape[1])[..., None]
    for name, made in (("unprompted", mels["text"]), ("prompt", mels["prompt"])):
        mels[name] = torch.where(held, batch["mel"], made)
    return mels


def prompt_lengths(batch: Batch) -> Tensor:
    """The frames of each item that are its prompt, [B]."""
    return (batch["lengths"] * PROMPT).long()


def read(network: CodecNetwork, mel: Tensor, lengths: Tensor) -> list[str]:
    """What the transcriber writes of mel [B, F, 128], lengths [B] frames."""
    states = network.codec.config.states(lengths)
    logits = network.codec.transcriber(network.codec.encoder(mel.float(), lengths), states)
    return [from_letters(ids) for ids in best_path(logits, states)]
