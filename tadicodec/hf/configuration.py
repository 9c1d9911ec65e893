"""config.json of a codec as a configuration of transformers: the same file, the same sections."""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from tadicodec.config import MODEL_TYPE, CodecConfig


@strict
class TadicodecConfig(PreTrainedConfig):
    """Configuration of a TaDiCodec model.

    Its fields are the sections of a codec's config.json, as `CodecConfig` reads them; None takes the defaults of the
    published model. `sampling_rate`, `codebook_size` and `frame_rate` are named as in transformers' other codecs.
    """

    model_type = MODEL_TYPE

    name: str = ""
    text_tokenizer: str = "bytes"
    inference: dict | None = None
    preprocess: dict | None = None
    model: dict | None = None
    quantization: dict | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        usual = CodecConfig().to_dict()
        self.inference = self.inference or usual["inference"]
        self.preprocess = self.preprocess or usual["preprocess"]
        self.model = self.model or usual["model"]
        self.quantization = self.quantization or {}
        super().__post_init__(**kwargs)

    @classmethod
    def from_codec(cls, config: CodecConfig) -> TadicodecConfig:
        """The configuration of a loaded codec."""
        document = config.to_dict()
        document.pop("model_type")
        return cls(**document)

    def to_codec(self) -> CodecConfig:
        """The configuration as the rest of this package takes it. Raises InputError for values that cannot be."""
        return CodecConfig.from_dict(
            {
                "name": self.name,
                "text_tokenizer": self.text_tokenizer,
                "inference": self.inference,
                "preprocess": self.preprocess,
                "model": self.model,
                "quantization": self.quantization,
            }
        )

    @property
    def sampling_rate(self) -> int:
        """Samples a second of the waves that go in and come out."""
        return self.to_codec().mel.sample_rate

    @property
    def codebook_size(self) -> int:
        """How many codes there are."""
        return self.to_codec().autoencoder.codebook_size

    @property
    def hop_length(self) -> int:
        """Samples of one code."""
        return self.to_codec().mel.hop_size * self.to_codec().autoencoder.down_sample_factor

    @property
    def frame_rate(self) -> float:
        """Codes a second."""
        return self.sampling_rate / self.hop_length

    @property
    def num_quantizers(self) -> int:
        """Codebooks: one."""
        return 1
