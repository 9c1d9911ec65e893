"""What must be sent: codes, text and prompt, counted apart."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass

TEXT_COMPRESSOR = "raw DEFLATE (zlib level 9), each utterance alone, or left as it is where that is shorter"


@dataclass(frozen=True)
class Bits:
    """The bits of one utterance.

    text_raw is the text as UTF-8, text_compressed the same as `TEXT_COMPRESSOR` packs it. prompt is what a token file
    embeds for a receiver that does not have the speaker yet. file is a whole token file without prompt; of a squeezed
    one, squeezed_codes are those of the codes with their timing, squeezed_text those of the text, squeezed_file all.
    """

    codes: int
    text_raw: int = 0
    text_compressed: int = 0
    prompt: int = 0
    file: int = 0
    squeezed_codes: float = 0
    squeezed_text: float = 0
    squeezed_file: int = 0

    @property
    def sent(self) -> int:
        """What has to be sent in all, in the smallest form that is known: a token file, or codes and text where there
        is none."""
        return self.squeezed_file or self.file or self.codes + self.text_compressed

    def per_second(self, seconds: float) -> dict[str, float]:
        """bit/s of each part, and together: `codes_and_text` with the compressed text, `total` with the prompt too;
        `header` and `squeezed_header` are what files hold beside text and codes; `sent` as above."""
        parts = asdict(self)
        parts["codes_and_text"] = self.codes + self.text_compressed
        parts["total"] = parts["codes_and_text"] + self.prompt
        parts["header"] = max(self.file - self.codes - self.text_raw, 0)
        parts["squeezed_header"] = max(self.squeezed_file - self.squeezed_codes - self.squeezed_text, 0)
        parts["sent"] = self.sent
        return {name: count / seconds for name, count in parts.items()}


def count_bits(code_bits: int, text: str, prompt_bytes: int = 0) -> Bits:
    """Bits of an utterance with this text (UTF-8) and a prompt of this size."""
    raw = text.encode()
    return Bits(code_bits, 8 * len(raw), 8 * min(len(raw), len(deflate(raw))), 8 * prompt_bytes)


def deflate(data: bytes) -> bytes:
    """Data packed by DEFLATE, without zlib's header and checksum; no text takes no bytes."""
    if not data:
        return b""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def total(parts: list[Bits]) -> Bits:
    """The sum over utterances."""
    return Bits(*(sum(values) for values in zip(*(asdict(part).values() for part in parts))))
