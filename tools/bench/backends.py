"""Times of each network in torch and in ONNX Runtime, in float32 and in integers, and how far from float32 they are.

    python tools/bench/backends.py                       # the bundled codec: encoder, prior, decoder, vocoder
    python tools/bench/backends.py --model bundled:ar    # one step of an autoregressive model

Candidates take turns in one run, and the fastest call of each counts. Inputs are random, those that graphs are traced
on, so distances are larger than on speech. As many threads as torch has (OMP_NUM_THREADS).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import torch

from tadicodec.errors import InputError
from tadicodec.integers.onnx_linear import session
from tadicodec.quant.export import model_graphs
from tadicodec.runtime.graph import Graph, distance, run, trace
from tadicodec.runtime.integer_graph import to_integers
from tadicodec.runtime.speed import compare, machine, precisions


def rows(graph: Graph) -> dict[str, tuple[float, float]]:
    """Seconds and distance of each candidate, by name."""
    model = trace(graph)
    made = {"onnx": model, "onnx int8": to_integers(model, 8), "onnx int4": to_integers(model, 4)}
    sessions = {name: session(one.SerializeToString()) for name, one in made.items()}

    def in_torch() -> object:
        with torch.inference_mode():
            return graph.module(*graph.inputs.values())

    calls: dict[str, Callable[[], object]] = {"torch": in_torch}
    for name, own in sessions.items():
        calls[name] = lambda own=own: run(own, graph.inputs)
    seconds = compare(calls)
    far = {"torch": 0.0, **{name: distance(graph, own) for name, own in sessions.items()}}
    return {name: (seconds[name], far[name]) for name in calls}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="bundled", help="as `tadicodec export` takes it (bundled)")
    args = parser.parse_args(arguments)
    try:
        graphs = model_graphs(args.model)
        known = precisions()
        print(f"{machine()}: bfloat16 products {known['float32'] / known['bfloat16']:.2f} x float32's speed\n")
        print("| network | in | ms | x torch | distance |\n|---|---|---|---|---|")
        for graph in graphs:
            found = rows(graph)
            for name, (seconds, far) in found.items():
                times = found["torch"][0] / seconds
                print(f"| {graph.name} | {name} | {1000 * seconds:.2f} | {times:.2f} | {far:.1e} |", flush=True)
    except InputError as error:
        print(f"backends: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
