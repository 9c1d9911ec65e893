"""What a codec's training weighs, drops and damages."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tadicodec.errors import InputError
from tadicodec.guards.fields import require_range

PARTS = {  # which weights have nothing to train where a part learns alone
    "all": (),
    "decoder": ("ctc", "transcript", "early"),
    "aligner": ("transcript", "early", "hear", "speaker", "voice"),
    "transcriber": ("ctc", "early", "hear", "speaker", "voice"),
}
ALONE = {"aligner": "ctc", "transcriber": "transcript"}  # what learns by its own loss and no other


@dataclass(frozen=True)
class CodecObjective:
    """Weights and conditioning dropout; defaults are the published training's where it defines them."""

    entropy_weight: float = 1.0
    ctc_weight: float = 0.0  # characters from the quantized sequence (models with an aligner)
    transcript_weight: float = 0.0  # characters from the encoder's frames (models with a transcriber)
    early_weight: float = 0.0  # characters from the middle of the encoder (intermediate CTC, Lee & Watanabe 2021)
    prompt_probability: float = 0.8  # of an item starting with a clean prompt
    prompt_max: float = 0.4  # share of the frames
    prompt_min: int = 5  # frames
    token_drop: float = 0.2  # of an item decoding without its tokens
    text_drop: float = 0.0  # of an item decoding without its text
    misread: float = 0.0  # of an item whose text is what the aligner reads in its codes, errors and all
    both_drop: float = 0.0  # of an item decoding with neither, which is what guidance compares with
    prior_weight: float = 1.0  # of the prior's error (models with one)
    hear_weight: float = 0.0  # of how differently a resting encoder hears the prior's mel and the recording's
    speaker_weight: float = 0.0  # of not telling the corpus's speakers apart by the prompt's voice
    voice_weight: float = 0.0  # of how differently the voices of the prior's mel and of the recording are summed up
    prompt_degrade: float = 0.0  # probability of an item whose prompt is as the encoder hears it; what follows is clean
    part: str = "all"  # "decoder": encoder, quantizer and aligner stay as they are, so that codes stay valid ("decoder
    # continued training" of the paper); "aligner", "transcriber": that alone learns
    time_sampling: str = "uniform"  # "logit_normal"; "squared" (t = u^2) dwells on the noisy end, where codes and text
    # decide; the rest of the path is denoising, which is learned early

    def __post_init__(self) -> None:
        weights = ("entropy", "ctc", "transcript", "early", "prior", "hear", "speaker", "voice")
        require_range("objective", self, 0, math.inf, "prompt_min", *(f"{name}_weight" for name in weights))
        shares = ("prompt_probability", "prompt_max", "prompt_degrade", "misread")
        require_range("objective", self, 0, 1, *shares, "token_drop", "text_drop", "both_drop")
        if self.part not in PARTS:
            raise InputError(f"objective: part is one of {', '.join(PARTS)}")
        if self.misread > 0 and self.part != "decoder":
            raise InputError("objective: misread is for part 'decoder', whose aligner does not change any more")
        for name in PARTS[self.part]:
            if getattr(self, f"{name}_weight") > 0:
                raise InputError(f"objective: {name}_weight has nothing to train where only the {self.part} learns")
        loss = ALONE.get(self.part)
        if loss and getattr(self, f"{loss}_weight") == 0:
            raise InputError(f"objective: the {self.part}, where it learns alone, needs a {loss}_weight, such as 1")
        if self.voice_weight > 0 and self.speaker_weight == 0:
            raise InputError("objective: voice_weight compares what speaker_weight trains; give that, too")
        if self.time_sampling not in ("uniform", "logit_normal", "squared"):
            raise InputError("objective: time_sampling is 'uniform', 'logit_normal' or 'squared'")
