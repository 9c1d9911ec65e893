"""RoSTE on a language model: weights, activations, keys and values in 4 bits, fine-tuned on a new voice."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from quant_arms import Arm, Setting, quant_config
from quant_language import VoiceSubject
from quant_queue import Results, Row, Trial, swept

from tadicodec.quant.conversion import each_trained
from tadicodec.quant.quant_settings import TuneConfig
from tadicodec.tts.cache import CacheFormat

RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3)
WEIGHTS_ALONE = "8-bit weights, nothing else rounded"
ACTIVATION = {"bits": 4, "clip": 0.95, "floor": True}


def roste(setting: Setting, results: Results) -> Iterator[Trial]:
    """Rotations nowhere, everywhere (keys too), or where they lower the error; and 8-bit weights fine-tuned alike."""
    subject = VoiceSubject(setting.codec, setting.adapting, setting.voice)

    def rounded(arm: str, tune: TuneConfig) -> Arm:
        rotation = arm.removeprefix("rotations: ")
        made = Arm(subject, quant_config("roste", 4, rotation=rotation, activation=ACTIVATION), tune).prepare()
        made.model.network.lm.cache = CacheFormat(4, turned=rotation != "none")
        if rotation == "adaptive":
            made.model.network.lm.cache = better_cache(made)
        return made

    def run(arm: str, rate: float, seed: int, sweep: bool) -> Row:
        tune = TuneConfig(setting.shortened(sweep), seed, rate)
        if arm == WEIGHTS_ALONE:
            config = quant_config("roste", 8, rotation="none", activation={"bits": 0})
            return Arm(subject, config, tune).prepare().train()
        made = rounded(arm, tune)
        layers = each_trained(made.model)
        turned = sum(getattr(layer, "signs", None) is not None for layer in layers)
        return {"rotated": turned, "layers": len(layers), **made.train()}

    yield Trial("float, not fine-tuned", 0, lambda: subject.held(subject.network))
    arms = ("rotations: none", "rotations: all", "rotations: adaptive", WEIGHTS_ALONE)
    yield from swept(results, dict.fromkeys(arms, RATES), setting.seeds, run, finalists=3)


@torch.no_grad()
def better_cache(arm: Arm) -> CacheFormat:
    """Keys turned or not, whichever has the lower loss on a few training clips before training."""
    losses = {}
    for turned in (False, True):
        arm.model.network.lm.cache = CacheFormat(4, turned)
        found = arm.subject.objectives(arm.model, torch.Generator().manual_seed(0))
        losses[turned] = sum(float(next(found)()) for _ in range(8))
    return CacheFormat(4, min(losses, key=lambda turned: losses[turned]))
