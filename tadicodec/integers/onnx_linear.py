"""Packed layers through ONNX Runtime's MatMulNBits: the stored integers as they are, multiplied by 8-bit activations.

Plain torch unpacks a weight and multiplies in floating point; this one never does, and needs no compiler. Each layer
keeps a session of its own, so any network can use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from tadicodec.errors import InputError
from tadicodec.integers.lookup import replace_module
from tadicodec.integers.packed_linear import PackedLinear, prepare_input
from tadicodec.integers.packing import pack

if TYPE_CHECKING:
    import onnx

BLOCKS = (256, 128, 64, 32, 16)  # inputs that may share a scale there
INT8_ACTIVATIONS = 4  # accuracy_level; 0 multiplies in float32


def use_onnxruntime(model: nn.Module, accuracy_level: int = INT8_ACTIVATIONS) -> nn.Module:
    """Let ONNX Runtime multiply all packed layers of a network, in place, on the CPU. The network then only infers.

    Raises:
        InputError: ONNX Runtime is not installed, the network has no packed layer, or a format it does not know.
    """
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, PackedLinear)}
    if not layers:
        raise InputError("onnx: the network has no packed layer; quantize it first (`tadicodec quantize`)")
    for name, layer in layers.items():
        replace_module(model, name, RuntimeLinear(layer, accuracy_level))
    return model


class RuntimeLinear(nn.Module):
    """A packed layer whose product is computed by one session of ONNX Runtime."""

    signs: Tensor | None
    smooth: Tensor | None

    def __init__(self, layer: PackedLinear, accuracy_level: int = INT8_ACTIVATIONS) -> None:
        super().__init__()
        self.in_features, self.out_features, self.form = layer.in_features, layer.out_features, layer.form
        self.register_buffer("signs", layer.signs)
        self.register_buffer("smooth", layer.smooth)
        self.session = session(product_model(layer, accuracy_level).SerializeToString())

    def _save_to_state_dict(self, *_: Any) -> None:
        raise InputError("onnx: a network in ONNX Runtime cannot be saved; save it before use_onnxruntime")

    def forward(self, x: Tensor) -> Tensor:
        """Inputs [..., i] -> outputs [..., o], in the dtype and on the device of the inputs."""
        rows = (
            prepare_input(x, self.form, self.signs, self.smooth)
            .detach()
            .float()
            .reshape(-1, self.in_features)
            .contiguous()
            .cpu()
        )
        (found,) = self.session.run(None, {"x": rows.contiguous().cpu().numpy()})
        return torch.from_numpy(found).reshape(*x.shape[:-1], -1).to(x.device, x.dtype)


def product_model(layer: PackedLinear, accuracy_level: int = INT8_ACTIVATIONS) -> onnx.ModelProto:
    """x [rows, i] -> y [rows, o] as an ONNX model of one MatMulNBits.

    Raises:
        InputError: onnx is not installed, or ONNX Runtime has no such format.
    """
    onnx, helper, arrays = load_onnx()
    block = block_size(layer)
    weight, scales, zeros = laid_out(layer, block)
    tensors = {"weight": weight, "scales": scales, "zeros": zeros, "order": None, "bias": bias_of(layer)}
    given = [name if value is not None else "" for name, value in tensors.items()]
    while not given[-1]:
        given.pop()
    node = helper.make_node(
        "MatMulNBits",
        ["x", *given],
        ["y"],
        domain="com.microsoft",
        K=layer.in_features,
        N=layer.out_features,
        bits=layer.form.width,
        block_size=block,
        accuracy_level=accuracy_level,
    )
    real = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [node],
        "linear",
        [helper.make_tensor_value_info("x", real, ["rows", layer.in_features])],
        [helper.make_tensor_value_info("y", real, ["rows", layer.out_features])],
        [arrays.from_array(value, name) for name, value in tensors.items() if value is not None],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def block_size(layer: PackedLinear) -> int:
    """The largest number of inputs that ONNX Runtime takes as a block and over which each scale is constant.

    Raises:
        InputError: the layer's groups fit no such block.
    """
    group = layer.form.group or BLOCKS[0]  # one scale a row is repeated
    for block in BLOCKS:
        if group % block == 0:
            return block
    raise InputError(f"onnx: groups of {group} inputs cannot be exported; ONNX Runtime takes 16, 32, 64, 128 and 256")


def laid_out(layer: PackedLinear, block: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """A layer's integers as MatMulNBits wants them.

    Gives bytes [o, blocks, block * bits / 8] uint8, scales [o, blocks] float32 and zero points [o, bytes] uint8 (None:
    the middle of the stored range).

    Raises:
        InputError: a zero point is no integer of the grid.
    """
    form, middle = layer.form, layer.middle
    values = layer.levels().long() + (0 if form.zero else middle)
    blocks = -(-layer.in_features // block)
    padded = torch.nn.functional.pad(values, (0, blocks * block - layer.in_features), value=middle)
    weight = pack(padded.unflatten(-1, (blocks, block)), form.width)
    repeat = blocks if not form.group else form.group // block
    scales = layer.scale.float().repeat_interleave(repeat, dim=1)
    if layer.zero is None:
        return weight.numpy(), scales.numpy(), None
    zero = layer.zero.float().repeat_interleave(repeat, dim=1)
    if bool((zero != zero.round()).any()) or float(zero.min()) < 0 or float(zero.max()) >= 2**form.width:
        raise InputError("onnx: a zero point is no integer of the grid; ONNX Runtime cannot take this layer")
    return weight.numpy(), scales.numpy(), pack(zero.long(), form.width).numpy()


def bias_of(layer: PackedLinear) -> np.ndarray | None:
    """A layer's bias [o] float32, or None where it has none."""
    return None if layer.bias is None else layer.bias.detach().float().numpy()


def session(model: bytes | str) -> Any:
    """A session of ONNX Runtime on the CPU, for a serialised model or a file's name, with as many threads as torch has.

    Raises:
        InputError: the packages of the extra `onnx` are missing, or a file that is no such model.
    """
    load_onnx()
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # there are many sessions
    unreadable = (errors.Fail, errors.InvalidArgument, errors.InvalidGraph, errors.InvalidProtobuf, errors.NoSuchFile)
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except unreadable as error:
        name = "a graph" if isinstance(model, bytes) else model
        raise InputError(f"onnx: ONNX Runtime cannot read {name}") from error


def load_onnx() -> tuple[Any, Any, Any]:
    """The modules onnx, onnx.helper and onnx.numpy_helper.

    Raises:
        InputError: the packages of the extra `onnx` are missing.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401
        from onnx import helper, numpy_helper
    except (ImportError, OSError) as error:
        raise InputError(f"this needs ONNX Runtime: pip install 'tadicodec[onnx]' ({error})") from error
    return onnx, helper, numpy_helper
