"""Plan the geometry of a spec for one image: whole-pixel boxes, sizes, borders and matrices, the same for every
backend, and the map from input to output pixels."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.narrow import is_dict
from facelab.preprocess import ops as st
from facelab.preprocess._flow import State, advance, padded
from facelab.preprocess.align import check_landmarks, estimate
from facelab.preprocess.image import EXIF_TRANSFORMS
from facelab.preprocess.sizes import fitted, whole_box


@dataclasses.dataclass(frozen=True)
class Face:
    """A face in the picture as a viewer shows it (after decode and the spec's leading orient stage).

    `box` is (x1, y1, x2, y2) in pixels, edges at whole numbers; `landmarks` are five (x, y) points, pixel centres at
    whole numbers. Either may be None.

    Examples
    --------
    >>> Face.of([10, 20, 30, 40]).box
    (10.0, 20.0, 30.0, 40.0)
    >>> Face.of(None).landmarks is None
    True
    """

    box: tuple[float, float, float, float] | None = None
    landmarks: tuple[tuple[float, float], ...] | None = None

    @classmethod
    def of(cls, value: Any) -> Face:
        """Make a Face from None, a Face, a mapping with box and landmarks, four numbers or five points."""
        if value is None or isinstance(value, cls):
            return value or cls()
        if is_dict(value):
            unknown = set(value) - {"box", "landmarks"}
            if unknown:
                raise BadInputError(
                    "a face has a box and landmarks",
                    expected="box, landmarks",
                    got=", ".join(sorted(map(str, unknown))),
                    fix="rename or remove the other keys",
                )
            return cls(_box(value.get("box")), _points(value.get("landmarks")))
        try:
            shape = np.shape(value)
        except ValueError:
            shape = None
        if shape == (4,):
            return cls(box=_box(value))
        if shape == (5, 2):
            return cls(landmarks=_points(value))
        raise BadInputError(
            "a face is a box, five landmarks, or both",
            expected="shape (4,) or (5, 2), or a mapping",
            got=f"shape {shape}",
            fix='give {"box": [x1, y1, x2, y2], "landmarks": [[x, y], …]}',
        )


def _points(value: Any) -> tuple[Any, ...] | None:
    return None if value is None else tuple((float(x), float(y)) for x, y in check_landmarks(value))


def _box(value: Any) -> tuple[Any, ...] | None:
    if value is None:
        return None
    try:
        x1, y1, x2, y2 = (float(v) for v in value)
    except (TypeError, ValueError):
        raise BadInputError(
            "a face box is four numbers",
            expected="x1, y1, x2, y2",
            got=repr(value)[:80],
            fix="give four numbers: x1, y1, x2, y2",
        ) from None
    if not all(map(math.isfinite, (x1, y1, x2, y2))) or x2 <= x1 or y2 <= y1:
        raise BadInputError(
            "the face box is empty",
            expected="finite numbers, x2 > x1 and y2 > y1",
            got=f"{(x1, y1, x2, y2)}",
            fix="boxes are x1, y1, x2, y2, not x, y, width, height",
        )
    return x1, y1, x2, y2


@dataclasses.dataclass(frozen=True)
class Step:
    """One stage made concrete for one image: which primitive to run, and the state after it.

    `action` is a primitive's name (`transform`, `color`, `crop`, `warp`, `resize`, `pad`, `normalize`, `layout`,
    `cast`, `quantize`) and `args` its arguments; `resize` and `pad` may come as a pair for a letterbox.
    """

    stage: st.Stage
    where: str
    before: State
    after: State
    actions: tuple[tuple[str, dict[str, Any]], ...]


class Planner:
    """Walks through a spec for one image; `matrix` (2×3) maps viewer pixels to current ones, edges at integers."""

    def __init__(self, order: str, size: tuple[int, int], orientation: int, face: Face):
        self.state = State(order, size=size)
        self.orientation, self.face = orientation, face
        self.matrix = np.eye(2, 3)
        self.leading = True

    def plan(self, stage: st.Stage, where: str) -> Step:
        """Return the concrete step for `stage` and move on."""
        before = self.state
        actions, size, matrix = getattr(self, f"_{stage.op}", self._tensor)(stage, where)
        if matrix is not None:
            self.matrix = _compose(matrix, self.matrix)
        self.state = dataclasses.replace(advance(before, stage, where), size=size)
        if stage.op == "orient" and self.leading:
            self.matrix = np.eye(2, 3)
        self.leading = False
        return Step(stage, where, before, self.state, tuple(actions))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height at this point: whole numbers, since a planner begins with those of an image."""
        width, height = self.state.size
        assert width is not None and height is not None
        return width, height

    def _tensor(
        self, stage: Any, where: str
    ) -> tuple[list[tuple[Any, dict[str, Any]]], tuple[int, int], None]:
        return [(stage.op, {"stage": stage})], self.size, None

    def _normalize(
        self, stage: Any, where: str
    ) -> tuple[list[tuple[str, dict[str, Any]]], tuple[int, int], None]:
        behind = 2 if self.state.layout.endswith("chw") else 0
        args = {"stage": stage, "behind": behind} if behind else {"stage": stage}
        return [("normalize", args)], self.size, None

    def _orient(
        self, stage: Any, where: str
    ) -> tuple[list[tuple[str, dict[str, Any]]], tuple[int, int], np.ndarray]:
        names = [
            EXIF_TRANSFORMS[self.orientation] if stage.exif == "apply" else "none",
            stage.transform,
        ]
        (w, h), matrix = self.size, np.eye(2, 3)
        for name in names:
            matrix = _compose(_transform_matrix(name, (w, h)), matrix)
            if name in ("transpose", "transverse", "rotate90", "rotate270"):
                w, h = h, w
        return [("transform", {"name": n}) for n in names if n != "none"], (w, h), matrix

    def _crop(
        self, stage: Any, where: str
    ) -> tuple[list[tuple[str, dict[str, Any]]], tuple[Any | int, Any | int], np.ndarray]:
        w, h = self.size
        x1, y1, x2, y2 = box = self._crop_box(stage, where)
        if stage.outside in (None, "clip"):
            x1, y1, x2, y2 = box = max(x1, 0), max(y1, 0), min(x2, w), min(y2, h)
        elif stage.outside == "replicate" and (x1 >= w or y1 >= h or x2 <= 0 or y2 <= 0):
            x2 = x1  # nothing of the image to replicate
        if x2 <= x1 or y2 <= y1:
            raise BadInputError(
                "the crop leaves nothing of the image",
                where=where,
                expected=f"a box that overlaps the image of {w}×{h}",
                got=f"{box}",
                fix="correct the box; boxes are x1, y1, x2, y2 in pixels of the oriented image",
            )
        if (x2 - x1) * (y2 - y1) > 200_000_000:
            raise BadInputError(
                "the crop is too large",
                where=where,
                got=f"{x2 - x1}×{y2 - y1}",
                fix="correct the box",
            )
        matrix = np.array([[1.0, 0, -x1], [0, 1.0, -y1]])
        args = {"box": box, "outside": stage.outside or "clip", "value": stage.value}
        return ([("crop", args)] if box != (0, 0, w, h) else []), (x2 - x1, y2 - y1), matrix

    def _crop_box(
        self, stage: Any, where: str
    ) -> tuple[Any, Any, Any, Any] | tuple[int, int, int, int]:
        w, h = self.size
        if stage.region in ("full", "square", "center"):
            cw, ch = {"full": (w, h), "square": (min(w, h),) * 2, "center": stage.size}[
                stage.region
            ]
            x1, y1 = (w - cw) // 2, (h - ch) // 2
            return x1, y1, x1 + cw, y1 + ch
        if stage.region == "box":
            return whole_box(stage.box, stage.box_rounding)
        if self.face.box is None:
            raise BadInputError(
                "the spec crops to a face, but no face box was given",
                where=where,
                fix="pass face={'box': [x1, y1, x2, y2]} (command line: --face x1,y1,x2,y2)",
            )
        x1, y1, x2, y2 = self._current_box(self.face.box)
        bw, bh = x2 - x1, y2 - y1
        x1, y1, x2, y2 = (
            x1 - stage.margin * bw,
            y1 - stage.margin * bh,
            x2 + stage.margin * bw,
            y2 + stage.margin * bh,
        )
        if stage.aspect == "keep":
            return whole_box((x1, y1, x2, y2), stage.box_rounding)
        side = (max if stage.aspect == "square_longer" else min)(x2 - x1, y2 - y1)
        cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
        a, b, c, d = whole_box(
            (cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2), stage.box_rounding
        )
        return a, b, c, b + (c - a) if (c - a) != (d - b) else d

    def _current_box(self, box: tuple[float, float, float, float]) -> Any:
        x1, y1, x2, y2 = box
        corners = _apply(self.matrix, [(x1, y1), (x2, y2)])
        (a, b), (c, d) = corners
        return min(a, c), min(b, d), max(a, c), max(b, d)

    def _align(
        self, stage: Any, where: str
    ) -> tuple[list[tuple[str, dict[str, Any]]], Any, np.ndarray]:
        if self.face.landmarks is None:
            raise BadInputError(
                "the spec aligns a face, but no landmarks were given",
                where=where,
                fix="pass face={'landmarks': five points} (command line: --landmarks x,y,x,y,…)",
            )
        points = [
            (x - 0.5, y - 0.5)
            for x, y in _apply(self.matrix, [(x + 0.5, y + 0.5) for x, y in self.face.landmarks])
        ]
        matrix = estimate(points, stage, where)
        (a, b, c), (d, e, f) = matrix
        edges = np.array([[a, b, c + 0.5 - 0.5 * (a + b)], [d, e, f + 0.5 - 0.5 * (d + e)]])
        return [("warp", {"matrix": matrix, "stage": stage})], stage.size, edges

    def _resize(
        self, stage: Any, where: str
    ) -> (
        tuple[list[tuple[str, dict[str, Any]]], Any, np.ndarray]
        | tuple[list[tuple[str, dict[str, Any]]], tuple[int, int], np.ndarray]
    ):
        inner = fitted(self.size, stage.size, stage.mode, stage.size_rounding)
        matrix = _resize_matrix(self.size, inner, stage.pixel_centers)
        actions = [("resize", {"size": inner, "stage": stage})]
        if stage.mode == "letterbox":
            pad, shift = _borders(inner, stage.size, stage.anchor)
            if any(pad):
                actions.append(
                    ("pad", {"borders": pad, "border": "constant", "value": stage.value})
                )
            return actions, stage.size, _compose(shift, matrix)
        return actions, inner, matrix

    def _pad(
        self, stage: Any, where: Any
    ) -> tuple[list[tuple[str, dict[str, Any]]], tuple[int, int], np.ndarray]:
        size = padded(self.size, stage, where)
        pad, shift = _borders(self.size, size, stage.anchor)
        actions = (
            [("pad", {"borders": pad, "border": stage.border, "value": stage.value})]
            if any(pad)
            else []
        )
        return actions, size, shift


