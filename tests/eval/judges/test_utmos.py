"""UTMOS22: published names and shapes at full size; the score, computed by hand, at a tiny size."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from tadicodec.errors import InputError
from tadicodec.eval.judges.utmos import Utmos, UtmosConfig, load_utmos, own_names
from tests.eval.judges.published_layouts import (
    TINY_WAV2VEC2,
    WAV2VEC2_BASE,
    Shapes,
    Ssl,
    Tensors,
    linear,
    part,
    random_tensors,
    ssl_shapes,
    ssl_states,
)

SSL = "feature_extractors.0.ssl_model."
BLSTM = "output_layers.0.decoder_rnn."


def lightning_shapes(size: Ssl, condition: int, recurrent: int, projection: int) -> Shapes:
    """Names and shapes of `epoch=3-step=7459.ckpt`'s state_dict."""
    shapes = {SSL + name: shape for name, shape in ssl_shapes(size).items()}
    shapes["feature_extractors.1.embedding.weight"] = (3, condition)
    shapes["output_layers.0.judge_embedding.weight"] = (3000, condition)
    for way in ("", "_reverse"):
        shapes[f"{BLSTM}weight_ih_l0{way}"] = (4 * recurrent, size.width + 2 * condition)
        shapes[f"{BLSTM}weight_hh_l0{way}"] = (4 * recurrent, recurrent)
        shapes |= {f"{BLSTM}bias_{kind}_l0{way}": (4 * recurrent,) for kind in ("ih", "hh")}
    shapes |= linear("output_layers.1.net.0", 2 * recurrent, projection)
    return shapes | linear("output_layers.1.net.3", projection, 1)


def speechmos_layout(tensors: Tensors) -> Tensors:
    """The same tensors as SpeechMOS publishes them."""
    renamed = {"wav2vec2." + name: tensor for name, tensor in part(tensors, SSL).items()}
    renamed["domain_emb"] = tensors["feature_extractors.1.embedding.weight"][:1]
    renamed["judge_emb"] = tensors["output_layers.0.judge_embedding.weight"][288:289]
    renamed |= {"blstm." + name: tensor for name, tensor in part(tensors, BLSTM).items()}
    renamed |= {"projection.0." + name: tensor for name, tensor in part(tensors, "output_layers.1.net.0.").items()}
    return renamed | {"projection.2." + n: tensor for n, tensor in part(tensors, "output_layers.1.net.3.").items()}


def tiny_config() -> UtmosConfig:
    from transformers import Wav2Vec2Config

    size = TINY_WAV2VEC2
    ssl = Wav2Vec2Config(
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=size.inner,
        conv_dim=(size.convolution,) * 7,
        num_conv_pos_embeddings=size.positions,
        num_conv_pos_embedding_groups=size.groups,
        mask_time_prob=0.0,
        mask_feature_prob=0.0,
    )
    return UtmosConfig(ssl, condition_size=3, recurrent_size=5, projection_size=7)


@pytest.fixture(scope="module")
def published() -> Tensors:
    return random_tensors(lightning_shapes(TINY_WAV2VEC2, 3, 5, 7))


@pytest.fixture
def checkpoint(published: Tensors, tmp_path: Path) -> Path:
    """A Lightning checkpoint: with the training configuration, an object whose class may be anything."""
    path = tmp_path / "epoch=3-step=7459.ckpt"
    hyper_parameters = {"cfg": Namespace(lr=1.0, path=Path("somewhere"))}
    torch.save({"epoch": 3, "hyper_parameters": hyper_parameters, "state_dict": published}, path)
    return path


