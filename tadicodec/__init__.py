"""tadicodec: speech to 6.25 tokens a second from one codebook of 16,384 codes, and back."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

PUBLIC = {
    "Codec": "tadicodec.codec",
    "Speech": "tadicodec.speech",
    "Prompt": "tadicodec.speech",
    "Speaker": "tadicodec.tts.synthesize",
    "read_tokens": "tadicodec.tdc.container",
    "write_tokens": "tadicodec.tdc.container",
    "InputError": "tadicodec.errors",
}
__all__ = [*PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    """Public names are imported when first used: importing the package alone costs nothing."""
    if name not in PUBLIC:
        raise AttributeError(f"module 'tadicodec' has no attribute {name!r}")
    return getattr(import_module(PUBLIC[name]), name)
