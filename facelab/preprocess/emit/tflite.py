"""TFLite: the preprocessing as a graph of LiteRT's built-in operators, in whole numbers; alone, or before a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, at
from facelab.core.files import read_model
from facelab.preprocess import ops as st
from facelab.preprocess.backends import make
from facelab.preprocess.emit._files import Emitted, banner, origin, template
from facelab.preprocess.emit._sizes import picture_size
from facelab.preprocess.emit.graphs._tflite import Graph
from facelab.preprocess.geometry import Face, Planner
from facelab.preprocess.spec import PreprocessSpec

VALUES = ("normalize", "layout", "cast", "quantize")


def emit(
    spec: PreprocessSpec,
    name: str,
    *,
    size: tuple[float, float] | None = None,
    face: Any = None,
    merge: str | os.PathLike[str] | None = None,
) -> Emitted:
    """Return the graph of a spec for pictures of one `size`, and with `merge` the model with it in front.

    The input is `image` (uint8, height × width × channel, upright) or `frame` (the bytes of a raw frame). A spec that
    crops to a face is fixed to `face`.
    """
    final = picture_size(spec, size, "a TFLite graph")
    files: dict[str, str | bytes] = {f"{name}.tflite": _model(spec, final, Face.of(face), None)}
    if merge is not None:
        files[f"{name}_merged.tflite"] = _model(spec, final, Face.of(face), Path(merge))
    files[f"{name}_check.py"] = template("check_tflite.py.txt", ORIGIN=origin(spec), NAME=name)
    return Emitted("tflite", files, size=final, face=face)


def _model(spec: PreprocessSpec, size: tuple[int, int], face: Face, merge: Path | None) -> bytes:
    import flatbuffers

    graph = Graph(None if merge is None else _opened(merge))
    given, x = _frame(graph, spec.decoding, size)
    planner = Planner(spec.input_order, size, 1, face)
    count = len(spec.stages)
    first = count
    while first > 1 and spec.stages[first - 1].op in VALUES:
        first -= 1
    for i, stage in enumerate(spec.stages[1:first], 1):
        where = f"{spec.name}: stage {i + 1} ({stage.op})"
        with at(where):
            if stage.op in VALUES:
                graph.refuse("a stage that changes values before an image stage", "emit onnx")
            if isinstance(stage, st.Crop) and stage.region == "face" and face.box is None:
                graph.refuse(
                    "a crop to a face whose box changes: shapes in a graph are fixed",
                    "crop before the graph and emit the stages behind, or fix the box with --face",
                )
            if isinstance(stage, st.Align):
                graph.warp(x, None, stage)
            for action, args in planner.plan(stage, where).actions:
                x = getattr(graph, action)(x, **args)
    with at(f"{spec.name}: stage {count} ({spec.stages[-1].op})"):
        made = _tensor(graph, spec, x, first)
    _ends(graph, spec, given, made, merge)
    _state(graph.model, spec)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(graph.model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _frame(graph: Graph, stage: st.Decode, size: tuple[int, int]) -> tuple[int, int]:
    """Add the input and return it, and the image as int32."""
    from facelab.preprocess.raw import frame_bytes

    (w, h), c = size, 1 if stage.order == "gray" else 3
    if stage.format == "encoded":
        given = graph.tensor((h, w, c), np.uint8, "image")
        return given, graph.op("CAST", [given], (h, w, c), **_cast(graph, "UINT8", "INT32"))
    length = frame_bytes(stage.format, size)
    given = graph.tensor((length,), np.uint8, "frame")
    flat = graph.op("CAST", [given], (length,), **_cast(graph, "UINT8", "INT32"))
    rows, columns = np.mgrid[:h, :w]
    even = columns - columns % 2
    index = np.arange(h * w * c).reshape(h, w, c) if c == 1 or stage.order != "yuv" else None
    if stage.format == "yuyv":
        second = (rows * w + even) * 2
        index = np.stack([(rows * w + columns) * 2, second + 1, second + 3], axis=-1)
    elif stage.format == "nv12":
        second = w * h + rows // 2 * w + even
        index = np.stack([rows * w + columns, second, second + 1], axis=-1)
    assert index is not None
    return given, graph.take(flat, index, 0)


def _cast(graph: Graph, source: str, target: str) -> dict[str, int]:
    kinds = graph.schema.TensorType
    return {"inDataType": getattr(kinds, source), "outDataType": getattr(kinds, target)}


def _tensor(graph: Graph, spec: PreprocessSpec, x: int, first: int) -> int:
    """Add the stages that change values as one table, then the order of the axes."""
    dtype = {"float": "float32"}.get(spec.output_dtype, spec.output_dtype)
    if dtype in ("float16", "float64"):
        graph.refuse(f"a {dtype} tensor: its operators have float32 and integers", "write float32")
    engine, c = make("reference"), graph.shapes[x][2]
    values: Any = np.repeat(np.arange(256, dtype=np.uint8).reshape(256, 1, 1), c, axis=2)
    layout = "hwc"
    for stage in spec.stages[first:]:
        if isinstance(stage, st.Layout):
            layout = stage.to
        else:
            values = getattr(engine, stage.op)(values, stage)
    table = np.ascontiguousarray(values.reshape(256, c).T.astype(dtype)).ravel()
    shape = graph.shapes[x]
    offset = graph.plus(x, 256 * np.arange(c, dtype=np.int32))
    looked_up = graph.constant(table, dtype)
    x = graph.op("GATHER", [looked_up, offset], shape, dtype, axis=0, batchDims=0)
    h, w, _ = shape
    if layout.endswith("chw"):
        x = graph.op("TRANSPOSE", [x, graph.constant([2, 0, 1])], (c, h, w), dtype)
    axes = {"n": 1, "h": h, "w": w, "c": c}
    final = tuple(axes[a] for a in layout)
    if final != graph.shapes[x]:
        x = graph.op("RESHAPE", [x, graph.constant(final)], final, dtype, newShape=list(final))
    return x


def _ends(graph: Graph, spec: PreprocessSpec, given: int, made: int, merge: Path | None) -> None:
    """Name the graph's input and output; before a model, lead the tensor into the model's input."""
    g, model = graph.graph, graph.model
    if merge is None:
        g.tensors[made].name = "tensor"
        g.inputs, g.outputs, g.operators = [given], [made], graph.operators
        return
    with at(merge):
        taken = _only_input(g)
        old, new = g.tensors[taken], g.tensors[made]
        if list(old.shape) != list(new.shape) or old.type != new.type:
            raise BadInputError(
                "the preprocessing does not give what the model takes",
                expected=f"shape {list(old.shape)}, type {old.type}",
                got=f"shape {list(new.shape)}, type {new.type}",
                fix="use the specification that belongs to this model",
            )
    for operator in g.operators:
        operator.inputs = [made if i == taken else i for i in operator.inputs]
    g.outputs = [made if i == taken else i for i in g.outputs]
    g.inputs, g.operators = [given], [*graph.operators, *g.operators]
    signatures: list[Any] = model.signatureDefs or []
    for signature in signatures:
        inputs: list[Any] = signature.inputs or []
        for entry in inputs:
            entry.tensorIndex, entry.name = given, g.tensors[given].name


def _state(model: Any, spec: PreprocessSpec) -> None:
    """Write the specification's hash into the model; what it said about its old input no longer holds."""
    from ai_edge_litert import schema_py_generated as schema

    buffer, entry = schema.BufferT(), schema.MetadataT()
    text = "\n".join(banner(spec, "LiteRT", "", "", ""))
    buffer.data = list(text.encode())
    model.buffers.append(buffer)
    entry.name, entry.buffer = "facelab.preprocess", len(model.buffers) - 1
    stale = ("TFLITE_METADATA", b"TFLITE_METADATA")
    held: list[Any] = model.metadata or []
    model.metadata = [*(m for m in held if m.name not in stale), entry]


def _only_input(graph: Any) -> int:
    if len(graph.inputs) != 1:
        raise BadInputError(
            "the model has more than one input",
            expected="one tensor",
            got=f"{len(graph.inputs)} inputs",
            fix="merge it by hand",
        )
    return int(graph.inputs[0])


def _opened(path: Path) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    try:
        data = read_model(path)
    except OSError as e:
        raise BadInputError(
            "the model cannot be read", where=path, got=e.strerror, fix="check the path"
        ) from None
    if data[4:8] != b"TFL3":
        raise BadInputError(
            "the file is not a TFLite model",
            where=path,
            expected="identifier TFL3",
            got=repr(data[4:8]),
            fix="name a .tflite file",
        )
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
