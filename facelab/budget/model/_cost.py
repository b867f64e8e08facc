"""What one call of a model costs: MACs and bytes per operator, the activations' memory, the peak of loading."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facelab.budget.model._arena import VIEWS, greedy_by_size, lives, peak
from facelab.budget.model._classes import channels_of, class_of, fused_into_producer
from facelab.budget.model._graph import Graph, Operator, Tensor
from facelab.budget.model._integer import integer_form
from facelab.budget.model._macs import macs
from facelab.budget.model._onnx import read_onnx
from facelab.budget.model._tflite import read_tflite
from facelab.core.errors import BadInputError
from facelab.core.result import Result
from facelab.core.safety.first_try import first_try


@dataclass(frozen=True)
class OperatorCost:
    """One operator's cost.

    Attributes
    ----------
    index, kind, name : int, str, str
        Its place in the file, its type, its name (of its first output in TFLite).
    work : str
        The class of work that a device has a rate for: `conv`, `pointwise`, `depthwise`, `matmul`, `move`, …
    dtype : str
        What it computes in: `float32`, `int8`.
    macs : int or None
        Multiply-accumulates; None where they cannot be determined.
    bytes : int or None
        Bytes read and written by the operator alone: inputs, weights, outputs. A view moves none.
    fused : bool
        Whether runtimes compute it inside the operator before it, so that it moves nothing itself.
    shape : tuple of int
        The shape of its first output.
    channels : (int, int) or None
        What a convolution reads and writes.
    """

    index: int
    kind: str
    name: str
    work: str
    dtype: str
    macs: int | None
    bytes: int | None
    fused: bool
    shape: tuple[int | None, ...] | None
    channels: tuple[int, int] | None = None


@dataclass(frozen=True)
class ModelCost(Result):
    """What one call of a model costs, before any device is named.

    Attributes
    ----------
    name, format : str
        The file's name; `onnx` or `tflite`.
    operators : tuple of OperatorCost
        In the order of the file; what follows from constants alone is left out.
    macs, bytes : int
        Sums of what is known: a lower bound where `unknown` is not empty.
    weight_bytes, file_bytes : int
        Constants as they are stored, and the file.
    peak_bytes : int
        Activations that live at once at the worst moment: no plan in this order needs less.
    arena_bytes : int
        LiteRT's plan for them (greedy by size, 64-byte alignment).
    unknown : dict
        {operator type: how many} whose MACs or sizes cannot be determined.
    notes : tuple of str
        What was assumed.
    """

    name: str
    format: str
    operators: tuple[OperatorCost, ...]
    macs: int
    bytes: int
    weight_bytes: int
    file_bytes: int
    peak_bytes: int
    arena_bytes: int
    unknown: dict[str, int]
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every operator's cost is known."""
        return not self.unknown

    def by_kind(self) -> dict[str, dict[str, int]]:
        """Return {operator type: {count, macs, bytes}}, most MACs first, then most bytes."""
        out: dict[str, dict[str, int]] = {}
        for op in self.operators:
            row = out.setdefault(op.kind, {"count": 0, "macs": 0, "bytes": 0})
            row["count"] += 1
            row["macs"] += op.macs or 0
            row["bytes"] += 0 if op.fused else op.bytes or 0
        order = sorted(out.items(), key=lambda kv: (-kv[1]["macs"], -kv[1]["bytes"], kv[0]))
        return dict(order)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per operator type."""
        return [{"operator": kind, **row} for kind, row in self.by_kind().items()]


def cost_of(
    path: str | os.PathLike[str],
    shapes: Mapping[str, Sequence[int]] | None = None,
    *,
    known: bool = False,
) -> ModelCost:
    """Count what one call of a model costs, from its file alone; nothing is run.

    Parameters
    ----------
    path : path-like
        An `.onnx` or a `.tflite` file.
    shapes : mapping of str to sequence of int, optional
        Shapes of inputs that the file leaves open, batch axis included. An open batch axis is 1 where none is given.
    known : bool, optional
        Whether somebody verified the file. Any other one is read in a separate process first.

    Returns
    -------
    ModelCost
        Per operator and in all.

    Raises
    ------
    BadInputError
        The file is not a model, or an input's shape is missing, unknown or contradictory.

    Examples
    --------
    >>> import numpy as np, onnx, tempfile, pathlib
    >>> from onnx import helper, numpy_helper, TensorProto
    >>> ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, k, 8, 8)) for n, k in (("x", 3), ("y", 4))]
    >>> weights = numpy_helper.from_array(np.zeros((4, 3, 3, 3), np.float32), "w")
    >>> node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    >>> model = helper.make_model(helper.make_graph([node], "one", ends[:1], ends[1:], [weights]))
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = pathlib.Path(folder.name) / "one.onnx"
    >>> onnx.save(model, path)
    >>> cost_of(path).macs == 8 * 8 * 4 * 3 * 3 * 3
    True
    >>> folder.cleanup()
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".onnx", ".tflite"):
        raise BadInputError(
            "the cost of this kind of file cannot be counted",
            where=path,
            expected="an .onnx or a .tflite file",
            got=kind or "no suffix",
            fix="export the model as ONNX or TFLite",
        )
    given = dict(shapes or {})
    if not known and path.is_file():
        listed = {name: list(sides) for name, sides in given.items()}
        first_try(path, f"{__name__}:_trial", listed, reader=f"budget of {kind[1:]}")
    return _counted(path.name, _graph(path, given))


