"""Teacher Intervention: do a teacher's signals in the first steps save steps? On an encoder and on 12 causal layers."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from quant_arms import Arm, Setting, quant_config
from quant_language import ByteSubject
from quant_queue import Results, Row, Trial, score, swept
from quant_subjects import EncoderSubject, Subject
from torch import Tensor, nn

from tadicodec.model.transformer import rotary_tables, rotate
from tadicodec.quant.intervention import Interventions
from tadicodec.quant.observe import recorded_outputs, relative_error
from tadicodec.quant.quant_settings import TuneConfig
from tadicodec.quant.tune import Objective

RATES = (3e-4, 1e-3, 3e-3, 1e-2)
POINTS = 20  # of a curve
TEACHER_STEPS = 2  # times an arm's, for the language model


@dataclass(frozen=True)
class How:
    """After how many of 800 steps an arm restarts, whether the teacher's signals stand in for the student's until then,
    and which share of the steps it has in all; its rate falls to zero at the last one."""

    first: int = 0
    intervened: bool = False
    share: float = 1.0


SHORT = ", 70 % of the steps"
PLAIN = "no intervention"
ARMS = {PLAIN: How()}
for count in (60, 120):
    ARMS[f"restart after {count}"] = How(count)
    ARMS[f"{count} intervened"] = How(count, intervened=True)
    ARMS[f"{count} intervened{SHORT}"] = How(count, intervened=True, share=0.7)


class PublishedTerms(Interventions):
    """Interventions with the paper's distillation: errors of attention scores instead of queries' and keys', and of the
    hidden state after every layer. With `silent`, nothing is replaced: only the restart is left."""

    def __init__(self, student: nn.Module, teacher: nn.Module, head_size: int, causal: bool, silent: bool) -> None:
        super().__init__(student, teacher)
        self.head_size, self.causal, self.silent = head_size, causal, silent
        self.own: dict[tuple[str, str], Tensor] = {}
        self.layers = [block.rpartition(".")[0] for block in self.blocks]

    @property
    def intervening(self) -> bool:
        return super().intervening and not self.silent

    def learn(self, block: str, part: str):  # noqa: ANN201
        """As its parent's, but queries and keys are compared by the scores they make."""
        inner = super().learn(block, part)

        def hook(module: nn.Module, given: tuple, out: Tensor) -> Tensor | None:
            if not self.student.training or (block, part) not in self.taught:
                return None
            before = len(self.errors)
            replaced = inner(module, given, out)
            if part != self.names.output:
                del self.errors[before:]
                self.own[block, part] = out
            else:
                parts = (self.names.query, self.names.key)
                own, clean = (self.scores(*(of[block, p] for p in parts)) for of in (self.own, self.taught))
                self.errors.append(relative_error(own, clean))
            return None if self.silent else replaced

        return hook

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        """Queries and keys [B, S, H] -> attention scores of the places that are seen."""
        heads = [part.unflatten(-1, (-1, self.head_size)).transpose(1, 2) for part in (q, k)]
        rotary = rotary_tables(torch.arange(q.shape[1])[None], self.head_size)
        q, k = (rotate(part, rotary) for part in heads)
        found = q @ k.transpose(2, 3) * self.head_size**-0.5
        seen = torch.ones(found.shape[-2:], dtype=torch.bool)
        return found[..., seen.tril() if self.causal else seen]


class Taught(Subject):
    """A subject whose loss has the terms of an intervention."""

    def __init__(self, subject: EncoderSubject | ByteSubject) -> None:
        self.subject, self.network = subject, subject.network
        self.interventions: PublishedTerms | None = None
        self.held, self.inputs = subject.held, subject.inputs

    def objectives(self, model: nn.Module, generator: torch.Generator) -> Iterator[Objective]:
        given = self.interventions
        assert given is not None
        while True:
            batch = self.subject.draw(generator)
            given.start()
            with torch.no_grad(), recorded_outputs(self.network, given.layers) as taught:
                answers = self.network(batch)

            def loss(batch: Tensor = batch, answers: Tensor = answers, taught: dict = taught) -> Tensor:
                with recorded_outputs(model, given.layers) as own:
                    error = self.subject.error(model, batch, answers)
                hidden = [relative_error(own[name], taught[name]) for name in given.layers]
                return error + torch.stack(hidden).mean() + given.loss()

            yield loss


