"""Decoding through ONNX Runtime: prior, decoder and vocoder in torch's place, each where it is faster on this machine.

The codes cannot change with the backend: encoder and quantizer stay in torch, and so do text, alignment and solver.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from tadicodec.checkpoint import content_hash
from tadicodec.errors import InputError
from tadicodec.integers.onnx_linear import session
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.decoder import Conditioning
from tadicodec.model.field import packed
from tadicodec.model.fused import fused
from tadicodec.model.transformer import Block
from tadicodec.outputs import write_bytes
from tadicodec.pipeline.decoding import Renderer
from tadicodec.pipeline.waves import pad
from tadicodec.runtime.graph import Graph, run, trace
from tadicodec.runtime.integer_graph import bytes_overflow, to_integers
from tadicodec.runtime.networks import ENCODER, codec_graphs
from tadicodec.runtime.speed import Call, cache_folder, fastest, measured
from tadicodec.runtime.torch_calls import torch_call

TORCH, ONNX, INT8 = "torch", "onnx", "onnx-int8"
BACKENDS = (TORCH, ONNX, INT8)
MADE = 3  # raised when graphs of the same weights compute something else than before
INT7 = "onnx-int7"  # what "onnx-int8" tries, too, where that may be faster
M = TypeVar("M", bound=nn.Module)


def runtime_renderer(renderer: Renderer, backend: str, folder: Path | None = None) -> Renderer:
    """The renderer whose networks run where they are fastest on this machine: in torch or in ONNX Runtime.

    backend: "onnx" considers float32 only; "onnx-int8" rounds weights to 8 or 7 bits, whichever is faster here, and
    what enters them to 8, which changes the sound. folder: where graphs and measured times are kept (None: the user's
    cache).

    Raises:
        InputError: no such backend, a device other than the CPU, ONNX Runtime is missing, or layers it cannot take.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend {backend!r}: there are {', '.join(BACKENDS)}")
    if backend == TORCH:
        return renderer
    on_cpu(renderer.model.vq_in_linear.bias.device, f"backend {backend}")
    place = graph_folder(folder, renderer.model, renderer.vocoder)
    kinds = {ONNX: 0, **integer_kinds()} if backend == INT8 else {ONNX: 0}
    model, vocoder, made = renderer.model, renderer.vocoder, {}
    for graph in codec_graphs(renderer.config, model, vocoder):
        if graph.name != ENCODER:
            made[graph.name] = fastest_session(graph, kinds, place, torch_call(graph, model, vocoder), precision(model))
    return replaced(renderer, {name: own for name, own in made.items() if own is not None})


def on_cpu(device: str | torch.device, asked: str) -> None:
    """Raise InputError where a model for which ONNX Runtime was asked is not on the CPU."""
    if torch.device(device).type != "cpu":
        raise InputError(f"{asked}: ONNX Runtime is used on the CPU; leave it out, or use device cpu")


def graph_folder(folder: Path | None, *networks: nn.Module) -> Path:
    """Where the graphs of these networks are kept, and what was measured of them: under a folder, or (None) in the
    user's cache."""
    return (folder or cache_folder() / f"onnx-{MADE}") / "".join(content_hash(network, ("",)) for network in networks)


def integer_kinds() -> dict[str, int]:
    """The bits of weights that "onnx-int8" tries, by name: fewer than 8 only where that may be faster."""
    return {INT8: 8, INT7: 7} if bytes_overflow() else {INT8: 8}


def precision(model: Autoencoder) -> str:
    """The precision in which the decoder's blocks run in torch."""
    return str(fused(cast(Block, model.decoder.layers[0])).dtype)


def fastest_session(graph: Graph, kinds: dict[str, int], place: Path, in_torch: Call, how: str = "") -> Any | None:
    """The fastest of ONNX Runtime's sessions of a graph (kinds: bits by name), or None where torch is as fast.

    in_torch: what torch does for the graph's inputs; how: in which precision, if there are several."""
    sessions = {name: graph_session(graph, bits, place) for name, bits in kinds.items()}
    calls: dict[str, Call] = {TORCH: in_torch}
    calls |= {name: partial(run, own, graph.inputs) for name, own in sessions.items()}
    seconds = measured(f"{graph.name} in {', '.join(sessions)}{how and f', beside {how}'}", calls, place=place)
    return sessions.get(fastest(seconds, TORCH))


