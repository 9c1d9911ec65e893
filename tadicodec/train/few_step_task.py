"""Few-step fine-tuning: a decoder learns to reach in a few unguided evaluations the mel that its teacher reaches in
many.

The teacher is the same codec before, by its own solver with guidance (progressive and guidance distillation, Salimans &
Ho 2022, Meng et al. 2023, taken end to end: both solve from the same noise, and the mels are compared). Only the
network that runs at every step learns. Encoder, quantizer, aligner and prior stay, so codes stay valid.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from tadicodec.checkpoint import save_model
from tadicodec.codec import Codec
from tadicodec.config import CodecConfig, InferenceConfig, SolverConfig
from tadicodec.errors import InputError
from tadicodec.guards.fields import require_range
from tadicodec.model import flow
from tadicodec.model.decoder import Conditioning
from tadicodec.model.field import Field
from tadicodec.model.flow import solve
from tadicodec.model.fused import unfuse
from tadicodec.train.codec_network import CodecNetwork, heard_error, mean_error
from tadicodec.train.codec_objective import CodecObjective
from tadicodec.train.codec_task import CodecTask
from tadicodec.train.task import Batch, Losses

STEPWISE = ("in_linear", "out_linear", "diff_step_mlp", "layers", "norm")  # of the decoder: what runs at every step


@dataclass(frozen=True)
class FewStepObjective:
    """In how many steps the trained decoder should do, and what its training hides."""

    steps: int = 2  # evaluations of the decoder that is trained; they need no guidance
    prompt_probability: float = 0.5  # of an item starting with a clean prompt
    token_drop: float = 0.0  # of an item decoding without its tokens
    text_drop: float = 0.1  # of an item decoding without its text
    hear_weight: float = 0.0  # of how differently the encoder hears the mel and the recording's

    def __post_init__(self) -> None:
        require_range("objective", self, 1, math.inf, "steps")
        require_range("objective", self, 0, math.inf, "hear_weight")
        require_range("objective", self, 0, 1, "prompt_probability", "token_drop", "text_drop")

    def inference(self, taught: InferenceConfig) -> InferenceConfig:
        """What the trained model does when it is not told otherwise."""
        return replace(taught, solver=self.solver(taught.solver))

    def solver(self, taught: SolverConfig) -> SolverConfig:
        """The teacher's way from noise to mel, in fewer steps and without guidance."""
        return replace(taught, steps=self.steps, guidance=1.0, method="euler")


class FewStepNetwork(CodecNetwork):
    """The copy of the teacher that learns; `forward` is the whole loss."""

    def __init__(self, config: CodecConfig, objective: CodecObjective, teacher: Codec, few: FewStepObjective) -> None:
        if config.quantization.get("model"):
            raise InputError(f"{teacher.name}: its network is quantized; fine-tune the one it was made from")
        super().__init__(config, objective)
        self.codec.load_state_dict(teacher.model.state_dict())
        for name, child in self.codec.decoder.named_children():
            child.requires_grad_(name in STEPWISE)
        self.taught = teacher.limits.solver()
        self.solver = few.solver(self.taught)
        self.hears = few.hear_weight > 0
        self.teacher = (copy.deepcopy(teacher.model),)  # in a tuple: neither trained nor saved
        unfuse(self.teacher[0])

    def learns(self, name: str) -> bool:
        """Whether a part of the autoencoder is trained."""
        return name == "decoder"

    def forward(self, batch: Batch, draws: dict[str, Tensor]) -> dict[str, Tensor]:
        """{"mel": mean distance to the teacher's mel, and perhaps "heard": `heard_error`}."""
        with torch.no_grad():
            given, bare = self.branches(batch, draws)
            target = self.walk(batch, draws, self.teach(given, bare), self.taught)
        mel = self.walk(batch, draws, lambda x, time, _: (self.velocity(x, time, given), None), self.solver)
        terms = {"mel": mean_error((mel.float() - target.float()).abs(), batch, draws["prompt"])}
        if self.hears:
            terms["heard"] = heard_error(self.codec.encoder, mel, batch, draws["prompt"])
        return terms

    def branches(self, batch: Batch, draws: dict[str, Tensor]) -> tuple[Conditioning, Conditioning]:
        """What the decoder is told, and what it is told for guidance, which is nothing but the prompt."""
        quantized, times = self.known(batch)
        condition = self.codec.condition(quantized, batch["lengths"] // self.codec.config.down_sample_factor)
        nothing = {"keep_tokens": torch.zeros_like(draws["keep_tokens"]), "keep_text": draws["keep_text"] * 0}
        return (
            self.prepare(batch, draws, condition, times),
            self.prepare(batch, {**draws, **nothing}, condition, times),
        )

    def teach(self, given: Conditioning, bare: Conditioning) -> Field:
        """The teacher's velocity field."""
        teacher = self.teacher[0].to(given.frames.device)
        return Field(
            teacher.decoder, [given, bare] if self.taught.guided else [given], flow.evaluation_times(self.taught)
        )

    def velocity(self, x: Tensor, time: float, given: Conditioning) -> Tensor:
        """The learner's velocity [B, F, 128] of x [B, F, 128] at a time."""
        return self.codec.decoder(x, torch.full((len(x),), time, device=x.device), given)

    def walk(self, batch: Batch, draws: dict[str, Tensor], field: flow.Field, solver: SolverConfig) -> Tensor:
        """The mel [B, F, 128] that a velocity field reaches from the step's noise."""
        held = {"prompt": batch["mel"], "lengths": batch["lengths"], "prompt_lengths": draws["prompt"]}
        return solve(field, draws["noise"], solver, **held)


class FewStepTask(CodecTask):
    """The task of `recipes/codec/few_step.yaml`: one network, one optimiser."""

    def __init__(self, teacher: Codec, few: FewStepObjective) -> None:
        rules = CodecObjective(
            part="decoder",
            entropy_weight=0.0,
            prompt_probability=few.prompt_probability,
            token_drop=few.token_drop,
            text_drop=few.text_drop,
        )
        self.config = replace(teacher.config, inference=few.inference(teacher.config.inference))
        self.objective, self.vocoder, self.tokenizer = rules, teacher.vocoder, tokenizer_of(teacher)
        self.weights = {"mel": 1.0, "heard": few.hear_weight}
        network = FewStepNetwork(self.config, rules, teacher, few)
        self.networks, self.picture_solver = {"codec": network}, network.solver

    def losses(self, batch: Batch, generator: torch.Generator) -> Losses:
        """Yields the loss of the decoder once a step, as `Task.losses` says."""
        terms = self.networks["codec"](batch, self.draw(batch, generator))
        loss = sum((self.weights[name] * term for name, term in terms.items()), torch.zeros(()))
        yield "codec", loss, {name: term.detach() for name, term in terms.items()}

    def export(self, network: torch.nn.Module, folder: Path) -> None:
        """Write a complete model: the trained decoder, and the vocoder that it came with."""
        weights = {
            "model.safetensors": cast(FewStepNetwork, network).codec.state_dict(),
            "vocoder/model.safetensors": self.vocoder.state_dict(),
        }
        save_model(folder, self.config, weights, tokenizer=self.tokenizer, overwrite=True)


def tokenizer_of(codec: Codec) -> Path | None:
    """The folder of a codec's tokenizer; None where it has none."""
    folder = None if codec.folder is None else codec.folder / "text_tokenizer"
    return folder if folder is not None and folder.is_dir() else None
