"""Shapes of all tensors of an ONNX graph: ONNX's inference, and the small integer sums that shapes are made of.

Exporters compute shapes in the graph (Shape → Gather → Concat → Reshape). Inference alone stops there; here such
operators are evaluated once their inputs are known, and inference goes on. Only listed operators on small tensors are
evaluated, so that a file cannot make this take long.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError

if TYPE_CHECKING:
    import onnx

Known = dict[str, tuple[int, tuple[int | None, ...] | None]]
"""{tensor: (ONNX's number of its type, shape)}."""
LARGEST = 1 << 14
ROUNDS = 12
_AS_STANDARD = {"FusedConv": "Conv", "FusedGemm": "Gemm"}
_EVALUATED = frozenset(
    [
        "Add",
        "And",
        "Cast",
        "Ceil",
        "Concat",
        "ConstantOfShape",
        "Div",
        "Equal",
        "Expand",
        "Floor",
        "Gather",
        "Greater",
        "Identity",
        "Less",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Pow",
        "Range",
        "ReduceMax",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "Reshape",
        "Round",
        "Slice",
        "Split",
        "Squeeze",
        "Sqrt",
        "Sub",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)


def shapes_of(model: onnx.ModelProto, path: Path) -> Known:
    """Return types and shapes of all tensors that can be determined; `model` is changed on the way."""
    graph = model.graph
    # what the exporter noted may belong to inputs of other shapes
    del graph.value_info[:]
    for output in graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    for node in graph.node:
        if node.domain == "com.microsoft" and node.op_type in _AS_STANDARD:
            node.domain, node.op_type = "", _AS_STANDARD[node.op_type]
    values = _small_constants(model)
    known: Known = {}
    for _ in range(ROUNDS):
        known = _infer(model, path)
        if not _evaluate(model, known, values):
            break
    return known


def _infer(model: onnx.ModelProto, path: Path) -> Known:
    import onnx

    try:
        found = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as e:
        raise BadInputError(
            "the shapes of the model's tensors contradict each other",
            where=path,
            got=str(e).splitlines()[0][:200],
            fix="check the input shapes, or export the model again",
        ) from None
    known: Known = {t.name: (t.data_type, tuple(t.dims)) for t in found.initializer}
    for v in (*found.input, *found.output, *found.value_info):
        if v.name not in known and v.type.HasField("tensor_type"):
            known[v.name] = v.type.tensor_type.elem_type, _shape(v)
    return known


def _shape(value: onnx.ValueInfoProto) -> tuple[int | None, ...] | None:
    if not value.type.tensor_type.HasField("shape"):
        return None
    dims = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)


def _small_constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    from onnx import TensorProto, numpy_helper

    values = {}
    for t in model.graph.initializer:
        if int(np.prod(t.dims, dtype=np.float64)) <= LARGEST:
            _keep(values, t.name, t, numpy_helper, TensorProto)
    for node in model.graph.node:
        if node.op_type == "Constant":
            for a in node.attribute:
                if a.name == "value" and int(np.prod(a.t.dims, dtype=np.float64)) <= LARGEST:
                    _keep(values, node.output[0], a.t, numpy_helper, TensorProto)
                elif a.name == "value_int":
                    values[node.output[0]] = np.array(a.i, np.int64)
                elif a.name == "value_ints":
                    values[node.output[0]] = np.array(list(a.ints), np.int64)
    return values


def _keep(values: dict[str, np.ndarray], name: str, tensor: Any, helper: Any, proto: Any) -> None:
    if tensor.data_location == proto.EXTERNAL:
        return
    try:
        values[name] = helper.to_array(tensor)
    except (ValueError, TypeError, KeyError):
        return


def _evaluate(model: onnx.ModelProto, known: Known, values: dict[str, np.ndarray]) -> bool:
    """Evaluate what became computable, store it as constants; return whether there was anything new."""
    from onnx import numpy_helper

    changed = False
    for node in list(model.graph.node):
        if not node.output or node.output[0] in values or node.op_type == "Constant":
            continue
        found = _value(node, known, values, model.opset_import)
        if found is None:
            continue
        for name, value in zip(node.output, found):
            values[name] = value
            model.graph.initializer.append(numpy_helper.from_array(value, name))
        model.graph.node.remove(node)
        changed = True
    return changed


def _value(
    node: onnx.NodeProto, known: Known, values: dict[str, np.ndarray], opsets: Any
) -> list[np.ndarray] | None:
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type in ("Shape", "Size"):
        return _shape_value(node, known)
    if node.op_type not in _EVALUATED or not all(not n or n in values for n in node.input):
        return None
    inputs = {n: values[n] for n in node.input if n}
    if _grows(node, [values[n] for n in node.input if n]):
        return None
    return _run(node, inputs, opsets)


def _shape_value(node: onnx.NodeProto, known: Known) -> list[np.ndarray] | None:
    shape = known.get(node.input[0], (0, None))[1]
    if shape is None or any(n is None for n in shape):
        return None
    sides = np.array(shape, np.int64)
    if node.op_type == "Size":
        return [np.array(sides.prod(), np.int64)]
    ends = {a.name: int(a.i) for a in node.attribute}
    return [sides[ends.get("start", 0) : ends.get("end")]]


def _grows(node: onnx.NodeProto, inputs: list[np.ndarray]) -> bool:
    """Return whether an operator's output may be larger than is worth evaluating."""
    if any(v.size > LARGEST for v in inputs):
        return True
    if node.op_type in ("ConstantOfShape", "Expand"):
        wanted = inputs[-1].astype(np.float64)
        return bool(np.prod(wanted) > LARGEST)
    if node.op_type == "Range":
        start, stop, step = (float(v) for v in inputs)
        return step == 0 or (stop - start) / step > LARGEST
    sides = [n for v in inputs for n in v.shape]  # broadcasting two vectors against each other
    return float(np.prod([max(n, 1) for n in sides], dtype=np.float64)) > 1 << 20


def _run(
    node: onnx.NodeProto, inputs: dict[str, np.ndarray], opsets: Any
) -> list[np.ndarray] | None:
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    entries = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for n, v in inputs.items()
    ]
    exits = [helper.make_empty_tensor_value_info(n) for n in node.output if n]
    graph = helper.make_graph([node], "one", entries, exits)
    try:
        with np.errstate(all="ignore"):
            one = helper.make_model(graph, opset_imports=list(opsets))
            found = ReferenceEvaluator(one).run(None, inputs)
    except Exception:
        # the evaluator raises whatever numpy and its operators raise; the shape then stays unknown
        return None
    arrays = [np.asarray(v) for v in found]
    return arrays if all(v.size <= LARGEST and v.dtype.kind in "iufb" for v in arrays) else None
