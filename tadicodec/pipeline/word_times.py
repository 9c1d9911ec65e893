"""When each word is said: the model's aligner finds the known text in the codes, a window at a time."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from tadicodec.errors import InputError
from tadicodec.pipeline.decoding import Renderer
from tadicodec.pipeline.limits import TOKEN_RATE
from tadicodec.pipeline.pieces import CONTINUE_TOKENS, Script
from tadicodec.pipeline.reading import MOST_LETTERS, spoken_at
from tadicodec.speech import Speech
from tadicodec.text.captions import Word
from tadicodec.text.tokens import ByteTokenizer

STEP = 0.04  # seconds: what the aligner tells apart
LETTER = 0.12  # seconds that the last letter lasts
LINGER = 0.32  # and at most, before the pause that comes then


def word_times(renderer: Renderer, speech: Speech) -> list[Word]:
    """The words of one utterance's text and their times in seconds, to about 0.1 s; none where there is no text.

    The times come from the codes and the text alone, so a receiver has them too. Any length: each window hears the end
    of the one before.

    Raises:
        InputError: more than one utterance, or a model without an aligner, such as the published ones.
    """
    if len(speech) != 1:
        raise InputError(f"word times are those of one utterance, not of {len(speech)}; take speech[i] one by one")
    if not renderer.config.autoencoder.aligned:
        raise InputError(f"{renderer.limits.name} has no aligner, so it does not know when words are said")
    tokens = int(speech.lengths[0])
    script = Script(speech.text[0] or "", tokens)
    ends = WordSearch(renderer, speech.codes[0, :tokens], script).run()
    seconds, rate = float(speech.seconds[0]), TOKEN_RATE
    words = []
    for text, start, end in zip(script.words, script.starts, ends, strict=True):
        start = min(start / rate, max(seconds - STEP, 0.0))
        words.append(Word(text.strip(), round(start, 3), round(min(max(end / rate, start + STEP), seconds), 3)))
    return words


def byte_times(renderer: Renderer, speech: Speech, text: bytes) -> np.ndarray | None:
    """The token at which each byte of a text [n] begins in one utterance [n]; None where the model cannot tell: without
    an aligner, or where it does not read bytes.

    Utterances longer than the model takes at once are listened to word by word; within a word, bytes are spread evenly.
    """
    limits, tokens = renderer.limits, int(speech.lengths[0])
    if not renderer.config.autoencoder.aligned or not isinstance(limits.tokenizer, ByteTokenizer):
        return None
    codes = speech.codes[0, :tokens]
    if tokens <= limits.piece_tokens:
        with torch.inference_mode():
            return np.array(spoken_at(renderer.model, codes, 0, torch.tensor(list(text)), whole=True))
    script = Script(text.decode(), tokens)
    WordSearch(renderer, codes, script).run()
    edges = [0, *accumulate(len(word.encode()) for word in script.words)]
    edges[-1:] = [len(text)]
    starts = np.minimum([*script.starts, tokens], tokens)
    return np.interp(np.arange(len(text)), edges, np.maximum.accumulate(starts))


class WordSearch:
    """Finds where the words of a script lie in codes [T]."""

    def __init__(self, renderer: Renderer, codes: Tensor, script: Script) -> None:
        self.renderer, self.codes, self.script = renderer, codes, script
        self.ends = [float(len(codes))] * len(script.words)

    @torch.inference_mode()
    def run(self) -> list[float]:
        """Set the script's starts, and give the words' ends, both in tokens."""
        place, longest = 0, self.renderer.limits.piece_tokens
        while True:
            left = len(self.codes) - place
            taken = left if left <= longest else longest
            self.listen(place, taken)
            if taken == left:
                break
            place += taken - min(CONTINUE_TOKENS, taken // 2)  # the end is heard again, with what follows
        return [min(end, following) for end, following in zip(self.ends, [*self.script.starts[1:], float("inf")])]

    def listen(self, place: int, taken: int) -> None:
        """Find the words that begin at `place` or later, as far as the next `taken` tokens reach."""
        last = place + taken == len(self.codes)
        most = sum(map(len, self.script.words)) if last else int(MOST_LETTERS * taken) + 20
        indices = self.script.ahead(place, most)
        encode = self.renderer.limits.tokenizer.encode
        text = "".join(self.script.words[index] for index in indices)
        ids = encode(text) if text else []
        if not ids:
            return
        before = min(place, CONTINUE_TOKENS)
        heard = self.codes[place - before : place + taken]
        times = [place + time for time in spoken_at(self.renderer.model, heard, before, torch.tensor(ids), whole=last)]
        starts, done = [], ""
        for index in indices:
            first = len(encode(done)) if done else 0
            first = min(first + (first > 0 and done[-1].isspace()), len(ids) - 1)
            done += self.script.words[index]
            starts.append(times[first])
            letters = max(len(encode(done.rstrip(PUNCTUATION))), first + 1)
            stops = done.rstrip()[-1:] in PUNCTUATION  # where such a sign is "heard" is chance
            self.ends[index] = self.end(times, letters, LETTER if stops else LINGER)
        self.script.begin(indices, starts)

    def end(self, times: list[float], letters: int, linger: float) -> float:
        """Where the word ends whose last letter is number `letters`: where the next character is heard, or `linger`
        seconds after the letter."""
        rate, last = TOKEN_RATE, times[letters - 1]
        following = times[letters] if letters < len(times) else last + LETTER * rate
        return min(following, last + linger * rate)


PUNCTUATION = " \t\n.,;:!?…\"'”’»)]}–—-。，、！？；："
