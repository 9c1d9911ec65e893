"""Each network as an ONNX graph: the same numbers as torch at other lengths, and integers that are quantize's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from tadicodec.codec import Codec
from tadicodec.config import VocoderConfig
from tadicodec.errors import InputError
from tadicodec.integers.onnx_linear import session
from tadicodec.integers.packed_linear import PackedLinear
from tadicodec.model import quantizer
from tadicodec.quant.codec_quantizer import quantize_codec
from tadicodec.quant.export import check_exact, export_model, longer, model_graphs
from tadicodec.quant.job import Job
from tadicodec.runtime.graph import Graph, distance, run, trace
from tadicodec.runtime.integer_graph import bytes_overflow, rounded, to_integers
from tadicodec.runtime.networks import codec_graphs
from tadicodec.tts.folder import build_network, load_tts, save_tts
from tadicodec.tts.step_graph import past_names, step_graph
from tests.conftest import tiny_codec
from tests.tts.language import config_of

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def graphs_of(codec: Codec) -> dict[str, Graph]:
    return {graph.name: graph for graph in codec_graphs(codec.config, codec.model, codec.vocoder)}


def test_every_network_is_torchs_at_any_length(codec: Codec) -> None:
    found = graphs_of(codec)
    assert list(found) == ["encoder", "prior", "decoder", "vocoder"]
    for graph in found.values():
        check_exact(graph, trace(graph))


def test_a_model_without_a_prior_reads_its_text_in_the_decoder() -> None:
    plain = tiny_codec(prior_layers=0, patch_size=1)
    found = graphs_of(plain)
    assert list(found) == ["encoder", "decoder", "vocoder"]
    check_exact(found["decoder"], trace(found["decoder"]))


@pytest.mark.parametrize("changes", [{}, {"encoder_conv_layers": 2}, {"encoder_conformer": True}])
def test_codes_from_the_graph_are_the_codecs(changes: dict) -> None:
    codec = tiny_codec(**changes)
    graph = graphs_of(codec)["encoder"]
    own, mel = session(trace(graph).SerializeToString()), torch.randn(1, 240, 128)
    assert torch.equal(quantizer.to_codes(run(own, {"mel": mel})[0]), codec.model.encode(mel))


def test_the_wave_is_the_vocoders(codec: Codec) -> None:
    graph = graphs_of(codec)["vocoder"]
    own, mel = session(trace(graph).SerializeToString()), torch.randn(1, 37, 128)
    wave = codec.vocode(mel)
    torch.testing.assert_close(run(own, {"mel": mel})[0], wave, rtol=1e-3, atol=1e-4)


def wide_codec() -> Codec:
    """Its products are wide enough to be worth rounding."""
    from tadicodec.model.autoencoder import Autoencoder
    from tadicodec.model.vocoder import Vocoder
    from tests.conftest import tiny_config

    torch.manual_seed(0)
    config = replace(tiny_config(hidden_size=128), vocoder=VocoderConfig(dim=64, intermediate_dim=128, num_layers=1))
    small = tiny_codec()
    return Codec(config, Autoencoder(config.autoencoder), Vocoder(config.vocoder), small.tokenizer)


@pytest.mark.parametrize(
    "bits, operation, most", [(8, "MatMulInteger", 0.1), (7, "MatMulInteger", 0.15), (4, "MatMulNBits", 0.4)]
)
def test_integers_stay_near_and_make_files_smaller(bits: int, operation: str, most: float) -> None:
    for graph in graphs_of(wide_codec()).values():
        model = trace(graph)
        small = to_integers(model, bits)
        kinds = [node.op_type for node in small.graph.node]
        assert operation in kinds and len(small.SerializeToString()) < len(model.SerializeToString())
        far = distance(replace(graph, inputs=longer(graph)), session(small.SerializeToString()))
        assert 0 < far < most, (graph.name, far)
    with pytest.raises(InputError, match="8, 7 or 4"):
        to_integers(model, 3)


def test_rows_behind_a_gate_have_scales_of_their_own() -> None:
    """One row that is a thousand times as large leaves the others as near as they were."""
    torch.manual_seed(0)
    network = nn.ModuleDict({"down_proj": nn.Linear(64, 64, bias=False), "up_proj": nn.Linear(64, 64, bias=False)})
    x = torch.randn(1, 6, 64)
    x[:, 0] *= 1000
    for name, layer in network.items():
        graph = Graph("one", OneProduct(name, layer), {"x": x}, ("y",), {"x": {1: "rows"}, "y": {1: "rows"}})
        found = run(session(to_integers(trace(graph), 8).SerializeToString()), {"x": x})[0][:, 1:]
        expected = layer(x)[:, 1:]
        near = (found - expected).norm() < 0.02 * expected.norm()
        assert near == (name == "down_proj")


class OneProduct(nn.Module):
    """One layer under a name."""

    def __init__(self, name: str, layer: nn.Linear) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({name: layer})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (layer,) = self.layers.values()
        return layer(x)


def test_bytes_with_a_sign_are_the_same_numbers_where_nothing_overflows() -> None:
    for graph in graphs_of(wide_codec()).values():
        model = trace(graph)
        own, other = (
            run(session(to_integers(model, 8, signed=signed).SerializeToString()), graph.inputs)
            for signed in (True, False)
        )
        alike = all(torch.equal(a, b) for a, b in zip(own, other, strict=True))
        assert alike or bytes_overflow(), graph.name


@pytest.mark.parametrize("bits, group", [(8, 0), (4, 32)])
def test_a_quantized_models_integers_come_out_again(bits: int, group: int) -> None:
    section = {"bits": bits, "group": group, "scale": "float32"}
    small = quantize_codec(wide_codec(), Job.from_sections({"quantization": section}))
    layers = [m for n, m in small.model.named_modules() if isinstance(m, PackedLinear) and n.endswith("_proj")]
    assert layers
    for layer in layers:
        assert torch.equal(rounded(layer.weight(), bits, group).levels.long(), layer.levels().long())


def test_layers_that_prepare_their_input_are_refused() -> None:
    codec = wide_codec()
    job = Job.from_sections({"quantization": {"bits": 8}}, tabulate=True)
    with pytest.raises(InputError, match="tabulate"):
        graphs_of(quantize_codec(codec, job))


@pytest.mark.parametrize("heads", [2, 1])
def test_steps_of_a_language_model_say_what_the_whole_says(heads: int, tmp_path) -> None:
    torch.manual_seed(0)
    config = config_of("ar", num_key_value_heads=heads)
    save_tts(tmp_path / "ar", config, build_network(config))
    network = load_tts(tmp_path / "ar")[1]
    graph = step_graph(network)
    check_exact(graph, trace(graph))
    own, ids = session(trace(graph).SerializeToString()), torch.tensor([[97, 98, 256, 300, 301]])
    places = torch.arange(5.0)[None]
    shape = network.lm.shape
    kept = dict.fromkeys(past_names(shape.num_hidden_layers), torch.zeros(1, heads, 0, shape.head_size))
    for part in (slice(0, 3), slice(3, 4), slice(4, 5)):
        scores, *new = run(own, {"ids": ids[:, part], "positions": places[:, part], **kept})
        kept = dict(zip(kept, new, strict=True))
    with torch.inference_mode():
        hidden = network.lm(torch.nn.functional.embedding(ids, network.table()), places)[:, -1]
    torch.testing.assert_close(scores, hidden @ network.table().T, rtol=1e-4, atol=1e-5)


def test_exports_a_folder_or_nothing(tiny_model, tmp_path) -> None:
    rows = export_model(str(tiny_model), tmp_path / "out", 8)
    assert {row["file"] for row in rows} == {path.name for path in (tmp_path / "out").iterdir()}
    with pytest.raises(InputError, match="exist"):
        export_model(str(tiny_model), tmp_path / "out")
    assert export_model(str(tiny_model), tmp_path / "out", overwrite=True)[0]["distance"] < 1e-4
    with pytest.raises(InputError, match="Llama"):
        model_graphs("bundled:masked")
