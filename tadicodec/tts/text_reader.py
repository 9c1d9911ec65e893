"""What a speech language model reads before it speaks: plain bytes (ours), or a chat message (the published models)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from tadicodec.guards.extras import need
from tadicodec.guards.pretrained import load_pretrained
from tadicodec.text.tokens import ByteTokenizer

SYSTEM = "You are a powerful AI assistant for speech understanding and generation."
REQUEST = "Please speak the following text out loud: {}"
CHATS = {  # as the published models were trained, letter for letter
    "qwen": "<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
    "phi": "<|system|>\n{}<|end|>\n<|user|>\n{}<|end|>\n<|assistant|>",
}
BYTES = "bytes"
TEXTS = (BYTES, *CHATS)
GLUE = {"ar": "", "masked": " "}  # what published models of a kind have between the prompt's text and the new one


class TextReader(Protocol):
    """Turns a text into the ids that a speech language model reads."""

    vocab_size: int

    def encode(self, text: str) -> list[int]:
        """A text -> its ids."""


def chat(text: str, style: str) -> str:
    """The whole prompt string of a chat, up to where the assistant begins to speak."""
    return CHATS[style].format(SYSTEM, REQUEST.format(text))


class ChatReader:
    """Puts the text into a chat message, for the tokenizer beside the weights."""

    def __init__(self, tokenizer: Any, style: str) -> None:
        self.tokenizer, self.style, self.vocab_size = tokenizer, style, len(tokenizer)

    def encode(self, text: str) -> list[int]:
        """A text -> the ids of its chat message."""
        return self.tokenizer.encode(chat(text, self.style))


def load_reader(style: str, folder: Path, *, alone: bool = True) -> TextReader:
    """The reader of a text style: "bytes", or the chat style whose tokenizer lies in `folder`.

    alone: the folder's config.json, if any, is not transformers' (the published masked model's has comments). Raises
    InputError.
    """
    return ByteTokenizer() if style == BYTES else ChatReader(load_tokenizer(folder, alone=alone), style)


def load_tokenizer(folder: Path, *, alone: bool = False) -> Any:
    """The transformers tokenizer of a folder, without running any code that it holds. alone: see `load_reader`. Raises
    InputError."""
    if not alone:
        return load_pretrained("AutoTokenizer", folder)
    need("transformers", "this model's tokenizer")
    from transformers import PretrainedConfig

    return load_pretrained("AutoTokenizer", folder, config=PretrainedConfig())
