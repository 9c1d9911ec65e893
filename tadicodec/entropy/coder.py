"""The two models by which a token file is squeezed, and how a receiver finds them by the hash that the file names."""

from __future__ import annotations

import os
from functools import cached_property, lru_cache
from pathlib import Path

from tadicodec.entropy.speech_model import SpeechModel
from tadicodec.entropy.text_model import TextModel
from tadicodec.entropy.weights import fingerprint
from tadicodec.errors import InputError, reason
from tadicodec.guards import arguments
from tadicodec.guards.documents import read_config_file

NAME_BYTES = 4  # of the hash that stands in a file


class Coder:
    """A speech language model and the text model. They are read when they are first used.

    name: what files call it, the first bytes of a hash of both models. codec and codec_name: the hash of the
    codec whose codes the speech model knows, and what that is called ("" if unknown).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        document = read_config_file(folder / "config.json")
        self.codec, self.codec_name = (str(document.get(key) or "") for key in ("codec", "codec_name"))
        self.name = fingerprint((folder, text_folder()), f"{self.codec} {self.codec_name}")[:NAME_BYTES]

    @cached_property
    def speech(self) -> SpeechModel:
        """The speech language model. Raises InputError where it is no plain Llama of our own layout."""
        try:
            return SpeechModel(self.folder)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise InputError(f"{self.folder}: tensors do not fit together ({reason(error)})") from error

    @cached_property
    def text(self) -> TextModel:
        """The text model."""
        return TextModel(text_folder())


def text_folder() -> Path:
    """Where the bundled text model is."""
    return arguments.packaged("entropy", "assets", "text")


def bundled_folder() -> Path:
    """Where the bundled autoregressive speech language model is."""
    return arguments.packaged("tts", "assets", "ar")


@lru_cache(maxsize=8)
def load_coder(folder: Path) -> Coder:
    """The coder whose speech language model is in this folder. Raises InputError."""
    return Coder(folder)


Named = str | os.PathLike | Coder | None


def find_coder(model: Named) -> Coder:
    """A coder by its speech language model: None is the bundled one, otherwise a folder, or a coder as it is.

    Raises:
        InputError: no such model, or one of another kind.
    """
    if isinstance(model, Coder):
        return model
    if model is None or model == "bundled":
        return load_coder(bundled_folder())
    folder = arguments.path("a squeezing model", model)
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no config.json in this folder, so it is not a speech language model")
    return load_coder(folder)


def coder_of(name: bytes, model: Named) -> Coder:
    """The coder that a file names: `model`, or the bundled one. Raises InputError where it is another."""
    coder = find_coder(model)
    if coder.name != name:
        raise InputError(
            f"was squeezed by the models {name.hex()}, these are {coder.name.hex()}; give the folder of the "
            "autoregressive model that squeezed it with --coder (coder=...), or use the version that wrote it"
        )
    return coder