def graph_session(graph: Graph, bits: int, place: Path) -> Any:
    """A session of a graph, which is traced where it is not kept yet or what is kept is damaged, and kept where that
    can be written. Bytes have a sign where this machine's products of such do not overflow."""
    signed = bits == 8 and not bytes_overflow()
    path = place / f"{graph.name}{f'-int{bits}' if bits else ''}{'-signed' if signed else ''}.onnx"
    if path.is_file():
        with suppress(InputError):
            return session(str(path))
    model = trace(graph)
    made = (to_integers(model, bits, signed=signed) if bits else model).SerializeToString()
    try:
        write_bytes(path, made, overwrite=True)
    except InputError:  # nothing can be kept: done without
        return session(made)
    return session(str(path))


def replaced(renderer: Renderer, sessions: dict[str, Any]) -> Renderer:
    """A renderer on the same weights, in which these networks run in their sessions."""
    model, vocoder = sharing(renderer.model), renderer.vocoder
    model.decoder = sharing(model.decoder)
    if "prior" in sessions and model.decoder.prior is not None:
        prior = sharing(model.decoder.prior)
        prior.forward = PriorCalls(sessions["prior"])  # type: ignore[method-assign]
        model.decoder.prior = prior
    if "decoder" in sessions:
        model.field = lambda branches, times: FieldCalls(sessions["decoder"], branches)  # type: ignore[method-assign]
    if "vocoder" in sessions:
        vocoder = sharing(vocoder)
        vocoder.forward = MelCalls(sessions["vocoder"])  # type: ignore[method-assign]
    return Renderer(model, vocoder, renderer.limits)


def sharing(module: M) -> M:
    """A module on the same weights, whose parts can be replaced without the other's knowing."""
    made = copy.copy(module)
    made._modules = dict(module._modules)
    return made


class PriorCalls:
    """`Prior.forward`, item by item."""

    def __init__(self, own: Any) -> None:
        self.session = own

    def __call__(
        self,
        tokens: Tensor,
        text: Tensor | None,
        mel: tuple[Tensor, Tensor],
        *,
        lengths: Tensor | None = None,
        text_lengths: Tensor | None = None,
        text_times: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        (batch, size, width), patch = tokens.shape, mel[0].shape[1] // tokens.shape[1]
        told, expected = [], []
        for i in range(batch):
            count = size if lengths is None else int(lengths[i])
            letters = 0 if text is None else text.shape[1] if text_lengths is None else int(text_lengths[i])
            own = text[i : i + 1, :letters] if text is not None and letters else tokens.new_zeros(1, 1, width)
            times = text_times[i : i + 1, :letters] if text_times is not None and letters else tokens.new_zeros(1, 1)
            given = {
                "tokens": tokens[i : i + 1, :count],
                "text": own,
                "text_lengths": torch.tensor([letters]),
                "text_times": times.float(),
                "prompt": mel[0][i : i + 1, : count * patch],
                "held": mel[1][i : i + 1, : count * patch],
            }
            first, second = run(self.session, given)
            told.append(first[0])
            expected.append(second[0])
        return pad(told), pad(expected)


class FieldCalls:
    """As `model.field.Field`, item by item."""

    def __init__(self, own: Any, branches: Sequence[Conditioning]) -> None:
        self.session, self.branches = own, branches
        self.starts = [packed(branch) for branch in branches]

    def __call__(self, x: Tensor, time: float, guided: bool) -> tuple[Tensor, Tensor | None]:
        pairs = list(zip(self.branches, self.starts, strict=True))[: 2 if guided else 1]
        found = [self.velocity(x, time, branch, start) for branch, start in pairs]
        return found[0], found[1] if guided else None

    def velocity(self, x: Tensor, time: float, given: Conditioning, start: Tensor) -> Tensor:
        """x [B, F, 128] at a time -> its velocity for one branch, zeros behind an item's own frames."""
        out, positions = torch.zeros_like(x), given.frames.shape[1]
        patch = x.shape[1] // positions
        for i in range(len(x)):
            own, count = start[i : i + 1], positions
            if given.mask is not None:
                there = given.mask[min(i, len(given.mask) - 1), 0, 0]
                own, count = own[:, there], int(there[-positions:].sum())
            frames = count * patch
            inputs = {"x": x[i : i + 1, :frames], "time": torch.tensor([time]), "start": own}
            if given.mel is not None:
                inputs["mel"] = given.mel[i : i + 1, :frames]
            out[i, :frames] = run(self.session, inputs)[0][0]
        return out


class MelCalls:
    """`Vocoder.forward` or `Encoder.forward`, item by item: one output of a graph whose only input is a mel."""

    def __init__(self, own: Any, output: int = 0) -> None:
        self.session, self.output = own, output

    def __call__(self, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        counts = [mel.shape[1]] * len(mel) if lengths is None else lengths.tolist()
        return pad([run(self.session, {"mel": mel[i : i + 1, :n]})[self.output][0] for i, n in enumerate(counts)])
