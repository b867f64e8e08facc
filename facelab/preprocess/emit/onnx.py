"""ONNX: the preprocessing as a graph in float64, exact to the bit; alone, or in front of a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import facelab
from facelab.core.errors import BadInputError, at
from facelab.core.safety.first_try import first_try
from facelab.preprocess import ops as st
from facelab.preprocess.backends._onnx_session import check
from facelab.preprocess.emit._files import Emitted, origin, template
from facelab.preprocess.emit._sizes import picture_size
from facelab.preprocess.emit.graphs._onnx import Graph
from facelab.preprocess.geometry import Face, Planner
from facelab.preprocess.spec import PreprocessSpec

if TYPE_CHECKING:
    import onnx

OPSET, IR = 13, 7
STANDARD_FACE = np.array([[0.34, 0.46], [0.66, 0.46], [0.5, 0.64], [0.37, 0.82], [0.63, 0.82]])


def emit(
    spec: PreprocessSpec,
    name: str,
    *,
    size: tuple[float, float] | None = None,
    face: Any = None,
    merge: str | os.PathLike[str] | None = None,
) -> Emitted:
    """Return the graph of a spec for pictures of one `size`, and with `merge` the model with it in front.

    The input is `image` (uint8, height × width × channel, upright) or `frame` (the bytes of a raw frame), and
    `landmarks` (float64, 5 × 2) where the spec aligns. A spec that crops to a face is fixed to `face`.
    """
    final = picture_size(spec, size, "an ONNX graph")
    if merge is not None and Path(merge).is_file():
        first_try(Path(merge), f"{__name__}:trial", reader="onnx for merging")
    target = None if merge is None else _target(Path(merge))
    opset, ir = (OPSET, IR) if target is None else (_opset(target), max(IR, target.ir_version))
    model = _graph(spec, final, Face.of(face), opset, ir)
    files: dict[str, str | bytes] = {f"{name}.onnx": model.SerializeToString()}
    if target is not None:
        merged = _merged(model, target, str(merge))
        files[f"{name}_merged.onnx"] = merged.SerializeToString()
    files[f"{name}_check.py"] = template("check_onnx.py.txt", ORIGIN=origin(spec), NAME=name)
    return Emitted("onnx", files, size=final, face=face, note=_note(model))


def _note(model: onnx.ModelProto) -> str:
    """Return what a runtime must know to load and feed the graph."""
    from onnx import TensorProto

    kind = TensorProto.DataType.Name
    ends = [
        f"{what} `{e.name}` {kind(e.type.tensor_type.elem_type).lower()} "
        f"{[d.dim_value for d in e.type.tensor_type.shape.dim]}"
        for what, group in (("input", model.graph.input), ("output", model.graph.output))
        for e in group
    ]
    return f"Opset {_opset(model)}, IR version {model.ir_version}; {', '.join(ends)}."


def _graph(
    spec: PreprocessSpec, size: tuple[int, int], face: Face, opset: int, ir: int
) -> onnx.ModelProto:
    graph = Graph(spec.name)
    value = graph.frame(spec.decoding, size)
    moving = spec.find("align") is not None and face.landmarks is None
    if moving:  # the planner finds sizes with it; the graph reads its own input
        points = tuple((x * size[0], y * size[1]) for x, y in STANDARD_FACE.tolist())
        face = Face(face.box, points)
    planner = Planner(spec.input_order, size, 1, face)
    aligned = False
    for i, stage in enumerate(spec.stages[1:], 1):
        where = f"{spec.name}: stage {i + 1} ({stage.op})"
        with at(where):
            uses_face = isinstance(stage, st.Align) or (
                isinstance(stage, st.Crop) and stage.region == "face"
            )
            if aligned and moving and uses_face:
                graph.refuse(
                    "a second stage that uses the face behind an align whose landmarks are an input",
                    "give --face or align once",
                )
            if isinstance(stage, st.Crop) and stage.region == "face" and face.box is None:
                graph.refuse(
                    "a crop to a face whose box changes: shapes in a graph are fixed",
                    "crop before the graph and emit the stages behind, or fix the box with --face",
                )
            graph.before = planner.matrix if moving else None
            step = planner.plan(stage, where)
            for action, args in step.actions:
                value = getattr(graph, action)(value, **args)
        aligned = aligned or isinstance(stage, st.Align)
    if value.dtype == np.float64 and spec.output_dtype == "float":
        value = graph.as_type(value, np.float32)
    return _described(graph.finished(value, opset, ir), spec, size)


def _described(model: onnx.ModelProto, spec: PreprocessSpec, size: tuple[int, int]) -> Any:
    from onnx import helper

    facts = {
        "facelab.preprocess": spec.hash,
        "facelab.version": facelab.__version__,
        "facelab.stages": spec.text(),
        "facelab.input": f"{size[0]}×{size[1]}, {spec.input_order}, uint8, upright (EXIF applied)",
        "facelab.verify": "README.md beside this file",
    }
    helper.set_model_props(model, facts)
    return model


def trial(path: str) -> None:
    _target(Path(path))


def _target(path: Path) -> onnx.ModelProto:
    import onnx

    try:
        model = onnx.load(path)  # pyright: ignore[reportUnknownMemberType] # types are open
        check(model)
    except Exception as e:
        raise BadInputError(
            "the model cannot be read",
            where=path,
            expected="an ONNX file",
            got=str(e).splitlines()[0][:160] if str(e) else type(e).__name__,
            fix="check the path, or convert the model to ONNX",
        ) from None
    if _opset(model) < OPSET:
        from onnx import version_converter

        try:
            model = version_converter.convert_version(model, OPSET)
        except Exception as e:
            raise BadInputError(
                f"the model cannot be brought to opset {OPSET}",
                where=path,
                got=str(e).splitlines()[0][:160] if str(e) else type(e).__name__,
                fix=f"export it again with opset {OPSET} or later",
            ) from None
    return model


def _opset(model: onnx.ModelProto) -> int:
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)


def _merged(pre: onnx.ModelProto, model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """Return one model: pixels in, what the model answers out."""
    import onnx
    from onnx import compose

    constant = {i.name for i in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in constant]
    made = pre.graph.output[0].type.tensor_type
    with at(where):
        if len(inputs) != 1:
            raise BadInputError(
                "the model has more than one input",
                expected="one tensor",
                got=", ".join(i.name for i in inputs),
                fix="merge by hand with onnx.compose",
            )
        wanted = inputs[0].type.tensor_type
        shape, asked = ([d.dim_value for d in t.shape.dim] for t in (made, wanted))
        fits = len(shape) == len(asked) and all(b in (0, a) for a, b in zip(shape, asked))
        if made.elem_type != wanted.elem_type or not fits:
            kind = onnx.TensorProto.DataType.Name
            raise BadInputError(
                "the preprocessing does not give what the model takes",
                expected=f"{kind(wanted.elem_type).lower()} {asked} (0: any)",
                got=f"{kind(made.elem_type).lower()} {shape}",
                fix="use the specification that belongs to this model",
            )
    model.ir_version = pre.ir_version
    front = compose.add_prefix(pre, "preprocess/", rename_inputs=False)
    merged = compose.merge_models(front, model, [("preprocess/tensor", inputs[0].name)])
    versions = {o.domain: o.version for o in merged.opset_import}  # both models' are listed
    del merged.opset_import[:]
    merged.opset_import.extend(onnx.helper.make_opsetid(d, v) for d, v in versions.items())
    check(merged)
    return merged
