"""Multiply-accumulates per operator, by formula.

A MAC is one product that is added to a sum. Padding counts as if it were data, as in every published figure; biases,
activations, pooling and element-wise work are not MACs (their cost is the bytes that they move). A transposed
convolution is counted per input element, before its border is cut off. What has no formula here is unknown, not zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from facelab.budget.model._graph import Operator, Tensor

Formula = Callable[[Operator], int | None]


class UnknownShapeError(Exception):
    """A side that the formula needs cannot be determined."""


def _count(tensor: Tensor | None) -> int:
    if tensor is None or tensor.elements is None:
        raise UnknownShapeError
    return tensor.elements


def _sides(tensor: Tensor | None) -> tuple[int, ...]:
    _count(tensor)
    assert tensor is not None and tensor.shape is not None
    return tuple(int(n) for n in tensor.shape if n is not None)


def _weights(op: Operator, place: int) -> int:
    """Return how many elements a weight has; 0 where the input is left out."""
    return 0 if op.input(place) is None else _count(op.input(place))


def _per_output(weight: int) -> Formula:
    """Convolution with weights (out, in / groups, …) or (out, …, in / groups): one such row per output element."""
    return lambda op: _count(op.outputs[0]) * math.prod(_sides(op.input(weight))[1:])


def _per_input(op: Operator) -> int:
    """Transposed convolution of ONNX, weights (in, out / groups, …): one such row per input element."""
    return _count(op.input(0)) * math.prod(_sides(op.input(1))[1:])


def _product(a: int = 0, transposed: str = "", before: bool = False) -> Formula:
    """Matrix product: the inner side per output element; `transposed` names the attribute that turns the first.

    `before`: that attribute moves the first axis, not only the last two, to the end (`transBatchA` is refused).
    """

    def formula(op: Operator) -> int | None:
        sides = _sides(op.input(a))
        if not sides or (before and op.attributes.get("transBatchA")):
            return None
        turned = bool(transposed) and bool(op.attributes.get(transposed)) and len(sides) > 1
        return _count(op.outputs[0]) * sides[-2 if turned else -1]

    return formula


def _recurrent(op: Operator) -> int:
    """LSTM, GRU, RNN of ONNX: weights of all directions, once per time step and batch item; peepholes too."""
    x = _sides(op.input(0))
    peepholes = _weights(op, 7) if op.kind == "LSTM" else 0
    return math.prod(x[:2]) * (_weights(op, 1) + _weights(op, 2) + peepholes)


def _einsum(op: Operator) -> int | None:
    """Return the product of all label sides: what a plain loop over the equation does. None for ellipses."""
    equation = str(op.attributes.get("equation", "")).replace(" ", "")
    terms = equation.split("->")[0].split(",")
    if len(terms) < 2:
        return 0
    if "." in equation or len(terms) > 2 or len(terms) != len(op.present):
        return None
    side: dict[str, int] = {}
    for term, tensor in zip(terms, op.present):
        for label, n in zip(term, _sides(tensor), strict=True):
            side[label] = max(n, side.get(label, 1))
    return math.prod(side.values())


ONNX: dict[tuple[str, str], Formula] = {
    ("", "Conv"): _per_output(1),
    ("", "ConvInteger"): _per_output(1),
    ("", "QLinearConv"): _per_output(3),
    ("", "DeformConv"): _per_output(1),
    ("", "ConvTranspose"): _per_input,
    ("", "Gemm"): _product(transposed="transA"),
    ("", "MatMul"): _product(),
    ("", "MatMulInteger"): _product(),
    ("", "QLinearMatMul"): _product(),
    ("", "LSTM"): _recurrent,
    ("", "GRU"): _recurrent,
    ("", "RNN"): _recurrent,
    ("", "Einsum"): _einsum,
    ("com.microsoft", "FusedConv"): _per_output(1),
    ("com.microsoft", "FusedGemm"): _product(transposed="transA"),
    ("com.microsoft", "FusedMatMul"): _product(transposed="transA", before=True),
    ("com.microsoft", "QGemm"): _product(transposed="transA"),
    ("com.microsoft", "MatMulIntegerToFloat"): _product(),
    ("com.microsoft", "DynamicQuantizeMatMul"): _product(),
}
ONNX_UNKNOWN = frozenset(
    [
        "Attention",
        "DFT",
        "STFT",
        "If",
        "Loop",
        "Scan",
        "SequenceMap",
        "ImageDecoder",
        "RotaryEmbedding",
        "TfIdfVectorizer",
    ]
)
"""Standard operators that multiply and add, or hold other graphs, and have no formula here."""
MICROSOFT_WITHOUT = frozenset(
    [
        "QLinearAdd",
        "QLinearMul",
        "QLinearSigmoid",
        "QLinearLeakyRelu",
        "QLinearGlobalAveragePool",
        "QLinearAveragePool",
        "QLinearConcat",
        "QLinearSoftmax",
        "QLinearReduceMean",
        "QLinearWhere",
        "Gelu",
        "FastGelu",
        "QuickGelu",
        "BiasGelu",
        "BiasAdd",
        "BiasSoftmax",
        "SkipLayerNormalization",
        "QuantizeLinear",
        "DequantizeLinear",
        "Trilu",
        "Pad",
        "Unique",
    ]
)


def _fully_connected(op: Operator) -> int:
    weights = _sides(op.input(1))
    return _count(op.outputs[0]) * weights[-1]


def _depthwise(op: Operator) -> int:
    """TFLite's weights are (1, height, width, out)."""
    return _count(op.outputs[0]) * math.prod(_sides(op.input(1))[1:-1])


