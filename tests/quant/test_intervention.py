"""Teacher Intervention's hooks: identities, detached branches, and nothing left in evaluation."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.errors import InputError
from tadicodec.quant.intervention import MODES, Interventions, mode_at
from tadicodec.quant.observe import recorded_outputs
from tests.integers.test_primitives import normal


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for part in "qkvo":
            setattr(self, f"{part}_proj", nn.Linear(8, 8, bias=False))

    def map(self, q: Tensor, k: Tensor) -> Tensor:
        return ((q @ k.transpose(-1, -2)) / 8**0.5).softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        return self.o_proj(self.map(self.q_proj(x), self.k_proj(x)) @ self.v_proj(x))


class Network(nn.Module):
    """Two pre-norm blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.attentions = nn.ModuleList(Attention() for _ in range(2))
        self.mlps = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for attention, mlp in zip(self.attentions, self.mlps):
            x = x + attention(F.rms_norm(x, (8,)))
            x = x + mlp(F.rms_norm(x, (8,)))
        return x


def pair() -> tuple[Network, Network]:
    torch.manual_seed(0)
    teacher = Network().eval().requires_grad_(False)
    student = copy.deepcopy(teacher).requires_grad_().train()
    with torch.no_grad():
        for p in student.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return student, teacher


def test_gradual_schedule() -> None:
    assert [mode_at(step, 12, "gradual") for step in range(14)] == ["output"] * 2 + ["context"] * 2 + ["map"] * 8 + [
        None
    ] * 2
    assert mode_at(3, 4, "output") == "output" and mode_at(4, 4, "output") is None


@pytest.mark.parametrize("mode", MODES)
def test_a_teacher_does_not_change_itself(mode: str) -> None:
    _, teacher = pair()
    student, x = copy.deepcopy(teacher).train(), normal(3, 5, 8)
    with Interventions(student, teacher) as interventions:
        interventions.mode = mode
        expected = teacher(x)
        torch.testing.assert_close(student(x), expected)
        assert float(interventions.loss()) == pytest.approx(0, abs=1e-10)


def test_map_intervention_is_the_teachers_map() -> None:
    student, teacher = pair()
    x = normal(2, 5, 8)
    with recorded_outputs(teacher, ["attentions.0.q_proj", "attentions.0.k_proj"]) as seen:
        teacher(x)
    attention, normed = student.attentions[0], F.rms_norm(x, (8,))
    chart = attention.map(seen["attentions.0.q_proj"], seen["attentions.0.k_proj"])
    expected = attention.o_proj(chart @ attention.v_proj(normed))
    with Interventions(student, teacher) as interventions, recorded_outputs(student, ["attentions.0"]) as own:
        interventions.mode = "map"
        teacher(x)
        student(x)
    assert torch.equal(own["attentions.0"], expected)


@pytest.mark.parametrize("mode", MODES)
def test_overridden_branches_teach_nothing_to_what_comes_before(mode: str) -> None:
    student, teacher = pair()
    x = normal(2, 5, 8)
    with Interventions(student, teacher) as interventions:
        interventions.mode = mode
        teacher(x)
        student(x)
        interventions.loss().backward()  # only the attentions' own errors
    first = student.attentions[0]
    assert first.q_proj.weight.grad is not None and first.k_proj.weight.grad is not None
    assert student.attentions[1].q_proj.weight.grad is not None
    # Through detached inputs, the second attention's errors reach neither the first feed-forward part nor its values.
    reaches = student.mlps[0].weight.grad is not None
    assert reaches == (mode == "map")  # there, values still see live inputs


def test_output_intervention_cleans_the_input_of_the_feed_forward_part() -> None:
    student, teacher = pair()
    x = normal(2, 5, 8)
    with Interventions(student, teacher) as interventions:
        interventions.mode = "output"
        with recorded_outputs(teacher, ["attentions.0"]) as clean:
            teacher(x)
        with recorded_outputs(student, ["attentions.0"]) as own:
            out = student(x)
    assert torch.equal(own["attentions.0"], clean["attentions.0"])
    out.sum().backward()
    assert student.attentions[0].o_proj.weight.grad is None and student.mlps[0].weight.grad is not None


def test_nothing_happens_in_evaluation_and_nothing_is_left() -> None:
    student, teacher = pair()
    x = normal(2, 5, 8)
    plain = student(x)
    with Interventions(student, teacher) as interventions:
        interventions.mode = "output"
        teacher(x)
        assert torch.equal(student.eval()(x), plain) and interventions.loss() == 0.0
        interventions.mode = None
        assert torch.equal(student.train()(x), plain) and float(interventions.loss()) > 0
    assert torch.equal(student(x), plain)
    assert not any(m._forward_hooks or m._forward_pre_hooks for net in (student, teacher) for m in net.modules())


def test_networks_without_attention_are_refused() -> None:
    with pytest.raises(InputError, match="q_proj"):
        Interventions(nn.Linear(2, 2), nn.Linear(2, 2))