def _borders(
    size: Any, target: Any, anchor: Any
) -> tuple[tuple[Any | int, Any | int, Any, Any], np.ndarray]:
    dx, dy = target[0] - size[0], target[1] - size[1]
    left, top = (dx // 2, dy // 2) if anchor == "center" else (0, 0)
    return (left, top, dx - left, dy - top), np.array([[1.0, 0, left], [0, 1.0, top]])


def _resize_matrix(size: Any, target: Any, pixel_centers: Any) -> np.ndarray:
    rows: list[list[float]] = []
    for axis, (n_in, n_out) in enumerate(zip(size, target)):
        if pixel_centers == "half":
            scale, shift = n_out / n_in, 0.0
        else:
            scale = n_out / n_in if pixel_centers == "legacy" else (n_out - 1) / max(n_in - 1, 1)
            shift = 0.5 - 0.5 * scale
        rows.append([scale, 0.0, shift] if axis == 0 else [0.0, scale, shift])
    return np.array(rows)


def _transform_matrix(name: str, size: Any) -> np.ndarray:
    w, h = size
    return np.array(
        {
            "none": [[1, 0, 0], [0, 1, 0]],
            "flip_horizontal": [[-1, 0, w], [0, 1, 0]],
            "flip_vertical": [[1, 0, 0], [0, -1, h]],
            "rotate180": [[-1, 0, w], [0, -1, h]],
            "transpose": [[0, 1, 0], [1, 0, 0]],
            "transverse": [[0, -1, h], [-1, 0, w]],
            "rotate90": [[0, -1, h], [1, 0, 0]],
            "rotate270": [[0, 1, 0], [-1, 0, w]],
        }[name],
        dtype=float,
    )


def _compose(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return the 2×3 map `second` after `first`, in a fixed order of operations (no BLAS: digests depend on it)."""
    (a, b, c), (d, e, f) = (tuple(float(v) for v in row) for row in second)
    (g, h, i), (j, k, m) = (tuple(float(v) for v in row) for row in first)
    return np.array(
        [
            [a * g + b * j, a * h + b * k, a * i + b * m + c],
            [d * g + e * j, d * h + e * k, d * i + e * m + f],
        ]
    )


def _apply(matrix: np.ndarray, points: Any) -> list[tuple[float, float]]:
    (a, b, c), (d, e, f) = (tuple(float(v) for v in row) for row in matrix)
    return [(a * x + b * y + c, d * x + e * y + f) for x, y in points]
