"""Configuration of a speech language model.

config.json may be of our own layout, of the published masked model (section `model.mgmt2s` or `model.mgm`), or of a
causal language model in transformers' layout.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tadicodec.config import MOST_GUIDANCE, MOST_STEPS
from tadicodec.errors import InputError
from tadicodec.guards.documents import read_config_file
from tadicodec.guards.fields import build, require_sizes
from tadicodec.tts.ar_sampler import ArSampling
from tadicodec.tts.autoregressive import ArConfig
from tadicodec.tts.cache import CacheFormat
from tadicodec.tts.mask_sampler import MaskSampling
from tadicodec.tts.masked import MaskedConfig
from tadicodec.tts.text_reader import BYTES, TEXTS

AR, MASKED = "ar", "masked"
ENGINES = (AR, MASKED)
PUBLISHED_SECTIONS = ("mgmt2s", "mgm")
SAMPLINGS = {AR: ArSampling, MASKED: MaskSampling}
HF_SECTION = "tadicodec"  # of a config.json in transformers' layout, what this package adds


@dataclass(frozen=True)
class Decoding:
    """How the codec turns the codes into a wave; the defaults are those of the published models."""

    steps: int = 25
    guidance: float = 1.0

    def __post_init__(self) -> None:
        require_sizes("decoding", self, MOST_STEPS, "steps")
        if not 0 <= self.guidance <= MOST_GUIDANCE:
            raise InputError(f"config: decoding guidance is 0 to {MOST_GUIDANCE}")


@dataclass(frozen=True)
class TtsConfig:
    """All that a folder says about a speech language model. shape None: it is in transformers' layout, which describes
    itself."""

    engine: str
    shape: MaskedConfig | ArConfig | None
    sampling: MaskSampling | ArSampling
    decoding: Decoding | None = None  # None: as the codec does by itself
    text: str = BYTES  # "bytes", or the chat style a published model reads
    codec: str = ""  # content hash of the codec whose codes it speaks; "": unknown
    codec_name: str = ""  # what that codec calls itself, for messages
    name: str = ""
    quantization: dict[str, Any] = field(default_factory=dict)  # which layers are stored as integers, and the cache's

    def __post_init__(self) -> None:
        if not isinstance(self.quantization, dict):
            raise InputError(f"config: quantization is a section, not {self.quantization!r}")
        if self.cache.bits and not (isinstance(self.shape, ArConfig) and self.shape.llama is not None):
            raise InputError("config: keys and values in few bits are for autoregressive models of a plain Llama")
        if self.text not in TEXTS:
            raise InputError(f"config: text is one of {', '.join(TEXTS)}, not {self.text!r}")
        if not all(isinstance(value, str) for value in (self.codec, self.codec_name, self.name)):
            raise InputError("config: codec, codec_name and name are strings")
        timed = isinstance(self.shape, ArConfig) or (isinstance(self.shape, MaskedConfig) and self.shape.duration_size)
        if timed and self.text != BYTES:
            raise InputError("config: a model with a duration network reads bytes; set text: bytes")

    @property
    def cache(self) -> CacheFormat:
        """How keys and values are kept while speaking."""
        section = self.quantization.get("cache", {})
        if not isinstance(section, dict):
            raise InputError(f"config: quantization.cache is a section, not {section!r}")
        return build(CacheFormat, section)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain values, for config.json."""
        shape = {} if self.shape is None else {"mgm" if self.engine == MASKED else AR: asdict(self.shape)}
        return {
            "engine": self.engine,
            "name": self.name,
            "codec": self.codec,
            "codec_name": self.codec_name,
            "text": self.text,
            "model": shape,
            "sampling": asdict(self.sampling),
            "decoding": None if self.decoding is None else asdict(self.decoding),
            **({"quantization": self.quantization} if self.quantization else {}),
        }


def read_tts_config(path: Path) -> TtsConfig:
    """Read a config.json of any of the layouts. Raises InputError for anything else."""
    document = read_config_file(path)
    try:
        return parse_tts_config(document)
    except (TypeError, AttributeError, KeyError) as error:
        raise InputError(f"{path}: not a speech language model's configuration: {error!r}") from error


def parse_tts_config(document: dict[str, Any]) -> TtsConfig:
    """The configuration in a document. Raises InputError where it is none of the layouts or holds values that cannot
    be."""
    sections = document.get("model")
    masked = isinstance(sections, dict) and any(name in sections for name in PUBLISHED_SECTIONS)
    if "model_type" in document and not masked:
        style = "phi" if str(document["model_type"]).startswith("phi") else "qwen"
        return assemble(AR, None, {"text": style, **document.get(HF_SECTION, {})})
    model = document.get("model", {})
    if document.get("engine") == AR:
        return assemble(AR, build_ar(model[AR]), document)
    section = next((model[name] for name in PUBLISHED_SECTIONS if name in model), None)
    if section is None:
        raise InputError(
            "config: not a speech language model (no model.mgmt2s or model.ar, and not a model of transformers)"
        )
    if not section.get("use_phone_cond", True):
        raise InputError("config: mgm use_phone_cond false is not supported: it would not read text")
    tokenizer = str(document.get("preprocess", {}).get("tokenizer_path", ""))
    style = "phi" if "phi" in tokenizer.lower() else "qwen"  # as the published inference chooses
    return assemble(MASKED, build(MaskedConfig, section), {"text": style, **document})


def assemble(engine: str, shape: MaskedConfig | ArConfig | None, document: dict[str, Any]) -> TtsConfig:
    """A configuration from a document's sections; what published models do not say is as they have it."""
    ours = document.get("text", BYTES) == BYTES
    decoding = document.get("decoding", None if ours else {})
    return TtsConfig(
        engine=engine,
        shape=shape,
        sampling=build(SAMPLINGS[engine], document.get("sampling", {})),
        decoding=None if decoding is None else build(Decoding, decoding),
        text=document.get("text", BYTES),
        codec=document.get("codec", ""),
        codec_name=document.get("codec_name", ""),
        name=document.get("name", ""),
        quantization=document.get("quantization", {}),
    )


def build_ar(values: dict[str, Any]) -> ArConfig:
    """The section of an autoregressive model, as `guards.fields.build` reads it, but what it says for transformers
    is handed on as it is."""
    if not isinstance(values, dict):
        raise InputError("config: model.ar is a section with keys and values")
    numbers = {key: value for key, value in values.items() if key != "transformers"}
    for name, value in numbers.items():
        kind = type(ArConfig.__dataclass_fields__[name].default) if name in ArConfig.__dataclass_fields__ else None
        if kind is not None and type(value) is not kind:
            raise InputError(f"config: {name} must be {kind.__name__}, not {value!r}")
    known = {key: value for key, value in numbers.items() if key in ArConfig.__dataclass_fields__}
    return ArConfig(transformers=values.get("transformers", {}), **known)
