"""Which folder a command's MODEL names, and what kind of model it holds."""

from __future__ import annotations

from pathlib import Path

from tadicodec.checkpoint import HUB_FILES, find_model
from tadicodec.guards.documents import read_config_file
from tadicodec.tts.folder import HUB_FILES as TTS_FILES
from tadicodec.tts.folder import find_tts_model

BUNDLED = "bundled"


def find_quantizable(name: str) -> tuple[Path, bool]:
    """The folder of `bundled`, `bundled:ar`, `bundled:masked`, a folder or a Hugging Face id, and whether it is a codec
    (or else a speech language model).

    Raises:
        InputError: no such model.
    """
    if name == BUNDLED:
        return find_model(None), True
    if name.startswith(f"{BUNDLED}:"):
        return find_tts_model(None, name.removeprefix(f"{BUNDLED}:")), False
    folder = find_model(name, tuple({*HUB_FILES, *TTS_FILES}))
    document = read_config_file(folder / "config.json")
    sections = document.get("model") if isinstance(document, dict) else None
    return folder, isinstance(sections, dict) and "tadicodec" in sections
