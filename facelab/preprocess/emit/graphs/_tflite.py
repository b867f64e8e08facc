"""A `.tflite` graph of whole numbers: bytes as int32, so that every result is exact, and a table for the values."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NoReturn

import numpy as np

from facelab.core.errors import UnsupportedError
from facelab.preprocess import ops as st
from facelab.preprocess.resample import nearest_index

LIMIT = 2**31
INEXACT = "LiteRT computes it in float32, which rounds other values up at ties"


class Graph:
    """Adds tensors and built-in operators to a model in the object form of its schema.

    Tensors are known by their index; `shape` of each is kept. Images are int32, height × width × channel.
    """

    def __init__(self, model: Any = None) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema: Any = schema
        self.model = model or self._empty()
        self.graph = self.model.subgraphs[0]
        self.operators: list[Any] = []
        self.shapes: dict[int, tuple[int, ...]] = {}

    def _empty(self) -> Any:
        model, graph = self.schema.ModelT(), self.schema.SubGraphT()
        model.version, model.description = 3, "facelab"
        model.operatorCodes, model.buffers = [], [self.schema.BufferT()]
        graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
        model.subgraphs = [graph]
        return model

    def refuse(
        self, what: str, fix: str = "emit another language, or change the stage"
    ) -> NoReturn:
        """Refuse a stage by name."""
        raise UnsupportedError(f"LiteRT's operators cannot do {what} exactly", fix=fix)

    # -- the flatbuffer -----------------------------------------------------------------------------------------------

    def tensor(self, shape: tuple[int, ...], dtype: Any, name: str = "", data: Any = None) -> int:
        """Add a tensor, a constant where `data` is given, and return its index."""
        kinds = {
            "float32": "FLOAT32",
            "uint8": "UINT8",
            "int8": "INT8",
            "int16": "INT16",
            "int32": "INT32",
        }
        made = self.schema.TensorT()
        made.shape = list(shape)
        made.type = getattr(self.schema.TensorType, kinds[np.dtype(dtype).name])
        made.name = name or f"preprocess/{len(self.graph.tensors)}"
        made.buffer = 0
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            made.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(made)
        index = len(self.graph.tensors) - 1
        self.shapes[index] = tuple(shape)
        return index

    def constant(self, values: Any, dtype: Any = np.int32) -> int:
        """Add a constant."""
        array = np.asarray(values, dtype)
        return self.tensor(array.shape, dtype, data=array)

    def op(
        self,
        name: str,
        inputs: list[int],
        shape: tuple[int, ...],
        dtype: Any = np.int32,
        **options: Any,
    ) -> int:
        """Add an operator and return its result."""
        result = self.tensor(shape, dtype)
        self.into(name, inputs, result, **options)
        return result

    def into(self, name: str, inputs: list[int], result: int, **options: Any) -> None:
        """Add an operator that writes an existing tensor."""
        node = self.schema.OperatorT()
        node.opcodeIndex = self._code(getattr(self.schema.BuiltinOperator, name))
        node.inputs, node.outputs = inputs, [result]
        kind = "".join(part.capitalize() for part in name.split("_")) + "Options"
        if hasattr(self.schema, f"{kind}T"):
            node.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind)
            node.builtinOptions = getattr(self.schema, f"{kind}T")()
            for key, value in options.items():
                setattr(node.builtinOptions, key, value)
        self.operators.append(node)

    def _code(self, builtin: int) -> int:
        for i, code in enumerate(self.model.operatorCodes):
            if code.builtinCode == builtin and not code.customCode:
                return i
        code = self.schema.OperatorCodeT()
        code.builtinCode = builtin
        code.deprecatedBuiltinCode, code.version = min(builtin, 127), 1
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    # -- arithmetic ---------------------------------------------------------------------------------------------------

    def math(self, name: str, a: int, b: Any) -> int:
        """Return an element-wise result of whole numbers."""
        other = b if isinstance(b, int) and b in self.shapes else self.constant(b)
        return self.op(
            name, [a, other], tuple(np.broadcast_shapes(self.shapes[a], self.shapes[other]))
        )

    def plus(self, a: int, b: Any) -> int:
        """Return a + b; numbers are given as arrays."""
        return self.math("ADD", a, b)

    def times(self, a: int, b: Any) -> int:
        """Return a · b."""
        return self.math("MUL", a, b)

    def divided(self, a: int, by: int, rounding: str) -> int:
        """Return a / by, rounded as stated; a is never negative."""
        if rounding == "truncate":
            return self.math("FLOOR_DIV", a, np.array([by]))
        if by % 2:  # half of it is a whole number then
            a, by = self.times(a, np.array([2])), by * 2
        raised = self.plus(a, np.array([by // 2]))
        up = self.math("FLOOR_DIV", raised, np.array([by]))
        if rounding == "half_up":
            return up
        shape = self.shapes[up]
        tie = self._one_where_zero(self.math("FLOOR_MOD", raised, np.array([by])), shape)
        return self.math("SUB", up, self.times(tie, self.math("FLOOR_MOD", up, np.array([2]))))

    def _one_where_zero(self, a: int, shape: tuple[int, ...]) -> int:
        """Return 1 where a whole number that is not negative is 0, else 0."""
        one = self.constant(np.ones(1, np.int32))
        least = self.op("MINIMUM", [a, one], shape)
        return self.op("SUB", [one, least], shape)

    def take(self, x: int, index: np.ndarray, axis: int) -> int:
        """Return rows or columns by their indices."""
        shape = list(self.shapes[x])
        shape[axis : axis + 1] = index.shape
        return self.op("GATHER", [x, self.constant(index)], tuple(shape), axis=axis, batchDims=0)

    # -- primitives ---------------------------------------------------------------------------------------------------

    def transform(self, x: int, name: str) -> int:
        """Exchange the axes and walk them backwards."""
        h, w, c = self.shapes[x]
        if name in ("transpose", "transverse", "rotate90", "rotate270"):
            x = self.op("TRANSPOSE", [x, self.constant([1, 0, 2])], (w, h, c))
            h, w = w, h
        if name in ("flip_vertical", "rotate180", "transverse", "rotate270"):
            x = self.take(x, np.arange(h)[::-1], 0)
        if name in ("flip_horizontal", "rotate180", "transverse", "rotate90"):
            x = self.take(x, np.arange(w)[::-1], 1)
        return x

    def crop(self, x: int, box: tuple[int, int, int, int], outside: str, value: Any) -> int:
        """Take the rows and columns of a box."""
        (h, w, _), (x1, y1, x2, y2) = self.shapes[x], box
        if outside == "constant":
            if x2 <= 0 or y2 <= 0 or x1 >= w or y1 >= h:
                self.refuse("a crop that lies wholly outside the image")
            borders = (max(-x1, 0), max(-y1, 0), max(x2 - w, 0), max(y2 - h, 0))
            inner = self.crop(x, (max(x1, 0), max(y1, 0), min(x2, w), min(y2, h)), "clip", None)
            return self.pad(inner, borders, "constant", value) if any(borders) else inner
        x = self.take(x, np.clip(np.arange(y1, y2), 0, h - 1), 0)
        return self.take(x, np.clip(np.arange(x1, x2), 0, w - 1), 1)

    def pad(self, x: int, borders: tuple[int, int, int, int], border: str, value: Any) -> int:
        """Repeat the edge, or join blocks of the border's value."""
        left, top, right, bottom = borders
        if border == "replicate":
            h, w, _ = self.shapes[x]
            x = self.take(x, np.clip(np.arange(-top, h + bottom), 0, h - 1), 0)
            return self.take(x, np.clip(np.arange(-left, w + right), 0, w - 1), 1)
        numbers = np.asarray(value, np.float64)
        if ((numbers != np.rint(numbers)) | (numbers < 0) | (numbers > 255)).any():
            self.refuse(f"the border value {tuple(value)} in a uint8 image", "write whole numbers")
        for axis, counts in ((0, (top, bottom)), (1, (left, right))):
            blocks: list[int] = []
            shape = list(self.shapes[x])
            for n in (counts[0], None, counts[1]):
                if n is None:
                    blocks.append(x)
                elif n:
                    size = [*self.shapes[x]]
                    size[axis] = n
                    shape[axis] += n
                    blocks.append(self.constant(np.broadcast_to(numbers, size)))
            if len(blocks) > 1:
                x = self.op("CONCATENATION", blocks, tuple(shape), axis=axis)
        return x

    def color(self, x: int, stage: st.Color) -> int:
        """Exchange channels, or weigh them: weights are decimal fractions, so whole numbers do."""
        if stage.source == stage.target:
            return x
        if stage.source == "gray" or {stage.source, stage.target} == {"rgb", "bgr"}:
            return self.take(x, np.array([0, 0, 0] if stage.source == "gray" else [2, 1, 0]), 2)
        if stage.target != "gray" or stage.rounding in (None, "none"):
            self.refuse(
                f"{stage.source} to {stage.target} with rounding {stage.rounding!r}: {INEXACT}"
            )
        thirds = stage.weights == "average"
        weights = [Fraction(1, 3) if thirds else Fraction(str(w)) for w in stage.gray_weights()]
        below = int(np.lcm.reduce([w.denominator for w in weights]))
        if below * 4 * 255 * max(1, sum(abs(w) for w in weights)) >= LIMIT or min(weights) < 0:
            self.refuse("these gray weights: they do not fit into 32-bit integers")
        weights = weights[::-1] if stage.source == "bgr" else weights
        factors = np.array([int(w * below) for w in weights])
        h, w, _ = self.shapes[x]
        parts = [self.times(self.take(x, np.array([k]), 2), factors[k : k + 1]) for k in range(3)]
        total = self.plus(self.plus(parts[0], parts[1]), parts[2])
        gray = self.divided(total, below, str(stage.rounding))
        return self.op("MINIMUM", [gray, self.constant([255])], (h, w, 1))

    def warp(self, x: int, matrix: Any, stage: Any) -> int:
        """Refuse: the transform needs more than float32."""
        self.refuse(
            "an alignment: float32 does not hold source positions to the bit",
            "emit onnx, or align before the graph and emit the stages behind",
        )

    def resize(self, x: int, size: tuple[int, int], stage: st.Resize) -> int:
        """Copy nearest samples, or mix two by two in whole numbers."""
        h, w, _ = self.shapes[x]
        if stage.rounding == "none":
            self.refuse(f"a resize that keeps reals: {INEXACT}", "write a rounding")
        if stage.kernel == "nearest":
            x = self.take(x, nearest_index(h, size[1], stage.pixel_centers), 0)
            return self.take(x, nearest_index(w, size[0], stage.pixel_centers), 1)
        if stage.kernel != "bilinear" or (stage.antialias and (w > size[0] or h > size[1])):
            name = stage.kernel + (" with antialias" if stage.antialias else "")
            self.refuse(f"the kernel {name}: LiteRT has nearest and bilinear, and {INEXACT}")
        if stage.passes:
            self.refuse("8-bit rounding between the passes")
        (x0, x1, kx, bx), (y0, y1, ky, by) = (
            _pairs(n, m, stage.pixel_centers) for n, m in ((w, size[0]), (h, size[1]))
        )
        if 255 * bx * by * 4 >= LIMIT:
            self.refuse("a bilinear resize to this size: it does not fit into 32-bit integers")
        column, row = ky.reshape(-1, 1, 1), kx.reshape(1, -1, 1)
        mixed = self.plus(
            self.times(self.take(x, y0, 0), by - column), self.times(self.take(x, y1, 0), column)
        )
        both = self.plus(
            self.times(self.take(mixed, x0, 1), bx - row), self.times(self.take(mixed, x1, 1), row)
        )
        return self.divided(both, bx * by, stage.rounding)


def _pairs(n: int, m: int, centers: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return each output's two neighbours, the second one's share in whole numbers, and the whole."""
    i = np.arange(m, dtype=np.int64)
    if centers == "half":
        above, below = (2 * i + 1) * n - m, 2 * m
    elif centers == "legacy":
        above, below = i * n, m
    else:
        above, below = i * (n - 1), max(m - 1, 1)
    base = above // below
    return (
        np.clip(base, 0, n - 1),
        np.clip(base + 1, 0, n - 1),
        above - base * below,
        below,
    )
