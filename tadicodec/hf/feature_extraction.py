"""Recordings to the padded batches that the model takes, as transformers' other codecs do it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import BatchFeature, SequenceFeatureExtractor

SAMPLING_RATE = 24000


class TadicodecFeatureExtractor(SequenceFeatureExtractor):
    """Pads mono recordings at 24 kHz on the right.

    Args:
        feature_size: channels, always 1.
        sampling_rate: samples a second of every recording.
        padding_value: what a recording is filled up with; the padding mask keeps it out of the codes.
    """

    model_input_names = ["input_values", "padding_mask"]

    def __init__(
        self, feature_size: int = 1, sampling_rate: int = SAMPLING_RATE, padding_value: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)

    def __call__(
        self,
        raw_audio: np.ndarray | Sequence[Any],
        *,
        padding: bool | str = True,
        max_length: int | None = None,
        truncation: bool = False,
        return_tensors: str | None = None,
        sampling_rate: int | None = None,
    ) -> BatchFeature:
        """One recording [N], or a list of them, to `input_values` [B, 1, N] and `padding_mask` [B, N], 1 where there
        is sound.

        sampling_rate: of the recordings; give it, so that another than the model's is noticed. return_tensors: "pt" or
        "np".

        Raises:
            ValueError: another sampling rate, more than one channel, or a recording without samples.
        """
        if sampling_rate is not None and sampling_rate != self.sampling_rate:
            raise ValueError(
                f"the model takes {self.sampling_rate} Hz, these recordings have {sampling_rate}; resample them first"
            )
        many = isinstance(raw_audio, (list, tuple)) and not np.isscalar(raw_audio[0])
        waves = [np.asarray(wave, dtype=np.float32) for wave in (raw_audio if many else [raw_audio])]
        if any(wave.ndim != 1 or not wave.size for wave in waves):
            raise ValueError("a recording is one channel [N] with at least one sample; average its channels first")
        padded = self.pad(
            BatchFeature({"input_values": waves}),
            padding=padding,
            max_length=max_length,
            truncation=truncation,
            return_attention_mask=True,
        )
        padded["padding_mask"] = padded.pop("attention_mask")
        padded["input_values"] = [np.asarray(wave)[None] for wave in padded["input_values"]]
        return padded if return_tensors is None else padded.convert_to_tensors(return_tensors)