def lstm(x: torch.Tensor, tensors: Tensors, way: str) -> torch.Tensor:
    """One direction of an LSTM, step by step: [F, C] -> [F, R]."""
    weights = [tensors[f"weight_{kind}_l0{way}"] for kind in ("ih", "hh")]
    bias = tensors[f"bias_ih_l0{way}"] + tensors[f"bias_hh_l0{way}"]
    hidden = cell = torch.zeros(weights[1].shape[1])
    outputs = []
    for frame in x.flip(0) if way else x:
        enter, forget, value, leave = (weights[0] @ frame + weights[1] @ hidden + bias).chunk(4)
        cell = forget.sigmoid() * cell + enter.sigmoid() * value.tanh()
        hidden = leave.sigmoid() * cell.tanh()
        outputs.append(hidden)
    found = torch.stack(outputs)
    return found.flip(0) if way else found


def by_hand(wave: torch.Tensor, tensors: Tensors) -> float:
    """The published definition: features, domain 0, judge 288, BLSTM, projection, mean over frames, x 2 + 3."""
    features = ssl_states(wave, part(tensors, SSL), TINY_WAV2VEC2)[-1]
    domain = tensors["feature_extractors.1.embedding.weight"][0]
    judge = tensors["output_layers.0.judge_embedding.weight"][288]
    x = torch.cat([features, domain.expand(len(features), -1), judge.expand(len(features), -1)], dim=1)
    x = torch.cat([lstm(x, part(tensors, BLSTM), way) for way in ("", "_reverse")], dim=1)
    net = part(tensors, "output_layers.1.net.")
    return (
        float(F.linear(F.linear(x, net["0.weight"], net["0.bias"]).relu(), net["3.weight"], net["3.bias"]).mean()) * 2
        + 3
    )


def test_full_size_has_the_published_names_and_shapes() -> None:
    with torch.device("meta"):
        network = Utmos(UtmosConfig())
        published = {n: torch.empty(shape) for n, shape in lightning_shapes(WAV2VEC2_BASE, 128, 512, 2048).items()}
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    for layout in (published, speechmos_layout(published)):
        assert {name: tensor.shape for name, tensor in own_names(layout).items()} == expected
    # transformers' wav2vec2-base has 94,371,712 parameters, 768 of them the mask that is not needed here
    assert sum(shape.numel() for name, shape in expected.items() if name.startswith("ssl.")) == 94_371_712 - 768


@pytest.mark.parametrize("samples", [8000, 8320])  # an odd and an even number of frames: fairseq pads to even
def test_score_is_the_definition(published: Tensors, checkpoint: Path, samples: int) -> None:
    wave = torch.randn(samples, generator=torch.Generator().manual_seed(1)) * 0.1
    network = load_utmos(checkpoint, tiny_config())
    with torch.inference_mode():
        score = network(wave[None])
    assert score.shape == (1,)
    assert float(score) == pytest.approx(by_hand(wave, published), abs=1e-4)


def test_every_layout_gives_the_same_score(published: Tensors, checkpoint: Path, tmp_path: Path) -> None:
    wave = torch.randn(1, 8000, generator=torch.Generator().manual_seed(1)) * 0.1
    torch.save(speechmos_layout(published), tmp_path / "speechmos.pt")
    save_file({name: tensor.contiguous() for name, tensor in published.items()}, tmp_path / "utmos.safetensors")
    paths = [checkpoint, tmp_path / "speechmos.pt", tmp_path / "utmos.safetensors"]
    with torch.inference_mode():
        scores = [float(load_utmos(path, tiny_config())(wave)) for path in paths]
    assert scores[1:] == pytest.approx([scores[0]] * 2, abs=1e-5)


@pytest.mark.parametrize("change", ["missing", "left over", "shape"])
def test_another_checkpoint_is_refused(published: Tensors, tmp_path: Path, change: str) -> None:
    tensors, name = dict(published), f"{SSL}encoder.layers.1.fc1.weight"
    if change == "missing":
        del tensors[name]
    elif change == "shape":
        tensors[name] = tensors[name][:-1]
    else:
        tensors["phonemes.weight"] = torch.zeros(1)
    torch.save({"state_dict": tensors}, tmp_path / "x.ckpt")
    expected = "phonemes.weight is not part" if change == "left over" else "layers.1.feed_forward"
    with pytest.raises(InputError, match=expected):
        load_utmos(tmp_path / "x.ckpt", tiny_config())
