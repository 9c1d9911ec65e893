"""Our own Llama computes what transformers' does; speaking with the bundled models imports none of transformers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tadicodec.tts.ar_sampler import ArSampling, generate_codes
from tadicodec.tts.autoregressive import ArConfig, SpeechLM, build_lm
from tadicodec.tts.folder import find_tts_model, load_tts
from tadicodec.tts.llama import Llama, LlamaShape
from tadicodec.tts.script import Script

ROOT = Path(__file__).parents[2]
SHAPE = {"model_type": "llama", "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3}
SHAPE |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "attention_dropout": 0.1}


def pair() -> tuple[SpeechLM, SpeechLM]:
    """The same weights in transformers' Llama and in ours."""
    torch.manual_seed(0)
    config = ArConfig(SHAPE, codebook_size=64, code_features=16, duration_size=32)
    theirs, ours = SpeechLM(config).eval(), SpeechLM(config, inference=True).eval()
    for parameter in theirs.parameters():  # norms start as ones, vectors small: make every path count
        torch.nn.init.normal_(parameter, std=0.2)
    ours.load_state_dict(theirs.state_dict())
    assert isinstance(ours.lm, Llama) and not isinstance(theirs.lm, Llama)
    return theirs, ours


@torch.no_grad()
def test_a_padded_batch_is_computed_as_transformers_does() -> None:
    theirs, ours = pair()
    ids = torch.randint(0, 320, (3, 11))
    positions = torch.rand(3, 11).cumsum(1) * 3  # fractions of tokens, as text has
    mask = torch.arange(11)[None] < torch.tensor([[11], [7], [4]])
    blank = torch.rand(3, 11) < 0.2
    given = (ids, positions, mask, mask & (torch.arange(11) > 2), blank & mask)
    assert torch.allclose(theirs(*given), ours(*given), atol=2e-5)


@pytest.mark.parametrize("sampling", [ArSampling(), ArSampling(5, 0.7, 0.5), ArSampling(64, 1.0, 1.3)])
def test_the_same_codes_are_drawn(sampling: ArSampling) -> None:
    theirs, ours = pair()
    script = Script(torch.tensor(list(b"one two three")), torch.arange(13) * 0.4, 12)
    prompt = torch.randint(0, 64, (5,))
    for seed in range(3):
        first, second = (
            generate_codes(
                network.expanded(), network.vocabulary, script, prompt, sampling, torch.Generator().manual_seed(seed)
            )
            for network in (theirs, ours)
        )
        assert torch.equal(first, second) and len(first)


def test_the_bundled_model_is_one() -> None:
    config, network = load_tts(find_tts_model(None, "ar"))
    assert isinstance(network.lm, Llama)
    theirs = SpeechLM(config.shape).eval()
    theirs.load_state_dict(network.state_dict())
    ids, places = torch.randint(0, 256, (1, 9)), torch.arange(9.0)[None]
    there = torch.ones(1, 9, dtype=torch.bool)
    with torch.no_grad():
        ours, expected = (one(ids, places, there, there, ~there) for one in (network, theirs))
    assert torch.allclose(ours, expected, atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [{"rope_theta": 1e5}, {"hidden_act": "gelu"}, {"model_type": "qwen3"}, {"attention_bias": True}, {"head_dim": 8}],
)
def test_what_is_not_plain_goes_through_transformers(change: dict[str, object]) -> None:
    assert LlamaShape.of(SHAPE) is not None and LlamaShape.of(SHAPE | change) is None
    assert ArConfig(SHAPE, deep_norm="glm").llama is None and ArConfig(SHAPE, float32_softmax=True).llama is None
    config = ArConfig({**SHAPE, **change}, codebook_size=64, code_features=16, duration_size=32)
    if "model_type" not in change:
        network = SpeechLM(config, inference=True)
        assert type(network.lm).__module__.startswith("transformers") and build_lm(config, 4)


@pytest.mark.parametrize("engine", ["masked", "ar"])
def test_bundled_models_speak_without_transformers(engine: str, tmp_path: Path) -> None:
    """Nor torch's compiler, nor sympy: each takes longer than a sentence takes to be said."""
    code = (
        "import sys\nfrom tadicodec.cli.main import main\n"
        f"code = main(['speak', 'Good morning.', {str(tmp_path / 'out.wav')!r}, '--engine', {engine!r}, "
        "'--prompt', 'samples/austen_2.flac'])\n"
        "print(code, [name for name in ('transformers', 'torch._dynamo', 'sympy', 'scipy') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.stdout.splitlines()[-1] == "0 []", result.stderr