def intervention(setting: Setting, results: Results) -> Iterator[Trial]:
    """Ternary weights with one scale a matrix and 8-bit activations. A control has the same steps, terms and restart,
    but no teacher's signals."""
    language = ByteSubject(setting.train, setting.valid, results.folder, TEACHER_STEPS * setting.steps)
    encoder = EncoderSubject(setting.codec, setting.train, setting.valid, setting.frames)
    shape = setting.codec.config.autoencoder
    networks = {
        "12 causal layers": (language, language.network.lm.shape.head_size, True),
        "encoder": (encoder, shape.hidden_size // shape.num_heads, False),
    }

    def run(arm: str, rate: float, seed: int, sweep: bool) -> Row:
        name, _, kind = arm.partition(", ")
        (subject, head_size, causal), how = networks[name], ARMS[kind]
        whole = setting.shortened(sweep)
        steps, first = max(round(how.share * whole), 1), how.first * whole // 800
        tune = TuneConfig(steps=steps, lr=rate, weight_decay=0.01, seed=seed, intervene=first)
        config = quant_config("teacher_intervention", 2, activation={"bits": 8, "symmetric": True})
        taught = Taught(subject)
        made = Arm(taught, config, tune).prepare()
        with PublishedTerms(made.model, taught.network, head_size, causal, not how.intervened) as interventions:
            taught.interventions = interventions
            return made.train(0 if sweep else max(steps // POINTS, 1), interventions)

    for name in networks:
        yield from swept(results, {f"{name}, {kind}": RATES for kind in ARMS}, setting.seeds, run, finalists=2)


def against_controls(rows: list[Row]) -> str:
    """The final loss of each intervened arm over that of the control with the same restart and of the plain one, which
    have all of the steps, as median and range over seeds, at best rates; and the steps to the plain one's last loss."""
    final = [row for row in rows if not row["sweep"]]
    firsts = sorted((row for row in final if row["seed"] == 0), key=score, reverse=True)
    rates = {row["arm"]: row["rate"] for row in firsts}  # the best comes last
    chosen = {(row["arm"], row["seed"]): row for row in final if row["rate"] == rates.get(row["arm"])}
    found = []
    for arm in dict.fromkeys(name for name, _ in chosen):
        network, _, kind = arm.partition(", ")
        if not ARMS[kind].intervened:
            continue
        plain = f"{network}, {PLAIN}"
        for control in (f"{network}, restart after {ARMS[kind].first}", plain):
            pairs = pairs_of(chosen, arm, control)
            if ratios := [score(own) / score(other) for own, other in pairs]:
                said = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                found.append(f"- {arm}: {said} times the loss of “{control}”, {len(ratios)} seeds")
        if steps := [steps_to(own, score(other)) for own, other in pairs_of(chosen, arm, plain)]:
            found.append(f"- {arm}: steps to the last loss of “{plain}”: {', '.join(map(str, steps))}")
    return "\n".join(found)


def pairs_of(chosen: dict[tuple[str, int], Row], arm: str, control: str) -> list[tuple[Row, Row]]:
    """The rows of an arm, each with the control's of the same seed, where there is one."""
    seeds = [seed for name, seed in chosen if name == arm and (control, seed) in chosen]
    return [(chosen[arm, seed], chosen[control, seed]) for seed in seeds]


def steps_to(row: Row, loss: float) -> int | str:
    """The first step of a curve whose held-out loss is no higher."""
    return next((step for step, value in row.get("curve", ()) if value <= loss), "never")
