"""The autoregressive model: transformers generates with what was trained, and it keeps its limits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tadicodec.errors import InputError
from tadicodec.tts.ar_sampler import ArSampling, KeepSpeaking, generate_codes, limits, looping
from tadicodec.tts.autoregressive import SpeechLM, lay_out
from tadicodec.tts.folder import build_network, load_tts, save_tts
from tadicodec.tts.script import Script
from tadicodec.tts.vocabulary import byte_vocabulary
from tests.tts.language import config_of

GREEDY = ArSampling(top_k=1)


def model(seed: int = 0, **changes: object) -> SpeechLM:
    torch.manual_seed(seed)
    network = build_network(config_of("ar", **changes)).eval()
    torch.nn.init.normal_(network.codes.outer.weight, std=0.1)  # so that codes differ
    return network


def logits_of(network: SpeechLM, text: Tensor, codes: Tensor, starts: Tensor) -> Tensor:
    """[T + 1, codes + 1]"""
    ids, positions = lay_out(network.vocabulary, text, codes, starts)
    spoken = torch.arange(len(ids))[None] >= len(text)
    none = torch.zeros(1, len(ids), dtype=torch.bool)
    with torch.no_grad():
        return network(ids[None], positions[None], ~none, spoken, none)


def test_layout_stands_on_the_time_axis() -> None:
    vocabulary = byte_vocabulary(64)
    ids, positions = lay_out(vocabulary, torch.tensor([97, 98]), torch.tensor([5, 0]), torch.tensor([0.5, 1.25]))
    assert ids.tolist() == [97, 98, 256, 258 + 5, 258]
    assert positions.tolist() == [0.5, 1.25, -1.0, 0.0, 1.0]
    assert lay_out(vocabulary, torch.tensor([97]), torch.tensor([5]), None)[1].tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", ["llama", "qwen2", "phi3"])
def test_generation_is_the_models_own_choice(kind: str) -> None:
    """Greedy generation with the cache picks at every step what the training network finds most probable."""
    network = model(model_type=kind, **({"pad_token_id": 0} if kind == "phi3" else {}))
    text, starts, prompt = torch.tensor([97, 98, 99]), torch.tensor([0.0, 1.5, 3.0]), torch.tensor([7, 9])
    script = Script(text, starts, tokens=6, fixed=True)
    made = generate_codes(network.expanded(), network.vocabulary, script, prompt, GREEDY, torch.Generator())
    assert made.shape == (6,)
    logits = logits_of(network, text, torch.cat([prompt, made]), starts)[len(prompt) : -1, :-1]
    assert torch.equal(logits.argmax(-1), made)


@pytest.mark.parametrize(
    "changes", [{"deep_norm": "glm"}, {"deep_norm": "deepnet", "float32_softmax": True}, {"float32_softmax": True}]
)
def test_stabilised_models_generate_what_they_find_probable(changes: dict, tmp_path: Path) -> None:
    config = config_of("ar", num_key_value_heads=1)
    config = replace(config, shape=replace(config.shape, **changes))
    torch.manual_seed(0)
    network = build_network(config).eval()
    torch.nn.init.normal_(network.codes.outer.weight, std=0.1)
    text, starts, prompt = torch.tensor([97, 98, 99]), torch.tensor([0.0, 1.5, 3.0]), torch.tensor([7, 9])
    script = Script(text, starts, tokens=6, fixed=True)
    made = generate_codes(network.expanded(), network.vocabulary, script, prompt, GREEDY, torch.Generator())
    logits = logits_of(network, text, torch.cat([prompt, made]), starts)
    assert torch.equal(logits[len(prompt) : -1, :-1].argmax(-1), made)
    save_tts(tmp_path / "model", config, network)
    loaded, again = load_tts(tmp_path / "model")
    assert loaded.shape == config.shape
    assert torch.equal(logits_of(again, text, torch.cat([prompt, made]), starts), logits)
    if "deep_norm" not in changes:  # the softmax's precision is all that differs
        plain = build_network(replace(config, shape=replace(config.shape, float32_softmax=False))).eval()
        plain.load_state_dict(network.state_dict())
        torch.testing.assert_close(logits_of(plain, text, torch.cat([prompt, made]), starts), logits)


def test_deep_norm_needs_blocks_it_knows() -> None:
    with pytest.raises(InputError, match="Llama's or Qwen's"):
        config = config_of("ar", model_type="phi3", pad_token_id=0)
        build_network(replace(config, shape=replace(config.shape, deep_norm="glm")))
    with pytest.raises(InputError, match="glm, deepnet"):
        replace(config_of("ar").shape, deep_norm="x")


def test_positions_matter() -> None:
    network = model()
    text, codes = torch.tensor([97, 98]), torch.tensor([1, 2, 3])
    one, other = (logits_of(network, text, codes, torch.tensor(starts)) for starts in ([0.0, 1.0], [0.0, 2.5]))
    assert not torch.allclose(one, other)


def test_padding_changes_nothing() -> None:
    network = model()
    lines = [
        (torch.tensor([97, 98, 99]), torch.tensor([1, 2]), torch.tensor([0.0, 0.5, 1.0])),
        (torch.tensor([100]), torch.tensor([3, 4, 5, 6]), torch.tensor([1.0])),
    ]
    rows = [lay_out(network.vocabulary, *line) for line in lines]
    size = max(len(ids) for ids, _ in rows)
    pad = torch.nn.functional.pad
    ids = torch.stack([pad(ids, (0, size - len(ids))) for ids, _ in rows])
    positions = torch.stack([pad(places, (0, size - len(places))) for _, places in rows])
    mask = torch.tensor([[i < len(row) for i in range(size)] for row, _ in rows])
    spoken = mask & (torch.arange(size)[None] >= torch.tensor([[len(text)] for text, _, _ in lines]))
    with torch.no_grad():
        together = network(ids, positions, mask, spoken, torch.zeros_like(mask))
    alone = torch.cat([logits_of(network, *line) for line in lines])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_saved_is_loaded(tmp_path: Path) -> None:
    network, config = model(), config_of("ar", codec="abc")
    save_tts(tmp_path / "model", config, network)
    read, loaded = load_tts(tmp_path / "model")
    assert read == config and loaded.state_dict().keys() == network.state_dict().keys()
    given = (torch.tensor([97]), torch.tensor([1, 2]), torch.tensor([0.0]))
    assert torch.equal(logits_of(network, *given), logits_of(loaded, *given))


def test_lengths_follow_the_text_or_the_caller() -> None:
    script = Script(torch.tensor([97]), None, tokens=20)
    assert limits(script) == (10, 36) and limits(replace(script, fixed=True)) == (20, 20)
    network = model()
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        timed = Script(torch.tensor([97]), torch.tensor([0.0]), tokens=4)
        made = generate_codes(network.expanded(), network.vocabulary, timed, torch.tensor([1]), ArSampling(), generator)
        assert 2 <= len(made) <= 12


def test_seeds_repeat_and_differ_and_leave_the_global_state_alone() -> None:
    network, script = model(), Script(torch.tensor([97]), torch.tensor([0.0]), tokens=12, fixed=True)
    lm, before = network.expanded(), torch.get_rng_state()
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 0, 1)]
    one, same, other = (
        generate_codes(lm, network.vocabulary, script, torch.tensor([1]), ArSampling(), generator)
        for generator in generators
    )
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(before, torch.get_rng_state())


def test_only_speech_may_follow() -> None:
    vocabulary = byte_vocabulary(4)
    keep = KeepSpeaking(vocabulary, begin=2, shortest=1)
    scores = torch.zeros(1, vocabulary.size)
    first = keep(torch.tensor([[97, 256]]), scores)
    assert torch.isfinite(first[0]).nonzero().flatten().tolist() == [258, 259, 260, 261]
    later = keep(torch.tensor([[97, 256, 258]]), scores)
    assert torch.isfinite(later[0]).nonzero().flatten().tolist() == [257, 258, 259, 260, 261]


def test_loops_are_left() -> None:
    assert looping([5] * 9) == set() and looping([5] * 10) == {5}
    assert looping([1, 2] * 5) == {1} and looping([9, 1, 2, 3] + [1, 2, 3] * 3) == {1}
    assert looping(list(range(40))) == set()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": "no such model"}, "cannot build"),
        ({"model_type": None}, "model_type"),
        ({"hidden_size": 31}, "cannot build"),
    ],
)
def test_impossible_models(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_network(config_of("ar", **change))


@pytest.mark.parametrize("change", [{"top_k": 0}, {"top_p": 1.5}, {"temperature": 0.0}])
def test_impossible_sampling(change: dict[str, float]) -> None:
    with pytest.raises(InputError, match="sampling"):
        ArSampling(**change)
