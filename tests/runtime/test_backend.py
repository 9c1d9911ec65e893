"""Decoding in ONNX Runtime: the same waves, the same codes, items by themselves, and a choice that is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.runtime import backend, speed
from tadicodec.runtime.backend import INT8, ONNX, TORCH, runtime_renderer
from tadicodec.runtime.integer_graph import bytes_overflow
from tadicodec.runtime.networks import codec_graphs
from tadicodec.runtime.torch_calls import torch_call
from tests.conftest import tiny_codec, voice

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def in_runtime(codec: Codec, kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Codec:
    """The same codec with all its networks in ONNX Runtime, however fast they are."""
    monkeypatch.setattr(backend, "fastest", lambda seconds, usual: kind)
    other = Codec(codec.config, codec.model, codec.vocoder, codec.tokenizer)
    other.renderer = runtime_renderer(other.renderer, kind, folder)
    return other


@pytest.mark.parametrize("changes", [{}, {"prior_layers": 0, "patch_size": 1}])
def test_waves_codes_and_batches(changes: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = tiny_codec(**changes)
    other = in_runtime(codec, ONNX, tmp_path, monkeypatch)
    waves = [voice(1.3), voice(0.8, seed=1), voice(0.5, seed=2)]
    texts = ["hello there", "and", ""]
    speech = codec.encode(waves, 24000, texts)
    assert torch.equal(other.encode(waves, 24000, texts).codes, speech.codes)
    prompt = codec.prompt(voice(0.6, seed=3), 24000, "so")
    prompts = [prompt, None, prompt]

    def seeds() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(i) for i in range(3)]

    expected, found = codec.decode(speech, prompts, generator=seeds()), other.decode(speech, prompts, generator=seeds())
    assert (found - expected).norm() < 1e-3 * expected.norm()
    for i in range(3):
        alone = other.decode(speech[i], prompts[i], generator=seeds()[i])[0]
        torch.testing.assert_close(found[i, : len(alone)], alone, rtol=1e-3, atol=1e-4)
    streamed = torch.cat(list(other.stream(speech[0], prompt, generator=seeds()[0], seconds=12.0)))
    torch.testing.assert_close(streamed, found[0, : len(streamed)], rtol=1e-3, atol=1e-4)


def test_the_codec_itself_stays_as_it_is(codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = list(codec.model.state_dict())
    other = in_runtime(codec, ONNX, tmp_path, monkeypatch)
    assert list(other.model.state_dict()) == names and "forward" not in vars(codec.model.decoder.prior)
    assert codec.renderer.model is codec.model and other.renderer.model is not codec.model
    other.save_pretrained(tmp_path / "saved")
    assert Codec.from_pretrained(tmp_path / "saved").weights == codec.weights


def test_graphs_and_choices_are_kept(codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_runtime(codec, INT8, tmp_path, monkeypatch)
    (place,) = tmp_path.iterdir()
    kept = {path.name for path in place.iterdir()}
    integers = ("-int8", "-int7") if bytes_overflow() else ("-int8-signed",)
    assert kept == {f"{n}{k}.onnx" for n in ("prior", "decoder", "vocoder") for k in ("", *integers)} | {"speed.json"}

    def never(*_: object) -> None:
        pytest.fail("made again")

    monkeypatch.setattr(backend, "trace", never)
    monkeypatch.setattr(speed, "compare", never)
    in_runtime(codec, INT8, tmp_path, monkeypatch)


def test_what_is_kept_belongs_to_a_precision(codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    low = Codec(codec.config, codec.model, codec.vocoder, codec.tokenizer).to("cpu", torch.bfloat16)
    runtime_renderer(low.renderer, ONNX, tmp_path)
    (place,) = tmp_path.iterdir()
    codec.to("cpu", torch.float32)
    runtime_renderer(codec.renderer, ONNX, tmp_path)
    (rows,) = json.loads((place / "speed.json").read_text()).values()
    assert set(rows) == {
        f"{name} in onnx, beside torch.{dtype}"
        for name in ("prior", "decoder", "vocoder")
        for dtype in ("bfloat16", "float32")
    }


def test_loading_compares_with_the_precision_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tiny_codec().save_pretrained(tmp_path / "model")
    Codec.from_pretrained(tmp_path / "model", dtype=torch.bfloat16, backend=ONNX)
    (kept,) = tmp_path.glob("cache/tadicodec/onnx-*/*/speed.json")
    assert kept.read_text().count("beside torch.bfloat16") == 3


@pytest.mark.parametrize("changes", [{}, {"prior_layers": 0, "patch_size": 1}])
def test_torchs_own_time_is_that_of_the_same_numbers(changes: dict) -> None:
    codec = tiny_codec(**changes)
    for graph in codec_graphs(codec.config, codec.model, codec.vocoder):
        found = torch_call(graph, codec.model, codec.vocoder)()
        expected = graph.module(*graph.inputs.values())
        if graph.name == "encoder":
            expected = expected[1]
        if graph.name == "decoder":
            found = found[0]
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_torch_stays_where_nothing_is_clearly_faster() -> None:
    assert speed.fastest({TORCH: 1.0, ONNX: 0.95}, TORCH) == TORCH
    assert speed.fastest({TORCH: 1.0, ONNX: 0.5, INT8: 0.4}, TORCH) == INT8


def test_a_cache_that_is_damaged_or_closed_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "speed.json").write_text("{")
    calls = {"a": lambda: None, "b": lambda: None}
    found = speed.measured("x", calls, place=tmp_path)
    assert set(found) == {"a", "b"} and speed.measured("x", {}, place=tmp_path / "speed.json" / "under") == {}
    assert speed.measured("x", calls, place=tmp_path) == found


def test_graphs_that_are_damaged_or_cannot_be_kept_are_traced_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = tiny_codec()
    speech = codec.encode(voice(0.6), 24000)
    expected = in_runtime(codec, ONNX, tmp_path / "a", monkeypatch).decode(speech)
    (graph,) = tmp_path.glob("a/*/decoder.onnx")
    whole = graph.read_bytes()
    graph.write_bytes(whole[: len(whole) // 2])
    assert torch.equal(in_runtime(codec, ONNX, tmp_path / "a", monkeypatch).decode(speech), expected)
    assert graph.stat().st_size == len(whole)
    (tmp_path / "closed").touch()
    closed = in_runtime(codec, ONNX, tmp_path / "closed", monkeypatch)
    assert torch.equal(closed.decode(speech), expected) and (tmp_path / "closed").read_bytes() == b""


def test_another_precision_chooses_the_backend_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(backend, "fastest", lambda seconds, usual: ONNX)
    tiny_codec().save_pretrained(tmp_path / "model")
    codec = Codec.from_pretrained(tmp_path / "model", backend=ONNX)
    first = codec.renderer
    assert codec.to("cpu", torch.bfloat16).renderer is not first
    assert codec.renderer.model.field is not codec.model.field
    with pytest.raises(InputError, match="backend torch"):
        codec.compile()
    with pytest.raises(InputError, match="on the CPU"):
        codec.to("meta")
    assert codec.model.vq_in_linear.bias.device.type == "cpu"  # nothing has moved


def test_what_was_found_of_another_runtime_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [speed.remembered("x", ("a",), lambda: {"a": 1.0}, tmp_path)]
    monkeypatch.setattr(speed, "version", lambda name: "another")
    found.append(speed.remembered("x", ("a",), lambda: {"a": 2.0}, tmp_path))
    assert found == [{"a": 1.0}, {"a": 2.0}]


def test_mistakes(codec: Codec) -> None:
    assert runtime_renderer(codec.renderer, TORCH) is codec.renderer
    with pytest.raises(InputError, match="onnx-int8"):
        runtime_renderer(codec.renderer, "tensorrt")
