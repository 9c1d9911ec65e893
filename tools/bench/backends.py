"""Times of each network in torch and in ONNX Runtime, in float32 and in integers, and how far from float32 they are.

    python tools/bench/backends.py                       # the bundled codec: encoder, prior, decoder, vocoder
    python tools/bench/backends.py --model bundled:ar    # one step of an autoregressive model
    python tools/bench/backends.py --speech samples      # the encoder alone: do its codes stay as torch's are?

Torch's candidates are the networks as a loaded codec runs them, in float32 and in bfloat16 (the encoder never is);
their distance is not measured. Candidates take turns in one run, and the fastest call of each counts. Inputs are
random, those that graphs are traced on, so distances are larger than on speech. As many threads as torch has
(OMP_NUM_THREADS); with --thread-time, which is for one thread, what else the machine does does not count.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tadicodec.audio.files import READABLE, read_audio
from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.integers.onnx_linear import session
from tadicodec.model.quantizer import to_codes
from tadicodec.pipeline.waves import to_samples
from tadicodec.quant.export import model_graphs
from tadicodec.quant.quantizable import find_quantizable
from tadicodec.runtime.graph import Graph, distance, run, trace
from tadicodec.runtime.integer_graph import WIDTHS, bytes_overflow, to_integers
from tadicodec.runtime.networks import ENCODER
from tadicodec.runtime.speed import Call, compare, machine, precisions
from tadicodec.runtime.torch_calls import torch_call


def sessions_of(graph: Graph) -> dict[str, Any]:
    """A graph's sessions in float32 and in integers, by name; in 8 bits as this machine would run them."""
    model, signed = trace(graph), not bytes_overflow()
    made = {"onnx": model}
    made |= {f"onnx int{bits}": to_integers(model, bits, signed=signed and bits == 8) for bits in WIDTHS}
    return {name: session(one.SerializeToString()) for name, one in made.items()}


def in_torch(name: str) -> dict[str, Callable[[Graph], Call]]:
    """What torch does for the inputs of a model's graph, by precision."""
    folder, is_codec = find_quantizable(name)
    if not is_codec:
        return {"torch": lambda graph: torch.inference_mode()(partial(graph.module, *graph.inputs.values()))}
    found = {}
    for dtype, what in ((torch.float32, "torch"), (torch.bfloat16, "torch bfloat16")):
        codec = Codec.from_pretrained(folder, dtype=dtype)
        found[what] = partial(torch_call, model=codec.model, vocoder=codec.vocoder)
    return found


def rows(
    graph: Graph, torchs: dict[str, Callable[[Graph], Call]], clock: Callable[[], float]
) -> dict[str, tuple[float, float]]:
    """Seconds and distance of each candidate, by name."""
    sessions = sessions_of(graph)
    calls = {what: call(graph) for what, call in torchs.items() if what == "torch" or graph.name != ENCODER}
    calls |= {name: partial(run, own, graph.inputs) for name, own in sessions.items()}
    seconds = compare(calls, clock)
    far = {name: distance(graph, own) for name, own in sessions.items()}
    return {name: (seconds[name], far.get(name, 0.0)) for name in calls}


@torch.inference_mode()
def codes_alike(name: str, folder: Path) -> dict[str, tuple[int, int]]:
    """How many tokens of a folder's recordings get torch's code from each session of the encoder, and how many there
    are."""
    codec = Codec.from_pretrained(find_quantizable(name)[0])
    (graph,) = [graph for graph in model_graphs(name) if graph.name == ENCODER]
    sessions = sessions_of(graph)
    found = {which: [0, 0] for which in sessions}
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in READABLE):
        wave, rate = read_audio(path)
        mel = codec.mel(to_samples(wave, rate, Codec.sample_rate))
        codes = codec.model.encode(mel)
        for which, own in sessions.items():
            alike = to_codes(run(own, {"mel": mel})[0]) == codes
            found[which][0] += int(alike.sum())
            found[which][1] += alike.numel()
    return {which: (same, count) for which, (same, count) in found.items()}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="bundled", help="as `tadicodec export` takes it (bundled)")
    parser.add_argument("--speech", type=Path, metavar="FOLDER", help="recordings: compare the encoder's codes alone")
    parser.add_argument("--thread-time", action="store_true", help="count the calling thread's processor time")
    args = parser.parse_args(arguments)
    try:
        if args.speech is not None:
            for name, (same, count) in codes_alike(args.model, args.speech).items():
                print(f"encoder, {name}: {same} of {count} codes as torch's ({100 * same / count:.2f} %)")
            return 0
        graphs, torchs = model_graphs(args.model), in_torch(args.model)
        known = precisions()
        print(f"{machine()}: bfloat16 products {known['float32'] / known['bfloat16']:.2f} x float32's speed\n")
        print("| network | in | ms | x torch | distance |\n|---|---|---|---|---|")
        for graph in graphs:
            found = rows(graph, torchs, time.thread_time if args.thread_time else time.perf_counter)
            for name, (seconds, far) in found.items():
                times = found["torch"][0] / seconds
                print(f"| {graph.name} | {name} | {1000 * seconds:.2f} | {times:.2f} | {far:.1e} |", flush=True)
    except InputError as error:
        print(f"backends: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
