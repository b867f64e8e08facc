"""Nodes of an ONNX graph that carry stages out in float64, in the reference's order of operations."""

from __future__ import annotations

import dataclasses
from typing import Any, NoReturn

import numpy as np

from facelab.core.errors import UnsupportedError
from facelab.preprocess import ops as st
from facelab.preprocess.align import template
from facelab.preprocess.backends import onnx as backend
from facelab.preprocess.emit.graphs._estimators import affine3, umeyama
from facelab.preprocess.emit.lowering import colour_terms
from facelab.preprocess.resample import SNAP, nearest_index, taps

Tensor = backend.Value
MANY = 48
"""From this many taps on, a resize is one product with a matrix instead of a sum tap by tap."""


@dataclasses.dataclass(frozen=True)
class Scalar:
    """A float64 tensor of the graph with the arithmetic of numbers."""

    graph: Graph
    value: Tensor

    def _with(self, op: str, other: Any, *, swap: bool = False) -> Scalar:
        b = other.value if isinstance(other, Scalar) else np.asarray(other, np.float64)
        shape = np.broadcast_shapes(self.value.shape, b.shape)
        inputs = [b, self.value] if swap else [self.value, b]
        return Scalar(self.graph, self.graph.node(op, inputs, np.float64, shape))

    def __add__(self, other: Any) -> Scalar:
        return self._with("Add", other)

    def __sub__(self, other: Any) -> Scalar:
        return self._with("Sub", other)

    def __mul__(self, other: Any) -> Scalar:
        return self._with("Mul", other)

    def __truediv__(self, other: Any) -> Scalar:
        return self._with("Div", other)

    def __rsub__(self, other: Any) -> Scalar:
        return self._with("Sub", other, swap=True)

    def __neg__(self) -> Scalar:
        return self.apply("Neg")

    def apply(self, op: str) -> Scalar:
        """Return an element-wise function of the tensor."""
        return Scalar(self.graph, self.graph.same(op, self.value))


