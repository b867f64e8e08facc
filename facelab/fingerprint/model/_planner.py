"""A chain made concrete for one probe: which pixels each step takes, and the size it leaves."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facelab.core.errors import BadInputError
from facelab.fingerprint.model._operations import (
    Affine,
    Align,
    Blur,
    Chain,
    Crop,
    Cut,
    Gather,
    Orient,
    Pad,
    Refused,
    Resample,
    Resize,
    Roll,
    Shift,
    Shrink,
    Size,
    Smear,
    Step,
    Turn,
    Warp,
)
from facelab.fingerprint.probes._cache import Source
from facelab.preprocess.align import MIRRORED, affine3, invert, umeyama
from facelab.preprocess.image import EXIF_TRANSFORMS
from facelab.preprocess.sizes import fitted, whole_box

SWAPS = ("transpose", "transverse", "rotate90", "rotate270")


FLIPS = {
    "none": (False, False),
    "transpose": (False, False),
    "flip_horizontal": (False, True),
    "flip_vertical": (True, False),
    "rotate180": (True, True),
    "transverse": (True, True),
    "rotate90": (False, True),
    "rotate270": (True, False),
}
"""Transform → (rows reversed, columns reversed) after the swap of axes, if it has one."""


Points = NDArray[np.float64]
"""Landmarks (n, 2)."""
Part = tuple[list[Step], Size]
"""The steps of one operation, and the size that they leave."""


def plan(chain: Chain, source: Source) -> Part:
    """Make the chain concrete for one probe: (steps, final (width, height)). Raises Refused."""
    h, w = source.pixels.shape[:2]
    size: Size = (w, h)
    steps: list[Step] = []
    for op in chain:
        new, size = _PLAN[type(op)](op, size, source)
        steps += new
    return steps, size


def _orient(op: Orient, size: Size, source: Source) -> Part:
    names = [EXIF_TRANSFORMS[source.orientation] if op.exif else "none", op.transform]
    steps: list[Step] = []
    for name in names:
        if name != "none":
            steps.append(Turn(name, size))
            size = (size[1], size[0]) if name in SWAPS else size
    return steps, size


def _crop(op: Crop, size: Size, source: Source) -> Part:
    w, h = size
    x1, y1, x2, y2 = _crop_box(op, size, source)
    if op.outside == "clip":
        x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, w), min(y2, h)
    if x2 <= x1 or y2 <= y1:
        raise Refused("empty crop")
    return [Cut((x1, y1, x2 - x1, y2 - y1), size, op.outside)], (x2 - x1, y2 - y1)


FACE_ROUNDING = {"size": "nearest", "floor": "floor", "outward": "outward"}


Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""


def _face_box(op: Crop, size: Size, source: Source) -> Box:
    w, h = size
    if source.box is None:
        raise Refused("no face box")
    x1, y1, x2, y2 = source.box
    if op.early:
        x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, w), min(y2, h)
    pixels = op.pixels, op.pixels if op.above is None else op.above
    shares = op.margin, op.margin if op.tall is None else op.tall
    sides = (x1, x2), (y1, y2)
    dx, dy = (m * (b - a) + p for m, (a, b), p in zip(shares, sides, pixels))
    x1, y1, x2, y2 = x1 - dx, y1 - dy, x2 + dx, y2 + dy
    if op.aspect != "keep":
        side = (max if op.aspect == "square_longer" else min)(x2 - x1, y2 - y1)
        cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
        x1, y1, x2, y2 = cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2
    if op.style == "even":
        return round(x1), round(y1), round(x2), round(y2)
    return whole_box((x1, y1, x2, y2), FACE_ROUNDING.get(op.style, "nearest"))


def _crop_box(op: Crop, size: Size, source: Source) -> Box:
    w, h = size
    if op.region == "box":
        return whole_box(op.box, "nearest")
    if op.region == "face":
        return _face_box(op, size, source)
    if op.region == "fraction":
        return _fraction(op, size)
    if op.region == "ratio":
        cw, ch = min(w, round(h * op.fraction)), min(h, round(w / op.fraction))
        cw, ch = (w if op.style == "rows" else cw), (h if op.style == "columns" else ch)
        return (w - cw) // 2, (h - ch) // 2, (w - cw) // 2 + cw, (h - ch) // 2 + ch
    if op.region == "sides":
        cut_off = op.cut_off
        if op.style != "pixels":
            cut_off = tuple(v * n for v, n in zip(cut_off, (w, h, w, h)))
        left, top, right, bottom = cut_off
        if op.style == "floor":
            left, top, right, bottom = (math.floor(v + 1e-9) for v in (left, top, right, bottom))
        return whole_box((left, top, w - right, h - bottom), "nearest")
    known: dict[str, Size | None] = {"full": size, "square": (min(size), min(size))}
    known["center"] = op.size
    cut = known[op.region]
    assert cut is not None, "a cut about the centre has a size"
    cw, ch = cut
    x1, y1 = (w - cw) // 2, (h - ch) // 2
    if op.style == "even":
        x1, y1 = round((w - cw) / 2), round((h - ch) / 2)
    return x1, y1, x1 + cw, y1 + ch


def _fraction(op: Crop, size: tuple[int, int]) -> tuple[int, int, int, int]:
    if op.style in ("side", "inset"):
        cut = [s * (1 - op.fraction) / 2 for s in size]
        dx, dy = (round(v) if op.style == "side" else math.floor(v + 1e-9) for v in cut)
        return dx, dy, size[0] - dx, size[1] - dy
    if op.style == "edges":
        x1, y1, x2, y2 = (
            math.floor(s * (1 + sign * op.fraction) / 2 + 1e-9) for sign in (-1, 1) for s in size
        )
        return x1, y1, x2, y2
    whole = math.floor if op.style in ("floor", "corner") else round
    cw, ch = (max(1, whole(s * op.fraction + (1e-9 if whole is math.floor else 0))) for s in size)
    if op.style == "corner":
        x, y = (math.floor(s * (1 - op.fraction) / 2 + 1e-9) for s in size)
        return x, y, x + cw, y + ch
    x, y = (size[0] - cw) // 2, (size[1] - ch) // 2
    return x, y, x + cw, y + ch


def inner_size(op: Resize, size: tuple[int, int]) -> tuple[int, int]:
    """Return the (width, height) of the picture itself after a resize, before a letterbox is padded."""
    if not op.enlarge and op.mode != "stretch" and size[0] <= op.size[0] and size[1] <= op.size[1]:
        return size
    return fitted(size, op.size, op.mode, op.size_rounding)


def _resize(op: Resize, size: Size, source: Source) -> Part:
    inner = inner_size(op, size)
    steps: list[Step] = []
    if inner != size:
        steps = [Resample(size, inner, _resampler(op, size, inner))]
    if op.gap:
        steps = _reduced(op, size, inner)
    if op.mode == "letterbox":
        if op.anchor == "center_exact":
            k = min(t / n for t, n in zip(op.size, size))
            left, top = (int((t - n * k) / 2 + 1e-9) for t, n in zip(op.size, size))
            return [*steps, Cut((-left, -top, *op.size), inner, "constant")], op.size
        return steps + _padding(inner, op.size, op.anchor), op.size
    return steps, inner


def _resampler(op: Resize, size: Size, inner: Size) -> Resize:
    """The step's own kernel; OpenCV's area depends on both axes."""
    if op.kernel != "area_cv":
        return op
    enlarged = [b > a for a, b in zip(size, inner)]
    return op._replace(kernel="area_mixed" if any(enlarged) and not all(enlarged) else "area")


_AREA = Resize((0, 0), kernel="area", antialias=True)


def _reduced(op: Resize, size: Size, inner: Size) -> list[Step]:
    """Pillow's `reduce` to whole blocks, the last one cut short, then the resize of what the blocks cover."""
    across, down = (max(1, int(n / m / op.gap)) for n, m in zip(size, inner))
    op = _resampler(op, size, inner)
    if max(across, down) == 1:
        return [Resample(size, inner, op)]
    blocks = -(-size[0] // across), -(-size[1] // down)
    covered = (0.0, float(blocks[0] * across)), (0.0, float(blocks[1] * down))
    seen = (0.0, size[0] / across), (0.0, size[1] / down)
    return [Resample(size, blocks, _AREA, covered), Resample(blocks, inner, op, seen)]


def _shrink(op: Shrink, size: Size, source: Source) -> Part:
    if op.every:
        w, h = size
        small = (-(-w // op.factor) if op.every == "pixels" else w), -(-h // op.factor)
        # whole multiples, so that the first of each is taken
        whole = (small[0] * op.factor if op.every == "pixels" else w), small[1] * op.factor
        steps: list[Step] = [Cut((0, 0, *whole), size, "replicate")] if whole != size else []
        taken = Resize(small, kernel="nearest", centers="legacy")
        return [*steps, Resample(whole, small, taken)], small
    if op.blocks:
        small = -(-size[0] // op.factor), -(-size[1] // op.factor)
        covered = (0.0, float(small[0] * op.factor)), (0.0, float(small[1] * op.factor))
        return [Resample(size, small, _AREA, covered)], small
    small = max(1, size[0] // op.factor), max(1, size[1] // op.factor)
    return [Resample(size, small, Resize(small))], small


def _padding(size: Size, target: Size, anchor: str) -> list[Step]:
    if size == target:
        return []
    dx, dy = target[0] - size[0], target[1] - size[1]
    odd = anchor == "center_up"
    left, top = (0, 0) if anchor == "top_left" else ((dx + odd) // 2, (dy + odd) // 2)
    return [Cut((-left, -top, *target), size, "constant")]


def _pad(op: Pad, size: Size, source: Source) -> Part:
    if op.square:
        target = max(size), max(size)
    elif op.to:
        target = op.to
    else:
        assert op.multiple is not None, "a pad goes to a size, to a multiple or to a square"
        target = -(-size[0] // op.multiple) * op.multiple, -(-size[1] // op.multiple) * op.multiple
    if target[0] < size[0] or target[1] < size[1]:
        raise Refused("the picture is larger than the pad's target")
    return _padding(size, target, op.anchor), target


SWAPPED_LANDMARKS = {
    "eyes_swapped": (1, 0, 2, 3, 4),
    "mouth_swapped": (0, 1, 2, 4, 3),
    "mirrored": MIRRORED,
}
"""Landmarks in another order, as they are mixed up."""
LANDMARKS: dict[str, Callable[[Points, Points], tuple[Points, Points]]] = {
    "eyes_swapped": lambda source, target: (source[[*SWAPPED_LANDMARKS["eyes_swapped"]]], target),
    "mouth_swapped": lambda source, target: (source[[*SWAPPED_LANDMARKS["mouth_swapped"]]], target),
    "mirrored": lambda source, target: (source[[*SWAPPED_LANDMARKS["mirrored"]]], target),
    "rows_first": lambda source, target: (source[:, ::-1], target),
    "x_first": lambda source, target: (source.T.reshape(5, 2), target),
    "y_last": lambda source, target: (source.reshape(2, 5).T, target),
    "half_off": lambda source, target: (source + 0.5, target),
    "rounded": lambda source, target: (np.floor(source + 0.5), target),
    "truncated": lambda source, target: (np.floor(source), target),
    "no_nose": lambda source, target: (source[[0, 1, 3, 4]], target[[0, 1, 3, 4]]),
    "no_mouth": lambda source, target: (source[:3], target[:3]),
    "eyes": lambda source, target: (source[:2], target[:2]),
}
"""What may be done to the landmarks (and to the template's) before the map is estimated."""


NETWORKS = (112, 128, 160, 192, 224, 256, 300, 320, 416, 480, 512, 640)
"""Sides of detectors' inputs, whose pixels landmarks may be in by mistake."""


SCALED = {"quarter": 0.25, "half": 0.5, "double": 2.0}
"""Landmarks of a picture of another size, by factor."""


def _misplaced(name: str, points: Points, size: Size, source: Source) -> Points:
    """Landmarks in the wrong units or origin: of the network's input, or relative to the face box."""
    if name == "box_relative":
        if source.box is None:
            raise Refused("no face box")
        return points - np.array(source.box[:2])
    if name in SCALED:
        return points * SCALED[name]
    if name.startswith("network_"):
        return points * (float(name.removeprefix("network_")) / max(size))
    return points


ROBUST = {
    "affine_lmeds": ("estimateAffine2D", "LMEDS"),
    "affine_ransac": ("estimateAffine2D", "RANSAC"),
    "partial_lmeds": ("estimateAffinePartial2D", "LMEDS"),
    "partial_ransac": ("estimateAffinePartial2D", "RANSAC"),
}
"""OpenCV's robust estimators: its function and method. They draw their samples from a fixed seed."""


@functools.lru_cache(maxsize=512)
def _robust_map(function: str, method: str, points: bytes, target: bytes) -> Points | None:
    import cv2

    p, q = (
        np.frombuffer(b, np.float64).reshape(-1, 2).astype(np.float32) for b in (points, target)
    )
    return getattr(cv2, function)(p, q, method=getattr(cv2, method))[0]


def _robust(function: str, method: str, points: Points, target: Points) -> Points:
    found = _robust_map(
        function, method, *(np.ascontiguousarray(v, np.float64).tobytes() for v in (points, target))
    )
    if found is None:
        raise Refused("the landmarks give no map")
    return found


def _affine_of(estimator: str, points: Points, target: Points) -> Points:
    if estimator == "affine5":
        at = np.hstack([points, np.ones((len(points), 1))])
        return np.linalg.lstsq(at, target, rcond=None)[0].T.astype(np.float64, copy=False)
    if estimator == "rigid":
        turn = umeyama(points, target)[:, :2]
        turn = turn / np.sqrt(abs(np.linalg.det(turn)))
        return np.hstack([turn, (target.mean(axis=0) - turn @ points.mean(axis=0))[:, None]])
    if estimator in ROBUST:
        return _robust(*ROBUST[estimator], points, target)
    if estimator == "affine_first3":
        return affine3(points[:3], target[:3])
    return (affine3 if estimator == "affine3" else umeyama)(points, target)


def _align(op: Align, size: Size, source: Source) -> Part:
    if op.at is None and source.landmarks is None:
        raise Refused("no landmarks")
    points = np.array(source.landmarks if op.at is None else op.at, dtype=np.float64)
    if op.at is not None:
        points = points * size
    target = np.array(op.points)
    points = _misplaced(op.landmarks, points, size, source)
    if op.landmarks in LANDMARKS:
        points, target = LANDMARKS[op.landmarks](points, target)
    try:
        back = invert(_affine_of(op.estimator, points, target))
    except BadInputError:
        raise Refused("the landmarks give no map") from None
    return [Gather(back, op.size, op.kernel)], op.size


def _warp(op: Warp, size: Size, source: Source) -> Part:
    back = np.array(op.back, dtype=np.float64).reshape(2, 3)
    return [Gather(back, op.size, op.kernel)], op.size


def _shift(op: Shift, size: Size, source: Source) -> Part:
    if op.fill == "wrap":
        return [Roll(op.dx, op.dy, size)], size
    return [Cut((-op.dx, -op.dy, *size), size, op.fill)], size


def _affine(op: Affine, size: Size, source: Source) -> Part:
    return [Gather(turned_back(op, size), size, "bilinear")], size


def turned_back(op: Affine, size: Size) -> NDArray[np.float64]:
    """Return the 2×3 matrix from an output position to where `op` takes it from."""
    w, h = size
    cx, cy = (w - 1) / 2, (h - 1) / 2
    c, s = (
        math.cos(math.radians(op.degrees)) * op.zoom,
        math.sin(math.radians(op.degrees)) * op.zoom,
    )
    a, b, d, e = c * op.aspect, -s, s * op.aspect, c
    return np.array(
        [
            [a, b, cx - a * (cx + op.dx) - b * (cy + op.dy)],
            [d, e, cy - d * (cx + op.dx) - e * (cy + op.dy)],
        ]
    )


def _blurred(op: Blur, size: Size, source: Source) -> Part:
    return [Smear(size, op.sigma)], size


_PLAN: dict[type, Callable[[Any, Size, Source], Part]] = {
    Blur: _blurred,
    Orient: _orient,
    Crop: _crop,
    Resize: _resize,
    Pad: _pad,
    Align: _align,
    Shift: _shift,
    Affine: _affine,
    Warp: _warp,
    Shrink: _shrink,
}
