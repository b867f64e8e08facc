"""Read a TFLite file as a `Graph`. Shapes are those in the file, or what LiteRT gives after resizing the inputs."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facelab.budget.model._graph import Graph, Operator, Tensor
from facelab.core.errors import BadInputError, UnsupportedError, did_you_mean
from facelab.core.files import read_model

_SAME_SHAPE = frozenset(
    [
        "SOFTMAX",
        "LOG_SOFTMAX",
        "LOGISTIC",
        "TANH",
        "RELU",
        "RELU6",
        "LEAKY_RELU",
        "HARD_SWISH",
        "ELU",
        "EXP",
        "LOG",
        "NEG",
        "ABS",
        "SQRT",
        "RSQRT",
        "SQUARE",
        "QUANTIZE",
        "DEQUANTIZE",
        "CAST",
        "L2_NORMALIZATION",
    ]
)


def read_tflite(path: Path, shapes: Mapping[str, Sequence[int]]) -> Graph:
    """Return the graph of a TFLite file's main subgraph; `shapes` gives the inputs that are to be resized."""
    model, schema = _load(path)
    graph, notes = model.subgraphs[0], []
    reader = _Reader(model, graph, schema, path)
    if shapes or any(_open(graph.tensors[i]) for i in graph.inputs):
        reader.resized = _resize(path, graph, shapes)
    if len(model.subgraphs) > 1:
        notes.append(f"{len(model.subgraphs) - 1} further subgraphs are not counted")
    return Graph(
        "tflite",
        tuple(reader.operator(k, op) for k, op in enumerate(graph.operators)),
        tuple(reader.tensor(i) for i in graph.inputs),
        tuple(reader.tensor(i) for i in graph.outputs),
        sum(_stored(b) for b in model.buffers),
        path.stat().st_size,
        tuple(notes),
    )


def _load(path: Path) -> tuple[Any, Any]:
    from ai_edge_litert import schema_py_generated as schema

    try:
        data = read_model(path)
        if data[4:8] != b"TFL3":
            raise ValueError("no TFL3 mark at byte 4")
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
        if not model.subgraphs or model.subgraphs[0].operators is None:
            raise ValueError("no graph")
    except OSError as e:
        raise BadInputError(
            "the model cannot be read", where=path, got=e.strerror, fix="check the path"
        ) from None
    except (IndexError, TypeError, ValueError, AttributeError, struct.error) as e:
        raise BadInputError(
            "the file is not a TFLite model",
            where=path,
            expected="a TFL3 FlatBuffer",
            got=str(e)[:120],
            fix="the file may be truncated; fetch it again",
        ) from None
    return model, schema


def _stored(buffer: Any) -> int:
    if buffer.offset > 1:
        return int(buffer.size)
    return 0 if buffer.data is None else len(buffer.data)


def _shape_in_file(tensor: Any, constant: bool) -> tuple[int | None, ...]:
    """Return a tensor's shape; a side that the signature leaves open, or that is 0 where data will be, is unknown.

    Converters write 1 or 0 for such a side, which would make a convolution cost next to nothing. An open batch is 1.
    """
    sides = [] if tensor.shape is None else [int(n) for n in tensor.shape]
    signature = [] if tensor.shapeSignature is None else [int(n) for n in tensor.shapeSignature]
    if len(signature) != len(sides):
        signature = sides
    known = [
        n if s >= 0 or (axis == 0 and n == 1) else -1
        for axis, (n, s) in enumerate(zip(sides, signature))
    ]
    return tuple(n if n > 0 or (n == 0 and constant) else None for n in known)


def _open(tensor: Any) -> bool:
    signature = tensor.shapeSignature
    return signature is not None and any(int(n) < 0 for n in list(signature)[1:])


