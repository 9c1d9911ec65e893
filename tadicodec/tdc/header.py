"""The JSON header of a token file, with every type and range checked in both directions."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from tadicodec.guards.documents import parse_json
from tadicodec.speech import SAMPLES_PER_TOKEN, Speech
from tadicodec.tdc.code_packing import packed_size

LONGEST_NUMBER = 1 << 48


@dataclass(frozen=True)
class Header:
    """What precedes the codes.

    `prompt` is {"source": "none"}, {"source": "hash", "hash": ...} (a prompt the receiver has) or
    {"source": "embedded", "bytes": ...}; `normaliser` names what was done to the text before it was stored.

    Raises:
        ValueError: a field has the wrong type, or codes and samples do not agree.
    """

    model: str
    weights: str
    samples: int
    sample_rate: int
    codes: int
    text: str | None
    language: str | None
    normaliser: str
    prompt: dict[str, Any]

    def __post_init__(self) -> None:
        check_prompt_source(self.prompt)
        check_strings(self.model, self.weights, self.normaliser)
        check_strings(*(value for value in (self.text, self.language) if value is not None))
        check_numbers(self.samples, self.sample_rate, self.codes)
        if self.sample_rate != Speech.sample_rate or self.codes != -(-self.samples // SAMPLES_PER_TOKEN):
            raise ValueError(f"{self.codes} codes do not fit {self.samples} samples at {self.sample_rate} Hz")

    @property
    def code_bytes(self) -> int:
        """The number of bytes that the codes take."""
        return packed_size(self.codes)

    @property
    def prompt_bytes(self) -> int:
        """The number of bytes of the embedded prompt; 0 without one."""
        return self.prompt["bytes"] if self.prompt["source"] == "embedded" else 0

    def to_json(self) -> bytes:
        """The header as UTF-8."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Header:
        """Read what `to_json` wrote; keys that this version does not know are passed over.

        Raises:
            ValueError: not UTF-8, not JSON, nested too deep, a key missing or a value out of place.
        """
        try:
            document = parse_json(data.decode())
            return cls(**{field.name: document[field.name] for field in fields(cls)})
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a header: {type(error).__name__}") from error


def check_prompt_source(prompt: dict[str, Any]) -> None:
    """Raise ValueError unless `prompt` is one of the three forms that a header may have."""
    source = prompt.get("source") if isinstance(prompt, dict) else None
    if source == "hash":
        check_strings(prompt.get("hash"))
    elif source == "embedded":
        check_numbers(prompt.get("bytes"))
        if not prompt["bytes"]:
            raise ValueError("an embedded prompt of no bytes")
    elif source != "none":
        raise ValueError("no such source of a prompt")


def check_strings(*values: Any) -> None:
    """Raise ValueError unless all values are strings that UTF-8 can carry."""
    for value in values:
        if type(value) is not str:
            raise ValueError("not a string")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("text that is not valid Unicode") from None


def check_numbers(*values: Any) -> None:
    """Raise ValueError unless all values are whole numbers that a length can have."""
    for value in values:
        if type(value) is not int or not 0 <= value < LONGEST_NUMBER:  # to isinstance, True is an int
            raise ValueError("not a length")
