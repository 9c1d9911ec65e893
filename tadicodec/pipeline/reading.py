"""What codes say, and when: the aligner hears letters in them. Where no text came with them, it reads one, and the text
model has a say.

All that is needed for that is at the receiver, so no bits are spent, and the decoder gets a text after all. Its own
prior reads the codes as well, but knows no language.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tadicodec.entropy.letter_model import letter_model
from tadicodec.entropy.prefix_search import SearchConfig, prefix_search
from tadicodec.errors import InputError
from tadicodec.model import quantizer
from tadicodec.model.aligner import STEPS_PER_TOKEN, forced_alignment
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.pipeline.decoding import Renderer
from tadicodec.pipeline.limits import Limits
from tadicodec.pipeline.pieces import CONTINUE_TOKENS, WORD, Script
from tadicodec.speech import Prompt
from tadicodec.text.normalize import LETTERS, from_letters
from tadicodec.text.tokens import ByteTokenizer

MOST_LETTERS = 4.0  # a token; 25 a second
SEARCH = SearchConfig(weight=0.6, bonus=1.2)  # as `tools/transcript_beam.py --codes` found them
LEAST = 1e-8  # probability of a letter
BYTES = ByteTokenizer.vocab_size


def reads(limits: Limits) -> bool:
    """Whether a model can read its codes: with an aligner that writes bytes, which the published models lack."""
    return limits.config.autoencoder.aligned and isinstance(limits.tokenizer, ByteTokenizer)


def read(renderer: Renderer, codes: Tensor, prompt: Prompt | None = None) -> str | None:
    """The text of codes [T], lower-case words without punctuation. None where the model cannot read, and where it reads
    more than the decoder takes at once behind the prompt's text."""
    if not reads(renderer.limits):
        return None
    text = read_text(renderer.model, codes)
    try:
        renderer.limits.text_ids(text, prompt)
    except InputError:
        return None
    return text


def read_text(model: Autoencoder, codes: Tensor) -> str:
    """What a model that can read makes of codes [T], however much that is."""
    scores = letter_scores(read_logits(model, codes))
    return from_letters(prefix_search(scores.numpy(), letter_model(), SEARCH))


@torch.inference_mode()
def read_all(renderer: Renderer, codes: Tensor) -> str:
    """The text of codes [T], however many: each window is read with the end of the one before."""
    script, place, longest = Script(None, len(codes)), 0, renderer.limits.piece_tokens
    while True:
        taken, before = min(len(codes) - place, longest), min(place, CONTINUE_TOKENS)
        read_window(renderer, script, codes[place - before : place + taken], place, before)
        if place + taken == len(codes):
            return script.between(0, None) or ""
        place += taken - min(CONTINUE_TOKENS, taken // 2)  # the end is read again, with what follows


def read_window(
    renderer: Renderer, script: Script, codes: Tensor, place: int, before: int, prompt: Prompt | None = None
) -> None:
    """Put into a script what codes [T] say behind the first `before` of them, which end at token number `place`: those
    are read, too, so that no word begins in its middle."""
    words = WORD.findall(read(renderer, codes, prompt) or "")
    starts = word_starts(renderer, words, codes, whole=True)
    script.read(place, words, [place - before + start for start in starts])


def word_starts(
    renderer: Renderer, words: Sequence[str], codes: Tensor, skip: int = 0, *, whole: bool = False
) -> list[float]:
    """When each of some words begins in codes [T], as `spoken_at`; nothing for words that are nothing."""
    encode = renderer.limits.tokenizer.encode
    ids = encode("".join(words)) if words else []
    if not ids:
        return []
    times = spoken_at(renderer.model, codes, skip, torch.tensor(ids), whole=whole)
    first = [len(encode("".join(words[:count]))) for count in range(len(words))]
    return [times[min(letter + (letter > 0), len(ids) - 1)] for letter in first]  # behind the space


def spoken_at(model: Autoencoder, codes: Tensor, skip: int, text_ids: Tensor, *, whole: bool = False) -> list[float]:
    """When each of text_ids [L] begins in codes [T], in tokens after the first `skip`.

    Characters that are not said any more are at infinity, unless the `whole` text is said in these codes.
    """
    logits = read_logits(model, codes)[skip * STEPS_PER_TOKEN :][None]
    steps, letters = (torch.tensor([count], device=logits.device) for count in (logits.shape[1], len(text_ids)))
    times = forced_alignment(logits, steps, text_ids[None].to(logits.device), letters, whole=whole)[0].cpu()
    return torch.where(times < logits.shape[1], times / STEPS_PER_TOKEN, torch.inf).tolist()


def read_logits(model: Autoencoder, codes: Tensor) -> Tensor:
    """What the aligner makes of codes [T]: logits [4 T, V + 1], the blank last."""
    device = model.vq_in_linear.bias.device
    return model.aligner(quantizer.from_codes(codes[None].to(device), model.config.vq_emb_dim))[0]


def letter_scores(logits: Tensor) -> Tensor:
    """Logits [..., 257] of bytes and a blank -> log-probabilities [..., 29] of letters and a blank, on the CPU; what
    else is written is not heard."""
    found = logits.float().softmax(-1)[..., list(LETTERS.encode())].cpu()
    return torch.cat([found, 1 - found.sum(-1, keepdim=True)], dim=-1).clamp(min=LEAST).log()
