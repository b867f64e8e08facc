"""One ONNX graph with the stages embedded, run by ONNX Runtime; `export` gives the model itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from facelab.preprocess import colour
from facelab.preprocess.align import sources
from facelab.preprocess.backends._onnx_session import Value, check, run
from facelab.preprocess.backends.base import Engine, per_channel
from facelab.preprocess.spec import PreprocessSpec

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto

OPSET = 20


class Backend(Engine):
    """ONNX. Each primitive adds nodes; the graph is fixed to one input size (and one face, where it aligns)."""

    name = "onnx"

    def __init__(self):
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.count = 0
        self.image: np.ndarray | None = None

    def decode_encoded(self, data: bytes, stage: Any, where: str) -> NoReturn:
        """Refuse: ONNX Runtime has no image decoder."""
        self.refuse(
            "decoding files: ONNX Runtime has no ImageDecoder",
            "decode with another backend: decode_with='pillow' (command line: --decode-with pillow)",
        )

    def begin(self, pixels: np.ndarray) -> Value:
        """Make the decoded image the graph's input."""
        self.image = np.ascontiguousarray(pixels)
        return Value("image", pixels.dtype, pixels.shape)

    # -- graph building ---------------------------------------------------------------------------------------------

    def node(
        self, op: str, inputs: list[Any], dtype: Any, shape: tuple[int, ...], **attributes: Any
    ) -> Value:
        """Add a node; numpy arrays among `inputs` become initializers."""
        from onnx import helper

        self.count += 1
        name = f"v{self.count}"
        names = [
            i.name if isinstance(i, Value) else "" if i is None else self._constant(i)
            for i in inputs
        ]
        self.nodes.append(helper.make_node(op, names, [name], **attributes))
        return Value(name, np.dtype(dtype), tuple(shape))

    def _constant(self, array: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    def as_type(self, x: Value, dtype: Any) -> Value:
        """Cast where the type differs."""
        from onnx import helper

        if x.dtype == np.dtype(dtype):
            return x
        return self.node(
            "Cast", [x], dtype, x.shape, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        )

    def same(self, op: str, x: Value, *others: Any) -> Value:
        """Add an element-wise node of x's type; numbers become constants of it."""
        extra = [o if isinstance(o, Value) else np.asarray(o, dtype=x.dtype) for o in others]
        return self.node(op, [x, *extra], x.dtype, x.shape)

    def model(self, outputs: list[Value]) -> ModelProto:
        """Return the checked ModelProto with `outputs`."""
        from onnx import helper

        def info(v: Value, name: str) -> ValueInfoProto:
            return helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape
            )

        nodes = list(self.nodes)
        for i, v in enumerate(outputs):
            nodes.append(helper.make_node("Identity", [v.name], [f"stage{i + 1}"]))
        infos = [info(v, f"stage{i + 1}") for i, v in enumerate(outputs)]
        given = Value("image", self._begun().dtype, self._begun().shape)
        graph = helper.make_graph(
            nodes, "preprocess", [info(given, "image")], infos, self.initializers
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="facelab"
        )
        model.ir_version = 9
        check(model)
        return model

    def arrays(self, values: Any) -> list[np.ndarray]:
        """Run the graph and return each stage's tensor."""
        return run(self.model(values), self._begun())

    def _begun(self) -> np.ndarray:
        assert self.image is not None, "begin() comes first"
        return self.image

    # -- primitives -------------------------------------------------------------------------------------------------

    def transform(self, x: Value, name: str) -> Value:
        """Transpose and slice backwards."""
        if name in ("transpose", "transverse", "rotate90", "rotate270"):
            x = self.node(
                "Transpose", [x], x.dtype, (x.shape[1], x.shape[0], x.shape[2]), perm=[1, 0, 2]
            )
        back = {
            "flip_horizontal": [1],
            "flip_vertical": [0],
            "rotate180": [0, 1],
            "transverse": [0, 1],
            "rotate90": [1],
            "rotate270": [0],
        }.get(name, [])
        for axis in back:
            x = self._slice(x, axis, -1, -(2**31), -1, x.shape[axis])
        return x

    def _slice(self, x: Value, axis: int, start: int, end: int, step: int, length: int) -> Value:
        shape = tuple(length if i == axis else n for i, n in enumerate(x.shape))
        return self.node(
            "Slice",
            [x, *(np.array([v], np.int64) for v in (start, end, axis, step))],
            x.dtype,
            shape,
        )

    def crop(self, x: Value, box: Any, outside: Any, value: Any) -> Value:
        """Slice what lies inside, then pad."""
        h, w = x.shape[:2]
        x1, y1, x2, y2 = box
        inside = max(x1, 0), max(y1, 0), min(x2, w), min(y2, h)
        if inside[2] <= inside[0] or inside[3] <= inside[1]:
            self.refuse("a crop that lies wholly outside the image")
        x = self._slice(x, 0, inside[1], inside[3], 1, inside[3] - inside[1])
        x = self._slice(x, 1, inside[0], inside[2], 1, inside[2] - inside[0])
        borders = (max(-x1, 0), max(-y1, 0), max(x2 - w, 0), max(y2 - h, 0))
        return self.pad(x, borders, outside, value) if any(borders) else x

    def pad(self, x: Value, borders: Any, border: Any, value: Any) -> Value:
        """Concatenate constant blocks, or repeat the edge."""
        left, top, right, bottom = borders
        if border == "replicate":
            for axis, (before, after) in ((0, (top, bottom)), (1, (left, right))):
                n = x.shape[axis]
                index = np.arange(-int(before), n + int(after)).clip(0, n - 1)
                shape = tuple(len(index) if i == axis else m for i, m in enumerate(x.shape))
                x = self.node("Gather", [x, index], x.dtype, shape, axis=axis)
            return x
        fill = np.broadcast_to(self.fill(x.dtype, value), x.shape[2:])
        for axis, (before, after) in ((0, (top, bottom)), (1, (left, right))):
            blocks: list[Value | np.ndarray] = []
            total = 0
            for count in (before, None, after):
                if count is None:
                    blocks.append(x)
                    total += x.shape[axis]
                elif count:
                    shape = tuple(count if i == axis else m for i, m in enumerate(x.shape))
                    blocks.append(np.broadcast_to(fill, shape))
                    total += count
            shape = tuple(total if i == axis else m for i, m in enumerate(x.shape))
            x = self.node("Concat", blocks, x.dtype, shape, axis=axis)
        return x

    def color(self, x: Value, stage: Any) -> Value:
        """Gather channels, or multiply by a matrix in float32."""
        source, target = stage.source, stage.target
        if source == target:
            return x
        if source == "gray" or {source, target} == {"rgb", "bgr"}:
            index = np.array([0, 0, 0] if source == "gray" else [2, 1, 0], np.int64)
            return self.node("Gather", [x, index], x.dtype, (*x.shape[:2], 3), axis=2)
        if target == "gray":
            origin, axes = np.zeros(1), np.array(stage.gray_weights())[:, None]
        else:
            convert = colour.yuv_to_rgb if source == "yuv" else colour.rgb_to_yuv
            origin, *axes = convert(np.vstack([np.zeros(3), np.eye(3)]), stage.matrix, stage.range)
            axes = np.array(axes) - origin
        axes = axes[::-1] if source == "bgr" else axes
        origin, axes = (origin[::-1], axes[:, ::-1]) if target == "bgr" else (origin, axes)
        out = self.node(
            "MatMul",
            [self.as_type(x, np.float32), axes.astype(np.float32)],
            np.float32,
            (*x.shape[:2], axes.shape[1]),
        )
        return self.rounded(self.same("Add", out, origin), stage)

    def rounded(self, x: Value, stage: Any) -> Value:
        """Round and saturate to uint8, or keep floats."""
        if stage.rounding == "none":
            return x
        x = {
            "half_even": lambda: self.same("Round", x),
            "half_up": lambda: self.same("Floor", self.same("Add", x, 0.5)),
            # sums in float32 fall short of whole numbers by some 1e-5
            "truncate": lambda: self.same("Floor", self.same("Add", x, 1e-4)),
        }[stage.rounding]()
        return self.as_type(self.same("Clip", x, 0, 255), np.uint8)

    def _planes(self, x: Value) -> Value:
        x = self.node("Transpose", [x], x.dtype, (x.shape[2], *x.shape[:2]), perm=[2, 0, 1])
        return self.node("Unsqueeze", [x, np.array([0], np.int64)], x.dtype, (1, *x.shape))

    def _pixels(self, x: Value) -> Value:
        x = self.node("Squeeze", [x, np.array([0], np.int64)], x.dtype, x.shape[1:])
        return self.node("Transpose", [x], x.dtype, (*x.shape[1:], x.shape[0]), perm=[1, 2, 0])

    def warp(self, x: Value, matrix: np.ndarray, stage: Any) -> Value:
        """Sample by GridSample; the border is taken off before and put back after, since it pads with zeros."""
        border = self.fill(x.dtype, stage.border).astype(np.float32)
        h, w, c = x.shape
        sx, sy = sources(matrix, stage.size, stage.coordinates)
        if stage.kernel == "nearest":
            sx, sy = np.floor(sx + 0.5), np.floor(sy + 0.5)
        grid = np.stack([(2 * sx + 1) / w - 1, (2 * sy + 1) / h - 1], axis=-1)[None].astype(
            np.float32
        )
        before = x.dtype
        x = self._planes(self.same("Sub", self.as_type(x, np.float32), border))
        x = self.node(
            "GridSample",
            [x, grid],
            np.float32,
            (1, c, stage.size[1], stage.size[0]),
            mode="linear" if stage.kernel == "bilinear" else "nearest",
            padding_mode="zeros",
            align_corners=0,
        )
        x = self.same("Add", self._pixels(x), border)
        if stage.kernel == "nearest" and stage.rounding == "half_up" and before == np.uint8:
            return self.as_type(x, np.uint8)
        return self.rounded(x, stage)

    def resize(self, x: Value, size: Any, stage: Any) -> Value:
        """Add a Resize node of the stage's kernel, or refuse."""
        h, w, c = x.shape
        if stage.kernel == "lanczos" or stage.passes:
            self.refuse("8-bit rounding between the passes" if stage.passes else "lanczos")
        if stage.kernel == "area":
            if w % size[0] or h % size[1]:
                self.refuse(
                    "area by a ratio that is not a whole number",
                    "use the opencv or tensorflow backend",
                )
            step = [h // size[1], w // size[0]]
            out = self.node(
                "AveragePool",
                [self._planes(self.as_type(x, np.float32))],
                np.float32,
                (1, c, size[1], size[0]),
                kernel_shape=step,
                strides=step,
            )
            return self.rounded(self._pixels(out), stage)
        if stage.kernel == "nearest":
            self._check_nearest((w, h), size, stage)
            out = self._pixels(self._resize(self._planes(x), size, stage))
            return self.as_type(out, np.float32) if stage.rounding == "none" else out
        x = self.as_type(x, np.float32)
        if stage.kernel == "bilinear":
            if stage.antialias and (w > size[0] or h > size[1]):
                # measured on ONNX Runtime 1.31: up to 16 levels off the triangle filter
                self.refuse(
                    "bilinear with antialias when shrinking: ONNX Runtime's is a different filter",
                    "write kernel bicubic, or antialias false",
                )
            return self.rounded(self._pixels(self._resize(self._planes(x), size, stage)), stage)
        # ONNX Runtime's optimizer turns a transposed cubic Resize into one that its kernel refuses: plane by plane
        planes: list[Value] = []
        for k in range(c):
            plane = self._resize(
                self.node("Gather", [x, np.array(k)], np.float32, (h, w), axis=2), size, stage
            )
            planes.append(
                self.node(
                    "Unsqueeze", [plane, np.array([2], np.int64)], np.float32, (*plane.shape, 1)
                )
            )
        out = self.node("Concat", planes, np.float32, (size[1], size[0], c), axis=2)
        return self.rounded(out, stage)

    def _resize(self, x: Value, size: tuple[int, int], stage: Any) -> Value:
        how = {
            "coordinate_transformation_mode": {
                "half": "half_pixel",
                "legacy": "asymmetric",
                "corner": "align_corners",
            }[stage.pixel_centers]
        }
        if stage.kernel == "nearest":
            how |= {
                "mode": "nearest",
                "nearest_mode": "floor" if stage.pixel_centers == "legacy" else "round_prefer_ceil",
            }
        elif stage.kernel == "bilinear":
            how |= {"mode": "linear"}
        else:
            how |= {
                "mode": "cubic",
                "antialias": int(stage.antialias),
                "cubic_coeff_a": float(stage.cubic_a),
                "exclude_outside": int(stage.edge == "renormalize"),
            }
        shape = (*x.shape[:-2], size[1], size[0])
        return self.node(
            "Resize", [x, None, None, np.array(shape, np.int64)], x.dtype, shape, **how
        )

    def _check_nearest(self, size: tuple[int, int], target: Any, stage: Any) -> None:
        for n_in, n_out in zip(size, target):
            probe = Backend()
            ramp = probe.begin(np.arange(n_in, dtype=np.float32).reshape(1, 1, 1, -1))
            took = probe.arrays([probe._resize(ramp, (n_out, 1), stage)])[0]
            self.check_nearest(took.ravel(), n_in, n_out, stage.pixel_centers)

    def normalize(self, x: Value, stage: Any, behind: Any = 0) -> Value:
        """Divide by 255 where the units say so, subtract, divide."""
        x = x if x.dtype.kind == "f" else self.as_type(x, np.float32)
        x = self.same("Div", x, 255) if stage.units == "0-1" else x
        mean, scale = (per_channel(v, x.dtype, behind) for v in (stage.mean, stage.scale))
        return self.same("Div", self.same("Sub", x, mean), scale)

    def layout(self, x: Value, stage: Any) -> Value:
        """Transpose, squeeze and unsqueeze."""
        h, w, c = x.shape
        if "c" not in stage.to:
            x = self.node("Squeeze", [x, np.array([2], np.int64)], x.dtype, (h, w))
        elif stage.to.endswith("chw"):
            x = self.node("Transpose", [x], x.dtype, (c, h, w), perm=[2, 0, 1])
        if stage.to.startswith("n"):
            x = self.node("Unsqueeze", [x, np.array([0], np.int64)], x.dtype, (1, *x.shape))
        return x

    def cast(self, x: Value, stage: Any) -> Value:
        """Cast; to integers after rounding and clipping."""
        if stage.dtype.startswith("float"):
            return self.as_type(x, stage.dtype)
        return self._integers(self._round(x, stage.rounding) if x.dtype.kind == "f" else x, stage)

    def quantize(self, x: Value, stage: Any) -> Value:
        """Divide, round, add the zero point, clip, cast."""
        x = self.as_type(x, np.float32)
        x = self._round(self.same("Div", x, stage.scale), stage.rounding)
        return self._integers(self.same("Add", x, stage.zero_point), stage)

    def _round(self, x: Value, rounding: str) -> Value:
        if rounding == "half_even":
            return self.same("Round", x)
        if rounding in ("half_up", "floor"):
            return self.same("Floor", self.same("Add", x, 0.5) if rounding == "half_up" else x)
        whole = self.same("Abs", x)
        whole = self.same(
            "Floor", self.same("Add", whole, 0.5) if rounding == "half_away" else whole
        )
        return self.same("Mul", whole, self.same("Sign", x))

    def _integers(self, x: Value, stage: Any) -> Value:
        if not stage.saturate:
            self.refuse("integers that wrap: Cast is undefined out of range", "write saturate true")
        if stage.dtype == "int32":
            self.refuse("a saturating cast to int32: float32 cannot hold its limits")
        limits = np.iinfo(stage.dtype)
        return self.as_type(
            self.same("Clip", self.as_type(x, np.float32), limits.min, limits.max), stage.dtype
        )


def export(spec: PreprocessSpec, size: tuple[int, int], *, face: Any = None) -> ModelProto:
    """Return a ModelProto that turns decoded pixels into the spec's tensor.

    The input `image` is uint8 height × width × channel of `size` (width, height), in the order that decode states and
    already upright; the output is `tensor`. A spec that crops or aligns a face is fixed to `face`. Raises
    UnsupportedError naming the stage that ONNX cannot do exactly.
    """
    from onnx import helper

    from facelab.preprocess._run import carry_out

    engine = Backend()
    values = carry_out(
        spec,
        engine,
        np.zeros((size[1], size[0], 1 if spec.input_order == "gray" else 3), np.uint8),
        face=face,
    )
    model = engine.model(values[-1:])
    model.graph.node[-1].output[0] = model.graph.output[0].name = "tensor"
    helper.set_model_props(model, {"facelab.preprocess": spec.hash})
    return model
