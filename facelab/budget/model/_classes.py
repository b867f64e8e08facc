"""Classes of work that devices have different rates for, and operators that runtimes compute with the one before."""

from __future__ import annotations

import math

from facelab.budget.model._arena import VIEWS
from facelab.budget.model._graph import Graph, Operator

WORKS = (
    *("conv", "pointwise", "depthwise", "grouped", "transposed", "matmul", "recurrent"),
    *("elementwise", "prelu", "nonlinear", "pool", "move", "view"),
)
"""`conv` has kernels larger than 1, `pointwise` 1×1. Without MACs: `elementwise` (sums, products, comparisons),
`prelu`, `nonlinear` (exponentials and the like), `pool`, `move` (all others), and `view` (the same bytes in another
shape: free)."""
PLAIN = "plain "
"""Before `conv`, `pointwise`, `depthwise`, `grouped`: the runtime cannot rearrange weights or channels for its fast
kernels. Either the file lists the weights as inputs too, as old exporters did, so that a caller may replace them at any
time; or the channels do not fill the blocks of the device (`DeviceModel.channel_block`)."""
PLAIN_WORKS = tuple(PLAIN + work for work in WORKS[:4])
_CONV = frozenset(
    ["Conv", "QLinearConv", "ConvInteger", "FusedConv", "DeformConv", "CONV_2D", "CONV_3D"]
)
_MATMUL = frozenset(
    [
        "Gemm",
        "MatMul",
        "QLinearMatMul",
        "MatMulInteger",
        "Einsum",
        "FusedMatMul",
        "FusedGemm",
        "QGemm",
        "DynamicQuantizeMatMul",
        "MatMulIntegerToFloat",
        "FULLY_CONNECTED",
        "BATCH_MATMUL",
    ]
)
_RECURRENT = frozenset(
    ["LSTM", "GRU", "RNN", "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN", "SVDF"]
)
_ACTIVATIONS = frozenset(
    [
        "Relu",
        "LeakyRelu",
        "Clip",
        "Sigmoid",
        "Tanh",
        "HardSigmoid",
        "BatchNormalization",
        "Mul",
        "Add",
        "RELU",
        "RELU6",
        "RELU_N1_TO_1",
    ]
)
_WITH_CONSTANT = frozenset(["Mul", "Add", "BatchNormalization"])
_ELEMENTWISE = frozenset(
    [
        "add",
        "sub",
        "mul",
        "div",
        "relu",
        "leakyrelu",
        "clip",
        "relu6",
        "relu_n1_to_1",
        "leaky_relu",
        "max",
        "min",
        "maximum",
        "minimum",
        "neg",
        "abs",
        "where",
        "batchnormalization",
        "square",
        "squared_difference",
        "less",
        "greater",
        "equal",
        "not",
        "and",
        "or",
        "select",
        "select_v2",
        "hardsigmoid",
        "hardswish",
        "hard_swish",
        "qlinearadd",
        "qlinearmul",
        "floor",
        "ceil",
        "round",
        "sqrt",
        "reciprocal",
    ]
)
_NONLINEAR = frozenset(
    [
        "sigmoid",
        "logistic",
        "tanh",
        "exp",
        "log",
        "softmax",
        "log_softmax",
        "logsoftmax",
        "erf",
        "gelu",
        "softplus",
        "pow",
        "selu",
        "elu",
        "mish",
        "sin",
        "cos",
        "instancenormalization",
        "layernormalization",
        "lpnormalization",
        "l2_normalization",
        "local_response_normalization",
        "lrn",
        "qlinearsigmoid",
        "qlinearsoftmax",
        "fastgelu",
        "quickgelu",
    ]
)


def class_of(op: Operator, format: str) -> str:
    """Return the class of work of an operator, one of `WORKS`."""
    if op.kind in VIEWS and not op.domain:
        return "view"
    if op.kind == "DEPTHWISE_CONV_2D":
        return "depthwise"
    if op.kind in ("ConvTranspose", "TRANSPOSE_CONV"):
        return "transposed"
    if op.kind in _RECURRENT:
        return "recurrent"
    if op.kind in _MATMUL:
        return "matmul"
    return _convolution(op, format) if op.kind in _CONV else _without_macs(op.kind.lower())


def _without_macs(kind: str) -> str:
    if kind == "prelu":
        return kind
    if kind in _ELEMENTWISE:
        return "elementwise"
    if kind in _NONLINEAR:
        return "nonlinear"
    pools = "pool" in kind or kind.startswith(("reduce", "mean", "sum"))
    return "pool" if pools else "move"


def _convolution(op: Operator, format: str) -> str:
    weights = op.input(3 if op.kind == "QLinearConv" else 1)
    if weights is None or weights.shape is None or any(n is None for n in weights.shape):
        return "conv"
    sides = [int(n) for n in weights.shape if n is not None]
    kernel = sides[2:] if format == "onnx" else sides[1:-1]
    groups = int(op.attributes.get("group", 1)) if format == "onnx" else 1
    if groups > 1:
        work = "depthwise" if sides[1] == 1 and sides[0] == groups else "grouped"
    else:
        work = "pointwise" if math.prod(kernel) == 1 else "conv"
    return PLAIN + work if weights.replaceable else work


def fused_into_producer(graph: Graph) -> set[int]:
    """Return the places of operators that runtimes fuse into the convolution or product that feeds them.

    Batch normalisation with constants, activations, and products or sums with a constant, in a chain, where nothing
    else reads the value between. Two activations are not fused into one operator.
    """
    readers: dict[str, int] = {}
    for op in graph.operators:
        for t in op.present:
            readers[t.name] = readers.get(t.name, 0) + 1
    for t in graph.outputs:
        readers[t.name] = readers.get(t.name, 0) + 1
    open_values: dict[
        str, bool
    ] = {}  # value after a convolution → whether an activation is still free
    fused = set()
    for op in graph.operators:
        if op.folded or not op.outputs:
            continue
        made = op.outputs[0].name
        source = next((t.name for t in op.present if not t.constant), "")
        free = open_values.get(source)
        if free and readers.get(source) == 1 and _fuses(op):
            fused.add(op.index)
            open_values[made] = op.kind in ("BatchNormalization", "Mul", "Add")
        elif class_of(op, graph.format) in (*WORKS[:6], *PLAIN_WORKS):
            open_values[made] = True
    return fused


def _fuses(op: Operator) -> bool:
    if op.kind not in _ACTIVATIONS or op.domain:
        return False
    constants = all(t.constant for t in op.present[1:]) or all(t.constant for t in op.present[:-1])
    return constants if op.kind in _WITH_CONSTANT else True


def channels_of(op: Operator, format: str) -> tuple[int, int] | None:
    """Return the channels that a convolution reads and writes, or None where it is not one or they are unknown."""
    axis = 1 if format == "onnx" else -1
    data, made = op.input(0), op.outputs[0] if op.outputs else None
    if (op.kind not in _CONV and op.kind != "DEPTHWISE_CONV_2D") or data is None or made is None:
        return None
    sides = [t.shape[axis] for t in (data, made) if t.shape is not None and len(t.shape) > 2]
    if len(sides) != 2 or any(n is None for n in sides):
        return None
    return int(sides[0] or 0), int(sides[1] or 0)