def _lite_transposed(op: Operator) -> int:
    """TFLite: inputs are the output's shape, weights (out, height, width, in), data."""
    return _count(op.input(2)) * math.prod(_sides(op.input(1))[:-1])


def _lite_3d(op: Operator) -> int:
    """TFLite's weights are (depth, height, width, in, out)."""
    return _count(op.outputs[0]) * math.prod(_sides(op.input(1))[:-1])


def _lite_batch(op: Operator) -> int:
    sides = _sides(op.input(0))
    return _count(op.outputs[0]) * sides[-2 if op.attributes.get("adjX") else -1]


def _lite_lstm(op: Operator) -> int:
    """Four input and four recurrent weights, peepholes and the projection, once per step and batch item."""
    x = _sides(op.input(0))
    steps = math.prod(x[:-1])
    return steps * sum(_weights(op, place) for place in (*range(1, 12), 16))


def _lite_rnn(op: Operator) -> int:
    x = _sides(op.input(0))
    return math.prod(x[:-1]) * (_weights(op, 1) + _weights(op, 2))


TFLITE: dict[str, Formula] = {
    "CONV_2D": _per_output(1),
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _lite_transposed,
    "CONV_3D": _lite_3d,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _lite_batch,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lite_lstm,
    "LSTM": _lite_lstm,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _lite_rnn,
    "RNN": _lite_rnn,
    "SVDF": _lite_rnn,
}
TFLITE_UNKNOWN = frozenset(
    [
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        "BIDIRECTIONAL_SEQUENCE_RNN",
        "CONV_3D_TRANSPOSE",
        "CALL",
        "CALL_ONCE",
        "WHILE",
        "IF",
        "DELEGATE",
        "RFFT2D",
        "CONCAT_EMBEDDINGS",
        "LSH_PROJECTION",
        "EMBEDDING_LOOKUP_SPARSE",
        "CUSTOM",
    ]
)


def macs(op: Operator, format: str) -> int | None:
    """Return an operator's multiply-accumulates, 0 for one that has none, None where it cannot be determined."""
    if op.folded:
        return 0
    formula = ONNX.get((op.domain, op.kind)) if format == "onnx" else TFLITE.get(op.kind)
    try:
        if formula is not None:
            return formula(op)
    except (UnknownShapeError, IndexError, ValueError):
        return None
    return 0 if _has_none(op, format) else None


def _has_none(op: Operator, format: str) -> bool:
    if op.subgraphs:
        return False
    if format == "tflite":
        known = not op.domain and op.kind not in TFLITE_UNKNOWN and "?" not in op.kind
        return known and not op.kind.startswith("STABLEHLO_")
    if op.domain == "com.microsoft":
        return op.kind in MICROSOFT_WITHOUT
    return op.domain == "" and op.kind not in ONNX_UNKNOWN