def _graph(path: Path, shapes: Mapping[str, Sequence[int]]) -> Graph:
    return (read_onnx if path.suffix.lower() == ".onnx" else read_tflite)(path, shapes)


def _trial(path: str, shapes: dict[str, list[int]]) -> None:
    _graph(Path(path), shapes)


def _counted(name: str, graph: Graph) -> ModelCost:
    found, unknown = [], Counter()
    between, fused = integer_form(graph), fused_into_producer(graph)
    fused |= between.conversions
    for op in graph.operators:
        if op.folded:
            continue
        count, moved = macs(op, graph.format), _moved(op)
        inside = op.index in between.operators
        if inside and moved is not None:
            moved = between.moved(op)
        if count is None or moved is None:
            unknown[f"{op.domain}.{op.kind}" if op.domain else op.kind] += 1
        shape = op.outputs[0].shape if op.outputs else None
        found.append(
            OperatorCost(
                op.index,
                op.kind,
                op.name,
                class_of(op, graph.format),
                "int8" if inside else _dtype(op),
                count,
                moved,
                op.index in fused,
                shape,
                channels_of(op, graph.format),
            )
        )
    held, without = lives(graph)
    if without and not unknown:
        unknown["tensor of unknown size"] = without
    return ModelCost(
        name,
        graph.format,
        tuple(found),
        sum(op.macs or 0 for op in found),
        sum(op.bytes or 0 for op in found if not op.fused),
        graph.weight_bytes,
        graph.file_bytes,
        peak(held),
        greedy_by_size(held),
        dict(sorted(unknown.items())),
        graph.notes,
    )


def _moved(op: Operator) -> int | None:
    if op.kind in VIEWS and not op.domain:
        return 0
    sizes = [t.bytes for t in (*_read(op), *op.outputs)]
    return None if any(s is None for s in sizes) else sum(s for s in sizes if s is not None)


def _read(op: Operator) -> tuple[Tensor, ...]:
    """Return what an operator reads of its inputs: of a shape only the shape, of a table only the rows it takes."""
    if op.kind in ("Shape", "Size", "SHAPE", "RANK"):
        return ()
    if op.kind in (
        "Gather",
        "GATHER",
        "Slice",
        "SLICE",
        "STRIDED_SLICE",
        "Split",
        "SPLIT",
        "SPLIT_V",
    ):
        return op.outputs
    return op.present


def _dtype(op: Operator) -> str:
    """Return what an operator computes in: the type of its data, or of its output where it has no inputs."""
    tensors = [t for t in (*op.present, *op.outputs) if t.dtype not in ("int64", "int32", "bool")]
    kinds = [t.dtype for t in tensors]
    if any(k in ("int8", "uint8") for k in kinds) and not op.kind.lower().startswith(
        ("quant", "dequant")
    ):
        return "int8"
    return kinds[0] if kinds else "index"