class Graph(backend.Backend):
    """Builds the graph; the primitives that only move values are the ONNX backend's."""

    name = "ONNX"
    real = np.float64

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title
        self.inputs: list[tuple[str, Any, tuple[int, ...]]] = []
        self.before: np.ndarray | None = None

    def refuse(
        self, what: str, fix: str = "emit another language, or change the stage"
    ) -> NoReturn:
        """Refuse a stage by name."""
        raise UnsupportedError(f"ONNX cannot do {what}", fix=fix)

    def frame(self, stage: st.Decode, size: tuple[int, int]) -> Tensor:
        """Make the input: an image, or a raw frame's bytes brought into height × width × channel."""
        (w, h), c = size, 1 if stage.order == "gray" else 3
        if stage.format == "encoded":
            return self._input("image", np.uint8, (h, w, c))
        rows, columns = np.mgrid[:h, :w]
        even = columns - columns % 2
        if stage.format == "yuyv":
            first = (rows * w + columns) * 2
            second = (rows * w + even) * 2
            index = np.stack([first, second + 1, second + 3], axis=-1)
        elif stage.format == "nv12":
            second = w * h + rows // 2 * w + even
            index = np.stack([rows * w + columns, second, second + 1], axis=-1)
        else:
            index = np.arange(h * w * c).reshape(h, w, c)
        length = {"yuyv": 2 * w * h, "nv12": 3 * w * h // 2}.get(stage.format, h * w * c)
        frame = self._input("frame", np.uint8, (length,))
        return self.node("Gather", [frame, index.astype(np.int64)], np.uint8, (h, w, c), axis=0)

    def _input(self, name: str, dtype: Any, shape: tuple[int, ...]) -> Tensor:
        self.inputs.append((name, np.dtype(dtype), shape))
        return Tensor(name, np.dtype(dtype), shape)

    def finished(self, output: Tensor, opset: int, ir: int) -> Any:
        """Return the checked model with one output, `tensor`."""
        from onnx import helper

        def info(name: str, dtype: Any, shape: tuple[int, ...]) -> Any:
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
            return helper.make_tensor_value_info(name, kind, shape)

        nodes = [*self.nodes, helper.make_node("Identity", [output.name], ["tensor"])]
        graph = helper.make_graph(
            nodes,
            "preprocess",
            [info(*i) for i in self.inputs],
            [info("tensor", output.dtype, output.shape)],
            self.initializers,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="facelab"
        )
        model.ir_version = ir
        backend.check(model)
        return model

    # -- values -------------------------------------------------------------------------------------------------------

    def number(self, x: Tensor) -> Scalar:
        """Return a tensor as float64 with arithmetic."""
        return Scalar(self, self.as_type(x, np.float64))

    def choose(self, test: Tensor, yes: Any, no: Any, shape: tuple[int, ...]) -> Tensor:
        """Choose between two float64 tensors by a test."""
        return self.node("Where", [test, yes, no], np.float64, shape)

    def compare(self, op: str, a: Tensor, b: Any) -> Tensor:
        """Return a test of each element."""
        other = b if isinstance(b, Tensor) else np.asarray(b, a.dtype)
        return self.node(op, [a, other], np.bool_, a.shape)

    def rounded(self, x: Tensor, stage: Any, rounding: str | None = None) -> Tensor:
        """Round to uint8 as the reference does, values within 1e-9 of a tie or a whole number counted as it."""
        how = rounding or stage.rounding
        if how in (None, "none"):
            return x
        v = self.number(x)
        near = (v * 2.0).apply("Round") / 2.0
        close = self.compare("Less", (v - near).apply("Abs").value, SNAP)
        v = Scalar(self, self.choose(close, near.value, v.value, x.shape))
        if how == "half_even":
            whole = v.apply("Round")
        elif how == "half_up":
            whole = (v + 0.5).apply("Floor")
        else:  # truncate: what is below 0 becomes 0 anyway
            whole = v.apply("Floor")
        return self.as_type(self.same("Clip", whole.value, 0, 255), np.uint8)

    def color(self, x: Tensor, stage: st.Color) -> Tensor:
        """Exchange channels, or add weighted channels in the reference's order."""
        if stage.source == stage.target or stage.source == "gray":
            return super().color(x, stage)
        if {stage.source, stage.target} == {"rgb", "bgr"}:
            return super().color(x, stage)
        name, t = colour_terms(stage)
        h, w, _ = x.shape
        first = self.as_type(x, np.float64)
        parts = [
            Scalar(self, self.node("Gather", [first, np.array([k])], np.float64, (h, w, 1), axis=2))
            for k in ((2, 1, 0) if stage.source == "bgr" else (0, 1, 2))
        ]
        a, b, c = parts
        if name == "gray_row":
            made = [a * t["WR"] + b * t["WG"] + c * t["WB"]]
        elif name == "yuv_to_rgb_row":
            y, u, v = (a - t["Y0"]) * t["GAIN"], b - 128.0, c - 128.0
            made = [y + v * t["RV"], y + u * t["GU"] + v * t["GV"], y + u * t["BU"]]
        else:
            y = a * t["WR"] + b * t["WG"] + c * t["WB"]
            u, v = (c - y) / t["SU"], (a - y) / t["SV"]
            if t["YO"]:
                y, u, v = y * t["GAIN"] + t["YO"], u * t["CG"], v * t["CG"]
            made = [y, u + 128.0, v + 128.0]
        made = made[::-1] if stage.target == "bgr" else made
        out = self.node("Concat", [m.value for m in made], np.float64, (h, w, len(made)), axis=2)
        return self.rounded(out, stage)

    # -- sampling -----------------------------------------------------------------------------------------------------

    def resize(self, x: Tensor, size: tuple[int, int], stage: st.Resize) -> Tensor:
        """Resample each axis by the reference's taps."""
        if stage.kernel == "nearest":
            for axis, m in ((0, size[1]), (1, size[0])):
                index = nearest_index(x.shape[axis], m, stage.pixel_centers)
                x = self._take(x, index, axis)
            return self.as_type(x, np.float64) if stage.rounding == "none" else x
        if stage.passes is None:
            x = self._along(
                self._along(self.as_type(x, np.float64), 1, size[0], stage), 0, size[1], stage
            )
            return self.rounded(x, stage)
        passes = [(1, size[0]), (0, size[1])]
        if stage.passes == "uint8_vertical_first":
            passes.reverse()
        for axis, m in passes:
            if x.shape[axis] != m:
                x = self.rounded(
                    self._along(self.as_type(x, np.float64), axis, m, stage), stage, "half_up"
                )
        return x

    def _take(self, x: Tensor, index: np.ndarray, axis: int) -> Tensor:
        shape = tuple(len(index) if i == axis else n for i, n in enumerate(x.shape))
        return self.node("Gather", [x, index.astype(np.int64)], x.dtype, shape, axis=axis)

    def _along(self, x: Tensor, axis: int, m: int, stage: st.Resize) -> Tensor:
        n = x.shape[axis]
        index, weight = taps(n, m, stage)
        if index.shape[1] > MANY:
            return self._product(x, axis, n, m, index, weight)
        total: Scalar | None = None
        for k in range(index.shape[1]):
            factor = weight[:, k].reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
            part = Scalar(self, self._take(x, index[:, k], axis)) * factor
            total = part if total is None else total + part
        assert total is not None
        return total.value

    def _product(
        self, x: Tensor, axis: int, n: int, m: int, index: np.ndarray, weight: np.ndarray
    ) -> Tensor:
        matrix = np.zeros((m, n))
        for k in range(index.shape[1]):
            np.add.at(matrix, (np.arange(m), index[:, k]), weight[:, k])
        h, w, c = x.shape
        if axis == 1:
            return self.node("MatMul", [matrix, x], np.float64, (h, m, c))
        flat = self.node("Reshape", [x, np.array([h, w * c])], np.float64, (h, w * c))
        out = self.node("MatMul", [matrix, flat], np.float64, (m, w * c))
        return self.node("Reshape", [out, np.array([m, w, c])], np.float64, (m, w, c))

    def warp(self, x: Tensor, matrix: np.ndarray, stage: st.Align) -> Tensor:
        """Warp by a fixed matrix, or by the one that the landmarks of the graph's input give."""
        if self.before is None:
            t: Any = [[float(v) for v in row] for row in matrix]
        else:
            t = self._fitted(stage)
        (a, b, c), (d, e, f) = t
        det = a * e - b * d
        ia, ib, id_, ie = e / det, -b / det, -d / det, a / det
        back = (ia, ib, -(ia * c) - ib * f), (id_, ie, -(id_ * c) - ie * f)
        (w, h), shape = stage.size, (stage.size[1], stage.size[0], 1)
        columns = np.arange(w, dtype=np.float64).reshape(1, w, 1)
        rows = np.arange(h, dtype=np.float64).reshape(h, 1, 1)
        positions = [self._position(r, columns, rows, stage.coordinates, shape) for r in back]
        if stage.kernel == "bilinear":
            return self.rounded(self._bilinear(x, positions, stage), stage)
        i, j = (self._floored(p + 0.5) for p in positions)
        out = self._fetch(self._flat(x), x.shape, i, j, stage)
        return self.as_type(out, x.dtype) if stage.rounding != "none" else out

    def _fitted(self, stage: st.Align) -> Any:
        """Return the align stage's matrix as scalars of the graph, from its input `landmarks`."""
        assert self.before is not None
        marks = self._input("landmarks", np.float64, (5, 2))
        flat = self.node("Reshape", [marks, np.array([10])], np.float64, (10,))
        each = [
            Scalar(self, self.node("Gather", [flat, np.array(k)], np.float64, (), axis=0)) + 0.5
            for k in range(10)
        ]
        (a, b, c), (d, e, f) = ([float(v) for v in row] for row in self.before)
        p = [
            (x * a + y * b + c - 0.5, x * d + y * e + f - 0.5)
            for x, y in zip(each[::2], each[1::2])
        ]
        q = [(float(u), float(v)) for u, v in template(stage.template, stage.size, stage.padding)]
        return (umeyama if stage.estimator == "umeyama" else affine3)(p, q)

    def _position(self, r: Any, columns: Any, rows: Any, coordinates: str, shape: Any) -> Scalar:
        """Return where the graph reads along one axis, for every output pixel."""

        def tensor(v: Any) -> Any:
            return Scalar(self, Tensor(self._constant(v), np.dtype(np.float64), v.shape))

        r0, r1, r2 = r
        x, y = tensor(columns), tensor(rows)
        if coordinates == "exact":
            return x * r0 + (y * r1 + r2)
        ax = ((y * r1 + r2) * 1024.0).apply("Round") + 16.0
        return ((ax + (x * r0 * 1024.0).apply("Round")) / 32.0).apply("Floor") / 32.0

    def _floored(self, x: Scalar) -> Scalar:
        return x.apply("Floor")

    def _flat(self, x: Tensor) -> Tensor:
        h, w, c = x.shape
        return self.node(
            "Reshape", [self.as_type(x, np.float64), np.array([h * w, c])], np.float64, (h * w, c)
        )

    def _fetch(
        self, flat: Tensor, size: Any, column: Scalar, row: Scalar, stage: st.Align
    ) -> Tensor:
        """Return the pixels at whole positions, or the border's value beyond the image."""
        (h, w, c), shape = size, column.value.shape
        tests = [
            self.compare("GreaterOrEqual", column.value, 0.0),
            self.compare("GreaterOrEqual", row.value, 0.0),
            self.compare("Less", column.value, float(w)),
            self.compare("Less", row.value, float(h)),
        ]
        inside = tests[0]
        for test in tests[1:]:
            inside = self.node("And", [inside, test], np.bool_, shape)
        place = (row * float(w) + column).value
        safe = self.choose(inside, place, np.zeros(1), shape)
        index = self.node(
            "Squeeze", [self.as_type(safe, np.int64), np.array([2])], np.int64, shape[:2]
        )
        taken = self.node("Gather", [flat, index], np.float64, (*shape[:2], c), axis=0)
        border = np.broadcast_to(np.asarray(stage.border, np.float64), (c,))
        return self.choose(inside, taken, np.ascontiguousarray(border), (*shape[:2], c))

    def _bilinear(self, x: Tensor, positions: list[Scalar], stage: st.Align) -> Tensor:
        flat = self._flat(x)
        i, j = (self._floored(p) for p in positions)
        fx, fy = positions[0] - i, positions[1] - j

        def read(dj: float, di: float) -> Scalar:
            column, row = (v + d if d else v for v, d in ((i, di), (j, dj)))
            return Scalar(self, self._fetch(flat, x.shape, column, row, stage))

        top = read(0, 0) * (1.0 - fx) + read(0, 1) * fx
        low = read(1, 0) * (1.0 - fx) + read(1, 1) * fx
        return (top * (1.0 - fy) + low * fy).value

    # -- numbers ------------------------------------------------------------------------------------------------------

    def normalize(self, x: Tensor, stage: st.Normalize, behind: int = 0) -> Tensor:
        """Compute (x − mean) / scale in float64, or in x's own float type."""
        return super().normalize(
            x if x.dtype.kind == "f" else self.as_type(x, np.float64), stage, behind
        )

    def cast(self, x: Tensor, stage: st.Cast) -> Tensor:
        """Cast; to integers after rounding, limiting or wrapping in float64."""
        if "float16" in (stage.dtype, x.dtype.name):
            self.refuse("16-bit floats exactly", "write float32")
        if stage.dtype.startswith("float"):
            return self.as_type(x, stage.dtype)
        whole = x if x.dtype.kind != "f" else self._whole(x, str(stage.rounding))
        return self._integers(whole, stage)

    def quantize(self, x: Tensor, stage: st.Quantize) -> Tensor:
        """Divide in float32, round, add the zero point, limit or wrap."""
        steps = self.same("Div", self.as_type(x, np.float32), np.float32(stage.scale))
        whole = self.number(self._whole(steps, stage.rounding)) + float(stage.zero_point)
        return self._integers(whole.value, stage)

    def _whole(self, x: Tensor, rounding: str) -> Tensor:
        v = self.number(x)
        if rounding in ("half_even", "floor"):
            return v.apply("Round" if rounding == "half_even" else "Floor").value
        if rounding == "half_up":
            return self._half_up(v).value
        size = v.apply("Abs")
        size = size.apply("Floor") if rounding == "truncate" else self._half_up(size)
        return (size * v.apply("Sign")).value

    def _half_up(self, v: Scalar) -> Scalar:
        low = v.apply("Floor")
        over = self.compare("GreaterOrEqual", (v - low).value, 0.5)
        return low + Scalar(self, self.as_type(over, np.float64))

    def _integers(self, x: Tensor, stage: Any) -> Tensor:
        limits, v = np.iinfo(stage.dtype), self.number(x)
        if stage.saturate:
            return self.as_type(self.same("Clip", v.value, limits.min, limits.max), stage.dtype)
        span = float(limits.max) - float(limits.min) + 1
        v = Scalar(self, self.same("Clip", v.value, -(2.0**62), 2.0**62))
        v = v - (v / span).apply("Floor") * span
        over = self.compare("GreaterOrEqual", v.value, float(limits.max) + 1)
        v = v - Scalar(self, self.as_type(over, np.float64)) * span
        return self.as_type(v.value, stage.dtype)
