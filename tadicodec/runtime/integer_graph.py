"""A float graph's wide products as products of integers: 8 or 7 bits by MatMulInteger, 4 bits by MatMulNBits.

Weights are rounded as `tadicodec quantize` rounds them (GLM-130B: a scale a row, from its largest value; in 4 bits a
scale for each 32 inputs), so a model that is in such integers already gets the same ones back. In 8 and 7 bits what
enters a product is rounded too, to 8 bits with one scale for all of it; ONNX Runtime joins the steps into
DynamicQuantizeMatMul. What a gate lets through has a few values fifty times as large as the rest, in a few rows: there
each row has a scale of its own (as in ZeroQuant, Yao et al. 2022), without which the bundled codec sounds worse.

7 bits are for processors with AVX2 alone: their fast product of bytes with signed bytes adds two of them in 16 bits,
which overflows with weights beyond 63. In 8 bits weights go without a sign, through a product that is a third slower
there; where nothing overflows (`bytes_overflow`), they keep their sign and are as fast as 7 bits.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tadicodec.errors import InputError
from tadicodec.integers.grid import split, to_levels, weight_grid
from tadicodec.integers.onnx_linear import INT8_ACTIVATIONS, laid_out, load_onnx, session
from tadicodec.integers.packed_linear import Format, Integers, PackedLinear
from tadicodec.integers.ranges import absmax
from tadicodec.runtime.graph import OPSET

WIDTHS = (8, 7, 4)
BLOCK = 32  # inputs that share a scale in 4 bits
NARROWEST = 64  # inputs and outputs of a product that is worth it
MIDDLE = 128  # of bytes, where weights go without a sign
ROW_LEVELS = 127.0  # of bytes to either side of the middle
GATED = "down_proj"  # in the names of products behind a gate


def to_integers(model: Any, bits: int, *, signed: bool = False) -> Any:
    """A copy of an `onnx.ModelProto` in which every wide product with a stored weight is one of integers.

    signed: weights of 8 bits keep their sign, for processors on which `bytes_overflow` is false; others would compute
    something else.

    Raises:
        InputError: bits other than 8, 7 and 4.
    """
    if bits not in WIDTHS:
        raise InputError(f"export: integers have 8, 7 or 4 bits, not {bits}")
    onnx, _, arrays = load_onnx()
    made = onnx.ModelProto()
    made.CopyFrom(model)
    stored = {tensor.name: tensor for tensor in made.graph.initializer}
    nodes: list[Any] = []
    new: list[Any] = []
    done: set[str] = set()
    for node in made.graph.node:
        weight = stored.get(node.input[1]) if node.op_type == "MatMul" else None
        values = None if weight is None else torch.from_numpy(arrays.to_array(weight).copy())
        if weight is None or values is None or not fits(values, bits):
            nodes.append(node)
            continue
        own, tensors = four_bits(node, values.T) if bits == 4 else whole_bytes(node, values.T, bits, signed)
        nodes += own
        new += [tensor for tensor in tensors if tensor.name not in {t.name for t in new}]
        done.add(weight.name)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for name, tensor in stored.items() if name in used or name not in done]
    del made.graph.node[:], made.graph.initializer[:]
    made.graph.node.extend(nodes)
    made.graph.initializer.extend([*kept, *new])
    if bits == 4:
        made.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return made


def fits(weight: Tensor, bits: int) -> bool:
    """Whether a product's weight [i, o] is wide enough, and its inputs divide into blocks."""
    return weight.ndim == 2 and min(weight.shape) >= NARROWEST and (bits != 4 or weight.shape[0] % BLOCK == 0)


def rounded(weight: Tensor, bits: int, group: int) -> Integers:
    """A weight [o, i] to the nearest integers of symmetric grids."""
    grid = weight_grid(bits, group, narrow=True)
    groups = split(weight, grid)
    scale = absmax(groups, grid)
    return Integers(to_levels(groups, scale, None, grid).flatten(-2), scale)