def _resize(path: Path, graph: Any, shapes: Mapping[str, Sequence[int]]) -> dict[int, tuple]:
    """Return {tensor: shape} for all tensors, as LiteRT's reference kernels see them after resizing."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    names = {graph.tensors[i].name.decode(): int(i) for i in graph.inputs}
    for name in shapes:
        if name not in names:
            raise BadInputError(
                f"the model has no input {name!r}{did_you_mean(name, list(names))}",
                where=path,
                expected=", ".join(names),
                got=name,
                fix="name an input of the model",
            )
    missing = [n for n, i in names.items() if n not in shapes and _open(graph.tensors[i])]
    if missing:
        shown = ",".join(
            "N" if n < 0 else str(n) for n in graph.tensors[names[missing[0]]].shapeSignature
        )
        raise BadInputError(
            f"the input {missing[0]!r} leaves its shape open",
            where=path,
            expected="a shape for each such input",
            got="none",
            fix=f"give its shape: --input {missing[0]}={shown}",
        )
    try:
        interpreter = Interpreter(
            model_path=str(path),
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        for name, sides in shapes.items():
            interpreter.resize_tensor_input(names[name], [int(n) for n in sides])
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as e:
        raise BadInputError(
            "the model does not take these input shapes",
            where=path,
            got=str(e).splitlines()[0][:160],
            fix="check the shapes against the model's inputs",
        ) from None
    return {d["index"]: tuple(int(n) for n in d["shape"]) for d in interpreter.get_tensor_details()}


class _Reader:
    def __init__(self, model: Any, graph: Any, schema: Any, path: Path) -> None:
        self.model, self.graph, self.path = model, graph, path
        self.resized: dict[int, tuple] = {}
        self.kinds = _names(schema.BuiltinOperator)
        self.types = {v: k.lower() for v, k in _names(schema.TensorType).items()}
        self.constants = {
            i for i, t in enumerate(graph.tensors) if _stored(model.buffers[t.buffer]) > 0
        }

    def tensor(self, index: int) -> Tensor:
        try:
            t = self.graph.tensors[index]
        except IndexError:
            raise self._broken(f"tensor {index} of {len(self.graph.tensors)}") from None
        shape = self.resized.get(index)
        if shape is None:
            shape = _shape_in_file(t, index in self.constants)
        name = (t.name or b"").decode("utf-8", "replace")
        # names need not be unique in a TFLite file, places are
        return Tensor(
            f"{index}:{name}", self.types.get(t.type, "unknown"), shape, index in self.constants
        )

    def operator(self, index: int, op: Any) -> Operator:
        try:
            code = self.model.operatorCodes[op.opcodeIndex]
        except (IndexError, TypeError):
            raise self._broken(f"operator code {op.opcodeIndex}") from None
        kind = self.kinds.get(max(code.builtinCode, code.deprecatedBuiltinCode), "?")
        domain = ""
        if kind == "CUSTOM":
            kind = (code.customCode or b"CUSTOM").decode("utf-8", "replace")
            domain = "custom"
        places = [] if op.inputs is None else [int(i) for i in op.inputs]
        outputs = [] if op.outputs is None else [int(i) for i in op.outputs]
        if places and all(i < 0 or i in self.constants for i in places) and not domain:
            self.constants |= set(outputs)
        if places and outputs:
            self._follow(kind, [i for i in places if i >= 0], outputs[0], op.builtinOptions)
        made = tuple(self.tensor(i) for i in outputs)
        return Operator(
            index,
            kind,
            domain,
            made[0].name.partition(":")[2] if made else "",
            tuple(self.tensor(i) if i >= 0 else None for i in places),
            made,
            _attributes(op.builtinOptions),
            int(kind in ("WHILE", "IF", "CALL", "CALL_ONCE")),
        )

    def _follow(self, kind: str, sources: list[int], made: int, options: Any) -> None:
        """Fill in open sides of an output where they follow from the inputs."""
        after = self.tensor(made).shape or ()
        if None not in after or not sources:
            return
        before = [self.tensor(i) for i in sources]
        if any(t.elements is None for t in before):
            return
        first = before[0].shape or ()
        if kind == "RESHAPE" and after.count(None) == 1:
            rest = math.prod(n for n in after if n is not None)
            if rest and (before[0].elements or 0) % rest == 0:
                side = (before[0].elements or 0) // rest
                self.resized[made] = tuple(side if n is None else n for n in after)
        elif kind in _SAME_SHAPE and len(first) == len(after):
            self.resized[made] = first
        elif kind == "CONCATENATION" and all(len(t.shape or ()) == len(after) for t in before):
            axis = options.axis % len(after)
            joined = sum(int((t.shape or ())[axis] or 0) for t in before)
            self.resized[made] = (*first[:axis], joined, *first[axis + 1 :])

    def _broken(self, what: str) -> UnsupportedError:
        return UnsupportedError(
            "the TFLite file refers to something that it does not hold",
            where=self.path,
            got=what,
            fix="the file may be truncated; fetch it again",
        )


def _names(group: Any) -> dict[int, str]:
    return {v: k for k, v in vars(group).items() if isinstance(v, int) and re.match(r"[A-Z]", k)}


def _attributes(options: Any) -> dict[str, Any]:
    found = {} if options is None else vars(options)
    return {k: v for k, v in found.items() if isinstance(v, (bool, int, float))}
