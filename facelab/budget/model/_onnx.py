"""Read an ONNX file as a `Graph`: shapes by ONNX's own inference from the shapes of one call's inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelab.budget.model._graph import Graph, Operator, Tensor
from facelab.budget.model._shapes import Known, shapes_of
from facelab.core.errors import BadInputError, UnsupportedError, did_you_mean
from facelab.core.files import read_model

if TYPE_CHECKING:
    import onnx


def read_onnx(path: Path, shapes: Mapping[str, Sequence[int]]) -> Graph:
    """Return the graph of an ONNX file; `shapes` gives the inputs whose shapes the file leaves open."""
    model, notes = _load(path), []
    stored = {t.name for t in model.graph.initializer}
    stored |= {t.values.name for t in model.graph.sparse_initializer}
    entries = [i for i in model.graph.input if i.name not in stored]
    _name_check(shapes, [i.name for i in entries], path)
    for entry in entries:
        notes += _fix_shape(entry, shapes.get(entry.name), path)
    if len(entries) < len(model.graph.input):
        notes.append("weights are listed as inputs: ONNX Runtime cannot rearrange them")
    copy = type(model)()
    copy.CopyFrom(model)
    reader = _Reader(model, stored, shapes_of(copy, path))
    return Graph(
        "onnx",
        tuple(reader.operator(k, n) for k, n in enumerate(model.graph.node)),
        tuple(reader.tensor(i.name) for i in entries),
        tuple(reader.tensor(o.name) for o in model.graph.output),
        sum(reader.tensor(name).bytes or 0 for name in sorted(stored)) + reader.constant_bytes,
        path.stat().st_size,
        tuple(notes),
    )


def _load(path: Path) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(read_model(path))
    except OSError as e:
        raise BadInputError(
            "the model cannot be read", where=path, got=e.strerror, fix="check the path"
        ) from None
    except (DecodeError, ValueError) as e:
        raise _not_onnx(path, str(e)) from None
    if not model.graph.node or not model.graph.output:
        raise _not_onnx(path, "a graph without operators or outputs")
    if model.functions:
        from onnx import inliner

        model = inliner.inline_local_functions(model)
    return model


def _not_onnx(path: Path, got: str) -> BadInputError:
    return BadInputError(
        "the file is not an ONNX model",
        where=path,
        expected="an ONNX protobuf",
        got=got.splitlines()[0][:120] if got else "an empty file",
        fix="the file may be truncated; fetch it again",
    )


def _name_check(shapes: Mapping[str, Sequence[int]], known: list[str], path: Path) -> None:
    for name, sides in shapes.items():
        if name not in known:
            raise BadInputError(
                f"the model has no input {name!r}{did_you_mean(name, known)}",
                where=path,
                expected=", ".join(known),
                got=name,
                fix="name an input of the model",
            )
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in sides):
            raise BadInputError(
                f"the shape for the input {name!r} is not a list of positive whole numbers",
                where=path,
                got=list(sides),
                fix="give one number per axis, such as 1,3,480,640",
            )


def _fix_shape(
    entry: onnx.ValueInfoProto, given: Sequence[int] | None, path: Path
) -> Iterable[str]:
    """Write a shape into an input; return what was assumed. An open first axis is a batch of one."""
    if not entry.type.HasField("tensor_type"):
        raise UnsupportedError(
            f"the input {entry.name!r} is not a tensor",
            where=path,
            fix="export the model with tensors as inputs",
        )
    shape = entry.type.tensor_type.shape
    stated = [d.dim_value if d.dim_value > 0 else None for d in shape.dim]
    notes = []
    sides: list[int | None]
    if given is not None:
        sides = list(given)
    else:
        sides = [1 if axis == 0 and n is None else n for axis, n in enumerate(stated)]
        if stated and stated[0] is None:
            notes.append(f"batch of 1 assumed for {entry.name}")
    wrong = len(sides) != len(stated) or any(
        n is not None and n != g for n, g in zip(stated, sides)
    )
    whole = [n for n in sides if n is not None]
    if wrong or len(whole) < len(sides):
        shown = ", ".join("?" if n is None else str(n) for n in stated)
        raise BadInputError(
            f"the input {entry.name!r} "
            + ("has a different shape" if wrong else "leaves its shape open"),
            where=path,
            expected=f"[{shown}]",
            got=sides,
            fix=f"give its shape: --input {entry.name}=" + shown.replace(" ", "").replace("?", "N"),
        )
    for dim, n in zip(shape.dim, whole):
        dim.dim_value = int(n)
    return notes


class _Reader:
    """Looks tensors up by name while operators are read in order."""

    def __init__(self, model: onnx.ModelProto, stored: set[str], known: Known) -> None:
        self.constants = set(stored)
        self.constant_bytes = 0
        self.replaceable = stored & {i.name for i in model.graph.input}
        self.known = {name: (_dtype(number), shape) for name, (number, shape) in known.items()}
        graph = model.graph
        for t in graph.initializer:
            self.known[t.name] = _dtype(t.data_type), tuple(t.dims)
        for t in graph.sparse_initializer:
            self.known[t.values.name] = _dtype(t.values.data_type), tuple(t.dims)

    def tensor(self, name: str) -> Tensor:
        dtype, shape = self.known.get(name, ("unknown", None))
        return Tensor(name, dtype, shape, name in self.constants, name in self.replaceable)

    def operator(self, index: int, node: onnx.NodeProto) -> Operator:
        from onnx import AttributeProto, helper

        plain = (AttributeProto.INT, AttributeProto.INTS, AttributeProto.FLOAT)
        attributes: dict[str, Any] = {}
        inside: set[str] = set()
        graphs = 0
        for a in node.attribute:
            if a.type in plain:
                attributes[a.name] = helper.get_attribute_value(a)
            elif a.type == AttributeProto.STRING:
                attributes[a.name] = a.s.decode("utf-8", "replace")
            elif a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
                for graph in (a.g, *a.graphs) if a.type == AttributeProto.GRAPH else a.graphs:
                    graphs += 1
                    inside |= _outer_names(graph)
        self._fold(node, graphs)
        inputs = [self.tensor(n) if n else None for n in node.input]
        inputs += [self.tensor(n) for n in sorted(inside - set(node.input)) if n in self.known]
        return Operator(
            index,
            node.op_type,
            "" if node.domain == "ai.onnx" else node.domain,
            node.name or (node.output[0] if node.output else ""),
            tuple(inputs),
            tuple(self.tensor(n) for n in node.output if n),
            attributes,
            graphs,
        )

    def _fold(self, node: onnx.NodeProto, graphs: int) -> None:
        """Note outputs that follow from constants alone; random ones do not, though they have no inputs."""
        if graphs or node.op_type.startswith(("Random", "Bernoulli", "Multinomial")):
            return
        if node.op_type == "Constant" or (
            node.input and all(not n or n in self.constants for n in node.input)
        ):
            self.constants |= set(node.output)
            if node.op_type == "Constant":
                self.constant_bytes += sum(self.tensor(n).bytes or 0 for n in node.output)


def _outer_names(graph: onnx.GraphProto) -> set[str]:
    """Return the names that a subgraph takes from the graph around it."""
    made = {i.name for i in (*graph.input, *graph.initializer)}
    used: set[str] = {o.name for o in graph.output}
    for node in graph.node:
        used |= {n for n in node.input if n}
        for a in node.attribute:
            for inner in (a.g, *a.graphs):
                if inner.node:
                    used |= _outer_names(inner)
        made |= set(node.output)
    return used - made


def _dtype(number: int) -> str:
    from onnx import TensorProto

    try:
        name = TensorProto.DataType.Name(number).lower()  # type: ignore[attr-defined]
    except ValueError:
        return "unknown"
    known = {"float": "float32", "double": "float64"}
    return "float8" if name.startswith("float8") else known.get(name, name)
