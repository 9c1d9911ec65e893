"""What to do to a codec's network and vocoder, put together from a recipe and from where its method starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tadicodec.errors import InputError
from tadicodec.quant.decode_loss import find_judge
from tadicodec.quant.methods import Method, find_method
from tadicodec.quant.quant_settings import QuantConfig, TuneConfig

# Blocks at the wanted bits, every other matrix in 8, and what touches the codes themselves as it is.
CODEC = {"layers": ["*_proj"], "other_bits": 8, "keep": ["vq_*"]}
VOCODER = {"bits": 8, "keep": ["head.*"]}
SMALL_GROUP = 32  # below 8 bits one scale a row is coarse


@dataclass(frozen=True)
class Job:
    """What to do to the codec's network and to its vocoder, and how to train."""

    model: QuantConfig
    vocoder: QuantConfig
    tune: TuneConfig
    tabulate: bool = False  # time gains for the model's own solver settings only

    @classmethod
    def from_sections(cls, sections: dict[str, dict[str, Any]], *, tabulate: bool = False) -> Job:
        """A job from a recipe's sections; what they do not say is where the method starts from.

        Raises:
            InputError: a value out of range, a vocoder that would have to train, or a loss that does not go with the
                method.
        """
        given = sections.get("quantization", {})
        method = find_method(given.get("method", QuantConfig.method))
        wanted = {**CODEC, **method.quantization, **given}
        if wanted.get("bits") in range(2, 8):
            wanted.setdefault("group", SMALL_GROUP)
        vocoder = QuantConfig.from_dict({**VOCODER, **sections.get("vocoder", {})})
        if find_method(vocoder.method).trains:
            raise InputError("quantization: the vocoder is rounded after training (method glm)")
        tune = TuneConfig.from_dict({**method.tuning, **sections.get("tuning", {})})
        if method.intervenes and tune.loss != "imitate":
            raise InputError(f"tuning: {given['method']} learns from its teacher; use loss: imitate")
        if tune.judged:
            if method.trains and method.load_layer().gradients:
                raise InputError(
                    f"tuning: {given['method']} needs a loss with gradients, not {tune.loss}; use zero_qat"
                )
            find_judge(tune.loss)
        return cls(QuantConfig.from_dict(wanted), vocoder, tune, tabulate)

    @property
    def method(self) -> Method:
        """The entry of `quant.methods` that the network is quantized by."""
        return find_method(self.model.method)
