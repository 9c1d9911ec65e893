"""Channel smoothing: what is hard to round moves from activations to weights, W x = (W s) (x / s)."""

from __future__ import annotations

from torch import Tensor


def smoothing_scale(inputs: Tensor, weight: Tensor, strength: float = 0.5) -> Tensor:
    """The factor of every input channel: max |x|^strength / max |w|^(1 - strength), its geometric mean 1 (SmoothQuant).

    inputs [n, i], weight [o, i] -> [i].
    """
    activity = inputs.abs().amax(0).clamp(min=1e-5)
    size = weight.abs().amax(0).clamp(min=1e-5)
    scale = activity.pow(strength) / size.pow(1 - strength)
    return (scale / scale.log().mean().exp()).clamp(1e-4, 1e4)