def whole_bytes(node: Any, weight: Tensor, bits: int, signed: bool) -> tuple[list[Any], list[Any]]:
    """The nodes and stored tensors of x W for a weight [o, i] in 8 bits, without a sign unless `signed`, or in 7 with
    one; node: the float product."""
    _, helper, arrays = load_onnx()
    source, result, stem = node.input[0], node.output[0], f"{node.input[1]}_{bits}"
    integers = rounded(weight, bits, 0)
    middle, kind = (MIDDLE, torch.uint8) if bits == 8 and not signed else (0, torch.int8)
    tensors = [
        arrays.from_array((integers.levels.T + middle).to(kind).contiguous().numpy(), f"{stem}_w"),
        arrays.from_array(torch.tensor(middle, dtype=kind).numpy(), f"{stem}_z"),
        arrays.from_array(integers.scale.flatten().numpy(), f"{stem}_s"),
    ]
    steps, constants, (x, size, zero) = (each_row if GATED in node.name else all_rows)(source, result)
    whole, real, scaled = (f"{result}_{part}" for part in ("i", "f", "w"))
    nodes = [
        *steps,
        helper.make_node("MatMulInteger", [x, f"{stem}_w", zero, f"{stem}_z"], [whole]),
        helper.make_node("Cast", [whole], [real], to=1),
        helper.make_node("Mul", [size, f"{stem}_s"], [scaled]),
        helper.make_node("Mul", [real, scaled], [result]),
    ]
    return nodes, [*tensors, *constants]


Rounding = tuple[list[Any], list[Any], tuple[str, str, str]]


def all_rows(source: str, result: str) -> Rounding:
    """Nodes that round x [..., i] to bytes with one scale, their constants, and names of bytes, scale and zero."""
    _, helper, _ = load_onnx()
    names = (f"{result}_x", f"{result}_xs", f"{result}_xz")
    return [helper.make_node("DynamicQuantizeLinear", [source], list(names))], [], names


def each_row(source: str, result: str) -> Rounding:
    """As `all_rows`, with a scale for each row of x, from its largest value."""
    _, helper, arrays = load_onnx()
    constants = {"row_least": np.float32(1e-12), "row_step": np.float32(1 / ROW_LEVELS), "row_zero": np.uint8(MIDDLE)}
    size, top, scale, unit, x = (f"{result}_{part}" for part in ("a", "t", "xs", "u", "x"))
    nodes = [
        helper.make_node("Abs", [source], [size]),
        helper.make_node("ReduceMax", [size], [top], axes=[-1], keepdims=1),
        helper.make_node("Max", [top, "row_least"], [f"{top}_"]),
        helper.make_node("Mul", [f"{top}_", "row_step"], [scale]),
        helper.make_node("Div", [source, f"{top}_"], [unit]),
        helper.make_node("QuantizeLinear", [unit, "row_step", "row_zero"], [x]),
    ]
    tensors = [arrays.from_array(np.asarray(value), name) for name, value in constants.items()]
    return nodes, tensors, (x, scale, "row_zero")


def four_bits(node: Any, weight: Tensor) -> tuple[list[Any], list[Any]]:
    """The node and stored tensors of x W for a weight [o, i] in half bytes; node: the float product."""
    _, helper, arrays = load_onnx()
    stem = f"{node.input[1]}_4"
    form = Format(4, BLOCK, "float32")
    weights, scales, _ = laid_out(PackedLinear.of(rounded(weight, 4, BLOCK), None, form), BLOCK)
    tensors = [arrays.from_array(weights, f"{stem}_w"), arrays.from_array(scales, f"{stem}_s")]
    product = helper.make_node(
        "MatMulNBits",
        [node.input[0], f"{stem}_w", f"{stem}_s"],
        [node.output[0]],
        domain="com.microsoft",
        K=weight.shape[1],
        N=weight.shape[0],
        bits=4,
        block_size=BLOCK,
        accuracy_level=INT8_ACTIVATIONS,
    )
    return [product], tensors


@cache
def bytes_overflow() -> bool:
    """Whether this machine's product of bytes with signed bytes overflows, as AVX2's does: two of the largest add up to
    more than 16 bits hold.

    Raises:
        InputError: the packages of the extra `onnx` are missing.
    """
    onnx, helper, arrays = load_onnx()
    weight = np.full((NARROWEST, NARROWEST), MIDDLE - 1, np.int8)
    given = np.full((NARROWEST, NARROWEST), 2 * MIDDLE - 1, np.uint8)
    shape = [NARROWEST, NARROWEST]
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "weight"], ["y"])],
        "bytes",
        [helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.INT32, shape)],
        [arrays.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    (found,) = session(model.SerializeToString()).run(None, {"x": given})
    return bool((found != given.astype(np.int32) @ weight.astype(np.int32)).any())
