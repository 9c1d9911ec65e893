"""Text tokenizers: UTF-8 bytes (no file, every language), or the tokenizer of a published folder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tadicodec.config import CodecConfig
from tadicodec.errors import InputError
from tadicodec.guards.pretrained import load_pretrained
from tadicodec.text.normalize import normalize


class TextTokenizer(Protocol):
    """Turns a text into the ids that the decoder reads."""

    vocab_size: int

    def encode(self, text: str) -> list[int]:
        """A text -> ids in 0 .. vocab_size - 1."""


class ByteTokenizer:
    """The normalised text as UTF-8; the ids are its bytes."""

    vocab_size = 256

    def encode(self, text: str) -> list[int]:
        """A text -> ids in 0..255."""
        return list(normalize(text).encode("utf-8", errors="replace"))


class FolderTokenizer:
    """The tokenizer saved under text_tokenizer/ of a published model; the text is taken as it is."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: missing; published models keep their text tokenizer there")
        self.tokenizer = load_pretrained("AutoTokenizer", folder)
        self.vocab_size = len(self.tokenizer)

    def encode(self, text: str) -> list[int]:
        """A text -> ids, without special tokens."""
        return self.tokenizer.encode(text, add_special_tokens=False)


def load_tokenizer(config: CodecConfig, folder: Path) -> TextTokenizer:
    """The tokenizer that a configuration names; `folder` is the model's. Raises InputError where it is missing or
    damaged."""
    if config.text_tokenizer == "bytes":
        return ByteTokenizer()
    return FolderTokenizer(folder / "text_tokenizer")
