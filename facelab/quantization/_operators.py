"""What an exported file really computes in: each operator's tensor types, read back from the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.budget.internals import Life, greedy_by_size
from facelab.core.errors import BadInputError, CheckFailedError
from facelab.core.files import read_model

FLOATS = ("float16", "float32", "float64", "bfloat16")
CONVERSIONS = (
    "QUANTIZE",
    "DEQUANTIZE",
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
)


class NotIntegerError(CheckFailedError):
    """A file promised as full integer has an operator that computes in floating point. Exit code 2: the recipe cannot
    do this model."""

    exit_code = 2
    operators: tuple[str, ...] = ()
    """The operators (by output) that compute in float without being asked to; conversions are not among them."""


@dataclass(frozen=True)
class Operator:
    """One operator of a graph: its place, type, name (a TFLite operator's is its first output's), and tensor types.

    `inputs` and `outputs` are (name, dtype, bytes, is constant) per tensor; `shape` that of the first output.
    """

    index: int
    kind: str
    name: str
    inputs: tuple[tuple[str, str, int, bool], ...]
    outputs: tuple[tuple[str, str, int, bool], ...]

    @property
    def computes(self) -> str:
        """The type it computes in: `float32`, `int8`, `float32 × int8` (a dynamic or hybrid kernel), or `index`."""
        weights = [
            d
            for _, d, _, constant in self.inputs
            if constant and d in ("int8", "uint8", "int4", "float16")
        ]
        kind = next((o[1] for o in self.outputs if o[1] not in ("int32", "int64", "bool")), "index")
        other = next((w for w in weights if w != kind), None)
        return (
            f"{kind} × {other}"
            if kind in FLOATS and other and self.kind not in CONVERSIONS
            else kind
        )

    @property
    def floating(self) -> tuple[str, ...]:
        """The names of its floating-point tensors."""
        return tuple(n for n, d, _, _ in (*self.inputs, *self.outputs) if d in FLOATS)

    def __str__(self) -> str:
        return f"{self.kind} #{self.index} ({self.name[-70:]})"


def operators(path: Path) -> list[Operator]:
    """Return the operators of a `.tflite` (main subgraph) or `.onnx` file, in order. Raises BadInputError."""
    return _onnx(path) if path.suffix.lower() == ".onnx" else _tflite(path)


def _tflite(path: Path) -> list[Operator]:
    from ai_edge_litert import schema_py_generated as schema

    try:
        model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(read_model(path), 0))
        graph = model.subgraphs[0]
    except (IndexError, TypeError, ValueError, AttributeError, OSError) as e:
        raise BadInputError(
            "the file is not a TFLite model",
            where=path,
            got=str(e)[:120],
            fix="name a .tflite file, or convert the model again",
        ) from e
    kinds = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    types = {v: k.lower() for k, v in vars(schema.TensorType).items() if isinstance(v, int)}

    def info(i: int) -> tuple[str, str, int, bool]:
        t = graph.tensors[i]
        buffer = model.buffers[t.buffer]
        size = buffer.size if buffer.offset > 1 else 0 if buffer.data is None else len(buffer.data)
        return t.name.decode(), types[t.type], size, size > 0

    found = []
    for index, op in enumerate(graph.operators):
        code = model.operatorCodes[op.opcodeIndex]
        kind = kinds.get(max(code.builtinCode, code.deprecatedBuiltinCode), "?")
        kind = code.customCode.decode() if code.customCode else kind
        outputs = tuple(info(i) for i in op.outputs)
        inputs = tuple(info(i) for i in op.inputs if i >= 0)
        found.append(Operator(index, kind, outputs[0][0] if outputs else "", inputs, outputs))
    return found


def _onnx(path: Path) -> list[Operator]:
    import onnx
    from onnx import helper

    model = onnx.load(str(path))
    constants = {i.name: i for i in model.graph.initializer}
    types = {name: _onnx_dtype(i.data_type, helper) for name, i in constants.items()}
    for v in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        types.setdefault(v.name, _onnx_dtype(v.type.tensor_type.elem_type, helper))
    # what value_info leaves out follows from the graph: QuantizeLinear gives its zero point's type, others float32
    for node in model.graph.node:
        for name in node.output:
            given = (
                types.get(node.input[2])
                if node.op_type == "QuantizeLinear" and len(node.input) > 2
                else None
            )
            types.setdefault(name, given or "float32")

    def info(name: str) -> tuple[str, str, int, bool]:
        size = (
            int(np.prod(constants[name].dims)) * np.dtype(types[name]).itemsize
            if name in constants
            else 0
        )
        return name, types.get(name, "float32"), size, name in constants

    return [
        Operator(
            i,
            n.op_type,
            n.name or (n.output[0] if n.output else ""),
            tuple(info(x) for x in n.input if x),
            tuple(info(x) for x in n.output if x),
        )
        for i, n in enumerate(model.graph.node)
    ]


def _onnx_dtype(number: int, helper: Any) -> str:
    try:
        return np.dtype(helper.tensor_dtype_to_np_dtype(number)).name
    except (KeyError, TypeError):
        return "float32"


def summary(found: Iterable[Operator], *, onnx: bool) -> dict[str, dict[str, int]]:
    """Return how many operators of each kind compute in which type.

    In ONNX's QDQ form an operator stands between conversions and is written in float; it counts as quantised where
    its data come from DequantizeLinear, which is when ONNX Runtime fuses it into an integer kernel.
    """
    found = list(found)
    quantised = quantised_onnx(found) if onnx else set()
    out: dict[str, Counter] = {}
    for op in found:
        out.setdefault(op.kind, Counter())[
            "int8 (QDQ)" if op.index in quantised else op.computes
        ] += 1
    return {kind: dict(sorted(counts.items())) for kind, counts in sorted(out.items())}


def quantised_onnx(found: Iterable[Operator]) -> set[int]:
    """Return the places of the ONNX operators whose first inputs come from DequantizeLinear, or that are integer."""
    found = list(found)
    dequantised = {o[0] for op in found if op.kind == "DequantizeLinear" for o in op.outputs}
    inside = set()
    for op in found:
        if op.kind in CONVERSIONS:
            continue
        data = [i[0] for i in op.inputs[:2]]
        if op.kind.endswith("Integer") or (data and all(d in dequantised for d in data)):
            inside.add(op.index)
    return inside


def check_integer(
    path: Path, *, keep_float: Iterable[str] = (), where: object = None
) -> list[Operator]:
    """Assert that a `.tflite` promised as full integer has no floating-point tensor, and return its operators.

    `keep_float` names operators (by their output in the float model) that were left in float on purpose; they and the
    conversions around them are allowed.

    Parameters
    ----------
    path : path
        A model file.
    keep_float : Iterable[str]
        Operators that stay in floats on purpose.
    where : object
        The place for messages.

    Returns
    -------
    list of Operator
        The operators that stay in floats.

    Raises
    ------
    NotIntegerError
        Naming the file (or `where`) and the operators that compute in float.
    BadInputError
        The file is not a TFLite model.
    """
    kept, found = set(keep_float), _tflite(path)
    allowed = {op.index for op in found if op.name in kept}
    inside = {n for op in found if op.index in allowed for n in op.floating}

    def fine(op: Operator) -> bool:
        # SHAPE of a float tensor computes no number; were the tensor a needless copy, its DEQUANTIZE is named here
        conversion = op.kind in CONVERSIONS and any(n in inside for n in op.floating)
        return not op.floating or op.index in allowed or conversion or op.computes == "index"

    wrong = [op for op in found if not fine(op)]
    if wrong:
        allowance = f", but for {', '.join(sorted(kept))}" if kept else ""
        error = NotIntegerError(
            "the file is not full integer: an operator computes in floating point",
            where=where or path,
            expected=f"integer tensors only{allowance}",
            got="; ".join(f"{op} in {op.computes}" for op in wrong[:5]),
            fix="this recipe cannot quantise that operator: name it with --keep-float, or say "
            "--keep-float auto, which finds such operators, or use another recipe",
        )
        error.operators = tuple(op.name for op in wrong if op.kind not in CONVERSIONS)
        raise error
    return found


def arena_bytes(path: Path) -> int:
    """Return the size of the memory plan for a `.tflite`'s activations at batch 1, in bytes.

    The plan is LiteRT's own (greedy by size: largest tensor first, at the lowest offset that is free during its life;
    64-byte alignment; Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020), for the
    reference kernels: a delegate such as XNNPACK adds its workspace and repacked weights.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    found = _tflite(path)
    sizes = {
        d["name"]: int(np.prod(d["shape"], dtype=np.int64)) * np.dtype(d["dtype"]).itemsize
        for d in interpreter.get_tensor_details()
        if d["dtype"] not in (np.str_, np.bytes_, np.object_)
    }
    first: dict[str, int] = {d["name"]: 0 for d in interpreter.get_input_details()}
    last: dict[str, int] = {
        d["name"]: len(found)
        for d in (*interpreter.get_input_details(), *interpreter.get_output_details())
    }
    for op in found:
        for name, _, _, constant in (*op.inputs, *op.outputs):
            if not constant:
                first.setdefault(name, op.index)
                last[name] = max(last.get(name, 0), op.index)
    return greedy_by_size([Life(sizes.get(n, 0), first[n], last[n]) for n in first])
