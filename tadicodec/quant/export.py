"""A model in, a folder of ONNX files out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.integers.onnx_linear import load_onnx, session
from tadicodec.outputs import check_output, write_bytes
from tadicodec.quant.quantizable import find_quantizable
from tadicodec.runtime.graph import Graph, distance, trace
from tadicodec.runtime.integer_graph import to_integers
from tadicodec.runtime.networks import codec_graphs
from tadicodec.tts.folder import load_tts
from tadicodec.tts.step_graph import step_graph

EXACT = 1e-4  # relative distance that float32 may have from torch


def export_model(name: str, folder: Path, bits: int | None = None, *, overwrite: bool = False) -> list[dict[str, Any]]:
    """Write NETWORK.onnx for each network of a model: encoder, prior, decoder (one evaluation) and vocoder of a codec,
    step of an autoregressive model. Each is traced, run, and compared with torch before anything is written.

    bits: 8, 7 or 4 for wide products of integers; None for float32.

    Returns:
        For each file its name, its bytes, and how far its outputs are from torch's float32 on the traced inputs.

    Raises:
        InputError: no such model, layers that cannot be exported, files that exist, or ONNX Runtime is missing.
    """
    load_onnx()
    graphs = model_graphs(name)
    for graph in graphs:
        check_output(folder / f"{graph.name}.onnx", overwrite)
    made, rows = {}, []
    for graph in graphs:
        model = trace(graph)
        check_exact(graph, model)
        content = (to_integers(model, bits) if bits else model).SerializeToString()
        made[graph.name] = content
        far = distance(graph, session(content))
        rows.append({"file": f"{graph.name}.onnx", "bytes": len(content), "distance": far})
    folder.mkdir(parents=True, exist_ok=True)
    for network, content in made.items():
        write_bytes(folder / f"{network}.onnx", content, overwrite)
    return rows


def model_graphs(name: str) -> list[Graph]:
    """The graphs of the model that a command's MODEL names. Raises InputError."""
    folder, is_codec = find_quantizable(name)
    if not is_codec:
        return [step_graph(load_tts(folder)[1])]
    codec = Codec.from_pretrained(folder)
    return codec_graphs(codec.config, codec.model, codec.vocoder)


def check_exact(graph: Graph, model: Any) -> None:
    """Raise InputError where the float32 graph is not torch's network, on the traced inputs or on longer ones."""
    own = session(model.SerializeToString())
    for inputs in (graph.inputs, longer(graph)):
        far = distance(replace(graph, inputs=inputs), own)
        if far > EXACT:
            raise InputError(f"export: {graph.name} differs from torch by {far:.1e}; nothing was written")


def longer(graph: Graph) -> dict[str, torch.Tensor]:
    """The traced inputs with twice as much along every axis that may have any size."""
    return {
        name: torch.cat([value] * 2, dim=next(iter(graph.axes[name]))) if name in graph.axes else value
        for name, value in graph.inputs.items()
    }
