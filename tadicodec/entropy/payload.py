"""What a squeezed token file holds behind its header: text, timing and codes as one code of the range coder.

The text comes first, then the codes in sections, so that neither end ever reads more of the past than a section.
Before each section its bins say when its bytes are spoken. How each part is written is chosen by its size, so no file
is larger than with plain text and plain codes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tadicodec.config import CODE_BITS
from tadicodec.entropy.coder import Coder
from tadicodec.entropy.range_coder import RangeDecoder, RangeEncoder
from tadicodec.entropy.speech_model import SHARP, CodeReader, shared
from tadicodec.entropy.tables import PLACE
from tadicodec.entropy.text_model import BYTES, END, TextReader
from tadicodec.entropy.timing import Timing, counts_of, spoken
from tadicodec.errors import InputError

NO_TEXT, MODELLED, PLAIN = 0, 1, 2  # how text is written
FLAT, ALONE = 0, 3  # how codes are written: 14 bits each, by the model without text, or by the model with text
BIN_TOKENS = {1: 2, 2: 3}  # and with bins of so many tokens
SECTION = 144  # tokens; whole bins of both sizes, 23 s
MOST_TEXT = 640  # bytes of a section that the model reads
ROWS = 16  # codes at a time whose scores become frequencies
LENGTH_BITS = 24  # of a plain text's number of bytes
LONGEST_TEXT, LONGEST_RATE = 2048, 8  # bytes that the model writes of a text, and more for each code
# A file of few bytes must not keep a reader busy for long: behind START symbols, a symbol takes LEAST bits or it is not
# written so, and REFUSED bits or it is not read.
START, LEAST, REFUSED = 256, 1.0, 0.5

Part = tuple[int, int, int]  # start, size, total


@dataclass(frozen=True)
class Way:
    """How text and codes of a file are written, as one byte says it.

    Raises:
        ValueError: a combination that no encoder writes.
    """

    text: int
    codes: int
    sharpness: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.text <= PLAIN and 0 <= self.codes <= ALONE and 0 <= self.sharpness < len(SHARP)):
            raise ValueError("no such way of writing text or codes")
        if self.codes in BIN_TOKENS and self.text == NO_TEXT:
            raise ValueError("timing without a text")

    @property
    def number(self) -> int:
        """The byte, below 64."""
        return self.text | self.codes << 2 | self.sharpness << 4

    @classmethod
    def of(cls, number: int) -> Way:
        """The inverse of `number`. Raises ValueError."""
        return cls(number & 3, number >> 2 & 3, number >> 4)

    @property
    def modelled(self) -> bool:
        """Whether a model is needed."""
        return self.text == MODELLED or self.codes != FLAT


@dataclass(frozen=True)
class Costs:
    """Bits that the parts of a payload take: fractions of whole bits add up to the bytes of the file."""

    text: float = 0.0
    timing: float = 0.0
    codes: float = 0.0

    @property
    def speech(self) -> float:
        """Bits of the codes, and of the timing that they are coded by."""
        return self.timing + self.codes


def bits_of(parts: list[Part]) -> float:
    """What these parts cost."""
    return sum(math.log2(total / size) for _, size, total in parts)


def plain_number(value: int, total: int) -> Part:
    """A number below `total`, all equally probable."""
    return value, 1, total


def dense(parts: list[Part]) -> bool:
    """Whether a reader takes these parts: not if they say too many symbols in too few bits."""
    spent = 0.0
    for count, (_, size, total) in enumerate(parts, start=1):
        spent += math.log2(total / size)
        if count > START and spent < LEAST * count:
            return False
    return True


def parts_of(found: np.ndarray, symbols: np.ndarray) -> list[Part]:
    """Symbols [n] with frequencies [n, symbols] as parts."""
    ends = np.cumsum(found, axis=1)
    rows = np.arange(len(symbols))
    sizes, totals = found[rows, symbols], ends[:, -1]
    return list(zip((ends[rows, symbols] - sizes).tolist(), sizes.tolist(), totals.tolist()))


def plain_text(data: bytes) -> list[Part]:
    """A text byte by byte, behind its length."""
    return [plain_number(len(data), 1 << LENGTH_BITS), *(plain_number(byte, BYTES) for byte in data)]


def longest_text(tokens: int) -> int:
    """The bytes that a text by the model has at most: a few codes must not announce hours of reading."""
    return LONGEST_TEXT + LONGEST_RATE * tokens


def text_parts(coder: Coder, text: str | None, tokens: int) -> tuple[int, list[Part]]:
    """How the text of so many codes is written, and its parts. Raises InputError for one that is far too long."""
    if text is None:
        return NO_TEXT, []
    data = text.encode()
    if len(data) >= 1 << LENGTH_BITS:
        raise InputError(f"the text is too long for a token file ({len(data)} bytes); shorten it")
    plain = plain_text(data)
    if len(data) > longest_text(tokens):
        return PLAIN, plain
    parts = parts_of(coder.text.whole(data), np.array([*data, END]))
    return (MODELLED, parts) if dense(parts) and bits_of(parts) < bits_of(plain) else (PLAIN, plain)


@dataclass(frozen=True)
class Written:
    """Codes as written in one way: parts of timing and codes in their order, and what each kind costs."""

    way: int
    sharpness: int
    parts: list[Part]
    timing: float
    codes: float


def flat(codes: np.ndarray) -> Written:
    """Codes of 14 bits each."""
    parts = [plain_number(code, 1 << CODE_BITS) for code in codes.tolist()]
    return Written(FLAT, 0, parts, 0.0, float(CODE_BITS * len(codes)))


def modelled(coder: Coder, way: int, text: bytes, codes: np.ndarray, counts: list[int]) -> Written:
    """Codes [T] by the model, in the best sharpness. counts: bytes of `text` that begin in each bin of this way."""
    timing: list[list[Part]] = []  # by section
    codings: list[list[list[Part]]] = [[] for _ in SHARP]  # by sharpness and section
    for reader, own, told in sections(coder, way, text, codes, counts):
        timing.append(told)
        scores = reader.whole(own)
        for sharpness, coding in enumerate(codings):
            rows = range(0, len(own), ROWS)
            coding.append(
                [p for i in rows for p in parts_of(shared(scores[i : i + ROWS], sharpness), own[i : i + ROWS])]
            )
    costs = [sum(map(bits_of, coding)) for coding in codings]
    best = costs.index(min(costs))
    if not dense([part for coded in codings[best] for part in coded]):
        return flat(codes)
    parts = [part for told, coded in zip(timing, codings[best]) for part in (*told, *coded)]
    return Written(way, best, parts, sum(map(bits_of, timing)), costs[best])


def sections(
    coder: Coder, way: int, text: bytes, codes: np.ndarray, counts: list[int]
) -> Iterator[tuple[CodeReader, np.ndarray, list[Part]]]:
    """For each section: the model at its start, its codes, and the parts of its timing."""
    timing = None if way == ALONE else Timing(coder.speech.durations, text, len(codes), BIN_TOKENS[way])
    for first in range(0, len(codes), SECTION):
        own = codes[first : first + SECTION]
        told: list[Part] = []

        def count(timing: Timing, told: list[Part] = told) -> int:
            wanted = counts[timing.bin]
            told.extend(parts_of(timing.frequencies()[None], np.array([wanted])))
            return wanted

        yield open_section(coder, timing, text, first, len(own), count), own, told


def open_section(
    coder: Coder, timing: Timing | None, text: bytes, first: int, size: int, count: Callable[[Timing], int]
) -> CodeReader:
    """The model at the start of the section of tokens first .. first + size; `count` says how many bytes begin in the
    next bin."""
    if timing is None:
        return CodeReader(coder.speech, b"", np.zeros(0, np.int64))
    begin, starts = timing.place, [np.zeros(0, np.int64)]
    while timing.bin * timing.size < first + size:
        starts.append(timing.advance(timing.left if timing.last or not timing.left else count(timing)))
    places = np.concatenate(starts)[:MOST_TEXT] - first * PLACE
    return CodeReader(coder.speech, text[begin : begin + len(places)], places)


def expected_counts(coder: Coder, text: bytes, tokens: int, size: int) -> list[int]:
    """Counts for a text whose times nobody knows."""
    timing, counts = Timing(coder.speech.durations, text, tokens, size), []
    while not timing.last:
        mean = min(round(timing.mean()), timing.left) if timing.left else 0
        counts.append(mean)
        timing.advance(mean)
        timing.follow()
    return [*counts, timing.left]


def squeeze(
    coder: Coder, text: str | None, codes: np.ndarray, starts: np.ndarray | None, known: bool = True
) -> tuple[Way, bytes, Costs]:
    """A payload: how it is written, its bytes, and what its parts cost.

    codes [T]; starts [n]: the token at which each byte of `spoken(text)` begins, None where nobody knows. known:
    whether the coder's model knows the codes' meaning; otherwise they stay as they are.
    """
    kind, head = text_parts(coder, text, len(codes))
    said = b"" if text is None else spoken(text)
    ways = [flat(codes)]
    if known and len(codes) and int(codes.max()) < coder.speech.codes.count:
        if said:
            for way, size in BIN_TOKENS.items():
                counts = (
                    expected_counts(coder, said, len(codes), size)
                    if starts is None
                    else counts_of(starts, len(codes), size)
                )
                ways.append(modelled(coder, way, said, codes, counts))
        else:
            ways.append(modelled(coder, ALONE, b"", codes, []))
    best = min(ways, key=lambda written: written.timing + written.codes)
    encoder = RangeEncoder()
    for part in (*head, *best.parts):
        encoder.write_part(*part)
    return Way(kind, best.way, best.sharpness), encoder.finish(), Costs(bits_of(head), best.timing, best.codes)


class PayloadReader:
    """Reads a payload from bytes that `read` gives one at a time: the text at once, then codes as they come."""

    def __init__(self, coder: Coder | None, way: Way, tokens: int, read: Callable[[], bytes]) -> None:
        """coder may be None where the way needs no model. Raises InputError for bytes that are no such payload."""
        self.coder, self.way, self.tokens, self.decoder = coder, way, tokens, RangeDecoder(read)
        self.spent = {"text": 0.0, "timing": 0.0, "codes": 0.0}
        self.count = {"text": 0, "timing": 0, "codes": 0}
        self.text = self.read_text()

    @property
    def costs(self) -> Costs:
        """Bits that the parts took, as far as they are read."""
        return Costs(**self.spent)

    def symbol(self, kind: str, found: np.ndarray) -> int:
        """The next symbol, one of this kind of part. Raises InputError where they say too much in too few bits."""
        symbol = self.decoder.symbol(found)
        self.spent[kind] += math.log2(int(found.sum()) / int(found[symbol]))
        self.count[kind] += 1
        if kind != "timing" and self.count[kind] > START and self.spent[kind] < REFUSED * self.count[kind]:
            raise InputError("it says more than its bytes can")
        return symbol

    def number(self, kind: str, total: int) -> int:
        """The next number below `total`."""
        self.spent[kind] += math.log2(total)
        return self.decoder.number(total)

    def read_text(self) -> str | None:
        """The text. Raises InputError where it is none."""
        if self.way.text == NO_TEXT:
            return None
        if self.way.text == PLAIN:
            data = bytes(self.number("text", BYTES) for _ in range(self.number("text", 1 << LENGTH_BITS)))
        else:
            data = bytes(self.modelled_text())
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise InputError("its text is not UTF-8") from error

    def modelled_text(self) -> Iterator[int]:
        """The bytes of a text that is written by the model."""
        assert self.coder is not None
        reader, symbol = TextReader(self.coder.text), END
        for _ in range(longest_text(self.tokens) + 1):
            symbol = self.symbol("text", reader.after(symbol))
            if symbol == END:
                return
            yield symbol
        raise InputError("its text is longer than any that is written so")

    def codes(self) -> Iterator[int]:
        """Codes one by one, each as soon as its bits are there. Raises InputError."""
        if self.way.codes == FLAT:
            for _ in range(self.tokens):
                yield self.number("codes", 1 << CODE_BITS)
            return
        assert self.coder is not None
        said = spoken(self.text or "")
        size = BIN_TOKENS.get(self.way.codes)
        timing = None if size is None else Timing(self.coder.speech.durations, said, self.tokens, size)
        for first in range(0, self.tokens, SECTION):
            count = min(SECTION, self.tokens - first)
            reader = open_section(
                self.coder, timing, said, first, count, lambda bins: self.symbol("timing", bins.frequencies())
            )
            for left in range(count, 0, -1):
                code = self.symbol("codes", shared(reader.scores(), self.way.sharpness)[0])
                yield code
                if left > 1:
                    reader.append(np.array([code]))

    def finish(self) -> int:
        """The number of bytes of the payload, behind the last code. Raises InputError where it does not end there."""
        return self.decoder.finish()
