"""The masked network: the published one to the letter, ours on top, and what sampling must never do."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tadicodec.errors import InputError
from tadicodec.tts.folder import build_network, load_tts, save_tts
from tadicodec.tts.mask_sampler import MaskSampling, keep_likely, mask_share, sample_masked
from tadicodec.tts.masked import MaskedConfig, MaskedNetwork, Words
from tests.conftest import DATA
from tests.tts.language import config_of

REFERENCE = DATA / "reference" / "mgm"
TOOL = Path(__file__).parents[2] / "tools" / "check_reference.py"


def test_every_golden_tensor_agrees(capsys: pytest.CaptureFixture) -> None:
    assert runpy.run_path(str(TOOL))["check"](REFERENCE)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and not any("FAILED" in line or "not computed" in line for line in lines)


def test_full_size_layout() -> None:
    layout = json.loads((DATA / "full_layout.json").read_text())["mgm"]
    with torch.device("meta"):
        network = MaskedNetwork(MaskedConfig())
    assert {name: list(value.shape) for name, value in network.state_dict().items()} == layout


def test_published_folder_loads_strictly(tmp_path: Path) -> None:
    folder = shutil.copytree(REFERENCE, tmp_path / "mgm")
    config, network = load_tts(folder)
    assert (config.engine, config.text, network.config.num_layers) == ("masked", "qwen", 3)
    document = json.loads((folder / "config.json").read_text())
    renamed = {"preprocess": {"tokenizer_path": "x/Phi-3"}, "model": {"mgmt2s": document["model"]["mgm"]}}
    (folder / "config.json").write_text("// as published\n" + json.dumps(renamed))
    assert load_tts(folder)[0].text == "phi"
    tensors = load_file(folder / "model.safetensors")
    del tensors["to_logit.bias"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InputError, match="to_logit.bias is missing"):
        load_tts(folder)


def ours(seed: int = 0, **changes: object) -> MaskedNetwork:
    torch.manual_seed(seed)
    return build_network(config_of("masked", **changes)).eval()


@pytest.mark.parametrize("laid", [True, False])
@torch.no_grad()
def test_batch_is_single(laid: bool) -> None:
    network = ours() if laid else ours(text_layers=0)
    ids = torch.randint(97, 103, (2, 6))
    times = torch.tensor([[0.0, 1, 2, 3, 4, 6], [1.0, 2, 2.5, 9, 9, 9]])
    text_lengths, lengths = torch.tensor([6, 3]), torch.tensor([9, 5])
    x, time = torch.randn(2, 9, 48), torch.tensor([0.3, 0.8])
    together = network.hidden(x, time, Words(ids, text_lengths, times), lengths)
    for i, (letters, size) in enumerate(zip(text_lengths, lengths)):
        words = Words(ids[i : i + 1, :letters], text_lengths[i : i + 1], times[i : i + 1, :letters])
        alone = network.hidden(x[i : i + 1, :size], time[i : i + 1], words)
        torch.testing.assert_close(together[i, :size], alone[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_text_is_heard_where_it_is_spoken() -> None:
    """Another last character changes what is laid from its own token on only (one block of text, no context before)."""
    network = ours()
    ids, lengths = torch.tensor([[97, 98, 99]]), torch.tensor([3])
    times = torch.tensor([[0.5, 2.0, 4.0]])
    laid = network.text(ids, lengths, times, 6)
    assert laid.shape == (1, 6, 48)
    moved = network.text(ids, lengths, times + torch.tensor([[0.0, 0.0, 1.0]]), 6)
    assert torch.equal(laid[:, :4], moved[:, :4]) and torch.equal(laid[:, 5], moved[:, 5])
    assert not torch.allclose(laid[:, 4], moved[:, 4])
    assert not network.text(ids, torch.tensor([0]), times, 6).any()  # no text adds nothing


@torch.no_grad()
def test_saved_is_loaded(tmp_path: Path) -> None:
    network, config = ours(), config_of("masked", codec="abc")
    save_tts(tmp_path / "model", config, network)
    read, loaded = load_tts(tmp_path / "model")
    assert read == config
    x, time = torch.randn(1, 4, 48), torch.tensor([0.5])
    assert torch.equal(network.logits(network.hidden(x, time, None)), loaded.logits(loaded.hidden(x, time, None)))
    save_tts(tmp_path / "half", config, network, dtype=torch.float16)
    half, full = (path.stat().st_size for path in (tmp_path / name / "model.safetensors" for name in ("half", "model")))
    assert half < 0.6 * full
    with pytest.raises(InputError, match="exists"):
        save_tts(tmp_path / "model", config, network)


@pytest.mark.parametrize("steps, tokens, prompt", [(1, 5, 3), (4, 1, 0), (10, 7, 2), (25, 3, 1)])
def test_sampling_fills_every_place(steps: int, tokens: int, prompt: int) -> None:
    sampling = MaskSampling(steps=steps)
    words = Words(torch.tensor([[97, 98]]), torch.tensor([2]), torch.tensor([[0.0, 1.0]]))
    given = torch.arange(prompt)
    runs = [
        sample_masked(ours(), given, tokens, words, sampling, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    ]
    assert runs[0].shape == (tokens,) and 0 <= int(runs[0].min()) <= int(runs[0].max()) < 64
    assert torch.equal(runs[0], runs[1])
    if tokens == 7:
        assert not torch.equal(runs[0], runs[2])


def test_the_mask_falls_as_a_sine() -> None:
    assert mask_share(1.0) == 1.0 and mask_share(0.0) == 0.0 and abs(mask_share(1 / 3) - 0.5) < 1e-9


def test_unlikely_codes_are_never_drawn() -> None:
    kept = keep_likely(torch.arange(100.0)[None], 0.02)
    assert torch.isfinite(kept).nonzero()[:, 1].tolist() == [98, 99]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"num_heads": 5}, "multiple of num_heads"),
        ({"cond_codebook_size": 60}, "power of two"),
        ({"duration_size": 0}, "duration_size"),
        ({"hidden_size": 0}, "hidden_size must be positive"),
        ({"code_features": -1}, "0 or more"),
        ({"hidden_size": "wide"}, "hidden_size must be int"),
    ],
)
def test_impossible_shapes(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        config_of("masked", **change)


@pytest.mark.parametrize("change", [{"steps": 0}, {"share": 2.0}, {"guidance": -1.0}, {"temperature": -0.1}])
def test_impossible_sampling(change: dict[str, float]) -> None:
    with pytest.raises(InputError, match="sampling"):
        MaskSampling(**change)
