"""The stages on numpy arrays (height, width, channel), for emitted Python; capital names are a stage's numbers."""

# what a stage states stands here only for the checkers; the emitter puts the spec's values in, and leaves out types
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from facelab.preprocess.emit.kernels import _words as words
from facelab.preprocess.emit.kernels._words import Array, Box, Map, Points

DTYPE = OUTSIDE = KERNEL = CENTERS = EDGE = PASSES = ROUNDING = COORDINATES = words.text()
SIZE_ROUNDING = ASPECT = BOX_ROUNDING = UNITS = MODE = words.text()
SATURATE = ANTIALIAS = WHOLE = True
W = H = LOBES = ZERO_POINT = LOW = HIGH = R = B = words.whole_number()
A = SUPPORT = SCALE = MARGIN = words.number()
WR = WG = WB = Y0 = GAIN = RV = GU = GV = BU = SU = SV = YO = CG = words.number()
VALUE = MEAN = DIVISOR = words.numbers()
TEMPLATE = words.points()


def estimate(points: Points, target: Points) -> Map:
    """Stand for the estimator that the stage names."""
    return umeyama(points, target)


def to_pixels(x: Array) -> Array:
    """Round to bytes and limit to 0...255; what is within 1e-9 of a tie or a whole number counts as it."""
    near = np.rint(x * 2) / 2
    x = np.where(np.abs(x - near) < 1e-9, near, x)
    if ROUNDING == "half_even":
        x = np.rint(x)
    elif ROUNDING == "half_up":
        x = np.floor(x + 0.5)
    else:
        x = np.trunc(x)
    return np.clip(x, 0, 255).astype(np.uint8)


def yuyv(frame: Array, width: int, height: int) -> Array:
    """Y, U, V of a YUYV frame; two pixels share U and V."""
    pairs = np.asarray(frame, np.uint8).reshape(height, width // 2, 4)
    y = pairs[..., 0::2].reshape(height, width)
    u, v = (np.repeat(pairs[..., i], 2, axis=1) for i in (1, 3))
    return np.stack([y, u, v], axis=-1)


def nv12(frame: Array, width: int, height: int) -> Array:
    """Y, U, V of an NV12 frame; four pixels share U and V."""
    flat = np.asarray(frame, np.uint8).reshape(-1)
    y = flat[: width * height].reshape(height, width)
    pairs = flat[width * height :].reshape(height // 2, width // 2, 2).repeat(2, 0).repeat(2, 1)
    return np.dstack([y, pairs])


def turn(x: Array, name: str) -> Array:
    """Rotate (clockwise), flip or transpose."""
    if name in ("transpose", "transverse", "rotate90", "rotate270"):
        x = x.swapaxes(0, 1)
    if name in ("flip_vertical", "rotate180", "transverse", "rotate270"):
        x = x[::-1]
    if name in ("flip_horizontal", "rotate180", "transverse", "rotate90"):
        x = x[:, ::-1]
    return x


def turn_map(name: str, w: int, h: int) -> Map:
    """The map of that turn, from pixels before to pixels after."""
    return {
        "none": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
        "flip_horizontal": ((-1.0, 0.0, w), (0.0, 1.0, 0.0)),
        "flip_vertical": ((1.0, 0.0, 0.0), (0.0, -1.0, h)),
        "rotate180": ((-1.0, 0.0, w), (0.0, -1.0, h)),
        "transpose": ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
        "transverse": ((0.0, -1.0, h), (-1.0, 0.0, w)),
        "rotate90": ((0.0, -1.0, h), (1.0, 0.0, 0.0)),
        "rotate270": ((0.0, 1.0, 0.0), (-1.0, 0.0, w)),
    }[name]


def compose(second: Map, first: Map) -> Map:
    """The map `second` after `first`."""
    (a, b, c), (d, e, f) = second
    (g, h, i), (j, k, m) = first
    return (
        (a * g + b * j, a * h + b * k, a * i + b * m + c),
        (d * g + e * j, d * h + e * k, d * i + e * m + f),
    )


def to_gray(x: Array) -> Array:
    """The weighted sum of red, green and blue."""
    x = x.astype(np.float64)
    return (WR * x[..., R] + WG * x[..., 1] + WB * x[..., B])[..., None]


def yuv_to_rgb(x: Array) -> Array:
    """Y, U, V to three colours."""
    x = x.astype(np.float64)
    y, u, v = (x[..., 0] - Y0) * GAIN, x[..., 1] - 128.0, x[..., 2] - 128.0
    rgb = [y + RV * v, y + GU * u + GV * v, y + BU * u]
    return np.stack(rgb[:: 1 if R == 0 else -1], axis=-1)


def rgb_to_yuv(x: Array) -> Array:
    """Three colours to Y, U, V."""
    x = x.astype(np.float64)
    r, g, b = x[..., R], x[..., 1], x[..., B]
    y = WR * r + WG * g + WB * b
    u, v = (b - y) / SU, (r - y) / SV
    if YO != 0.0:
        y, u, v = YO + y * GAIN, u * CG, v * CG
    return np.stack([y, u + 128.0, v + 128.0], axis=-1)


def bordered(x: Array, x1: int, y1: int, x2: int, y2: int) -> Array:
    """The box x1, y1, x2, y2 of an image that goes on beyond its edges."""
    h, w = x.shape[:2]
    rows, columns = np.arange(y1, y2), np.arange(x1, x2)
    out = x[np.clip(rows, 0, h - 1)][:, np.clip(columns, 0, w - 1)]
    if OUTSIDE == "constant":
        inside = ((rows >= 0) & (rows < h))[:, None] & ((columns >= 0) & (columns < w))
        out = np.where(inside[..., None], out, np.asarray(VALUE).astype(x.dtype))
    return out


def whole_box(x1: float, y1: float, x2: float, y2: float) -> Box:
    """Round a box's edges."""
    if BOX_ROUNDING == "outward":
        return math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)
    if BOX_ROUNDING == "nearest":
        return tuple(math.floor(v + 0.5) for v in (x1, y1, x2, y2))  # pyright: ignore[reportReturnType] # four
    return tuple(math.floor(v) for v in (x1, y1, x2, y2))  # pyright: ignore[reportReturnType]


def face_box(box: Sequence[float] | None, matrix: Map) -> Box:
    """The face's box in the present image, widened and rounded."""
    if box is None or len(box) != 4 or not all(map(math.isfinite, box)):
        raise ValueError("the face box is missing or not finite")
    if box[2] <= box[0] or box[3] <= box[1]:
        raise ValueError("the face box is empty")
    (a, b, c), (d, e, f) = matrix
    p, q = (
        (a * box[0] + b * box[1] + c, d * box[0] + e * box[1] + f),
        (
            a * box[2] + b * box[3] + c,
            d * box[2] + e * box[3] + f,
        ),
    )
    x1, y1, x2, y2 = min(p[0], q[0]), min(p[1], q[1]), max(p[0], q[0]), max(p[1], q[1])
    bw, bh = x2 - x1, y2 - y1
    x1, y1, x2, y2 = x1 - MARGIN * bw, y1 - MARGIN * bh, x2 + MARGIN * bw, y2 + MARGIN * bh
    if ASPECT == "keep":
        return whole_box(x1, y1, x2, y2)
    if ASPECT == "square_longer":
        side = max(x2 - x1, y2 - y1)
    else:
        side = min(x2 - x1, y2 - y1)
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    x1, y1, x2, _ = whole_box(cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2)
    return x1, y1, x2, y1 + (x2 - x1)


def crop(x: Array, box: Box) -> tuple[Array, int, int]:
    """Cut a box out."""
    x1, y1, x2, y2 = box
    h, w = x.shape[:2]
    if OUTSIDE == "clip":
        x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, w), min(y2, h)
    elif OUTSIDE == "replicate" and (x1 >= w or y1 >= h or x2 <= 0 or y2 <= 0):
        x2 = x1
    if x2 <= x1 or y2 <= y1 or (x2 - x1) * (y2 - y1) > 200000000:
        raise ValueError("the crop leaves nothing of the picture, or is too large")
    if OUTSIDE == "clip":
        return x[y1:y2, x1:x2], x1, y1
    return bordered(x, x1, y1, x2, y2), x1, y1


def fit(landmarks: Any, matrix: Map) -> Map:
    """The map that puts the five landmarks on the template."""
    points = np.asarray([] if landmarks is None else landmarks, np.float64).reshape(-1)
    if points.size != 10 or not np.isfinite(points).all():
        raise ValueError("the five landmarks are missing or not finite")
    (a, b, c), (d, e, f) = matrix
    p = [(x + 0.5, y + 0.5) for x, y in points.reshape(5, 2).tolist()]
    p = [(a * x + b * y + c - 0.5, d * x + e * y + f - 0.5) for x, y in p]
    return estimate(p, TEMPLATE)


def umeyama(p: Points, q: Points) -> Map:
    """The least-squares similarity."""
    px = py = qx = qy = 0.0
    for (x, y), (u, v) in zip(p, q):
        px, py, qx, qy = px + x, py + y, qx + u, qy + v
    px, py, qx, qy = px / 5, py / 5, qx / 5, qy / 5
    a = b = square = 0.0
    for (x, y), (u, v) in zip(p, q):
        x, y, u, v = x - px, y - py, u - qx, v - qy
        a, b, square = a + (x * u + y * v), b + (x * v - y * u), square + (x * x + y * y)
    if square < 1e-12:
        raise ValueError("the landmarks define no transform")
    c, s = a / square, b / square
    return (c, -s, qx - (c * px - s * py)), (s, c, qy - (s * px + c * py))


def affine3(p: Points, q: Points) -> Map:
    """The affine map of both eyes and the mouth's middle."""
    (x0, y0), (x1, y1), (x2, y2) = p[0], p[1], ((p[3][0] + p[4][0]) / 2, (p[3][1] + p[4][1]) / 2)
    det = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if abs(det) < 1e-9:
        raise ValueError("the landmarks define no transform")
    rows = []
    for i in (0, 1):
        u0, u1, u2 = q[0][i], q[1][i], (q[3][i] + q[4][i]) / 2
        a = ((u1 - u0) * (y2 - y0) - (u2 - u0) * (y1 - y0)) / det
        b = ((x1 - x0) * (u2 - u0) - (x2 - x0) * (u1 - u0)) / det
        rows.append((a, b, u0 - a * x0 - b * y0))  # pyright: ignore[reportUnknownMemberType] # emitted as it is
    return tuple(rows)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def warp(x: Array, matrix: Map) -> Array:
    """Read each output pixel where the inverse map says."""
    (a, b, c), (d, e, f) = matrix
    det = a * e - b * d
    if not abs(det) >= 1e-12:
        raise ValueError("the landmarks define no transform")
    ia, ib, id_, ie = e / det, -b / det, -d / det, a / det
    back = (ia, ib, -(ia * c) - ib * f), (id_, ie, -(id_ * c) - ie * f)
    column, row = np.arange(W, dtype=np.float64), np.arange(H, dtype=np.float64)[:, None]
    if COORDINATES == "exact":
        sx, sy = (r[0] * column + (r[1] * row + r[2]) for r in back)
    else:
        sx, sy = (
            np.floor(
                (np.rint((r[1] * row + r[2]) * 1024) + 16 + np.rint(r[0] * column * 1024)) / 32
            )
            / 32
            for r in back
        )
    border, (h, w) = np.asarray(VALUE, np.float64), x.shape[:2]

    def read(j: Array, i: Array) -> Array:
        inside = (j >= 0) & (j < h) & (i >= 0) & (i < w)
        j, i = (np.clip(v, 0, n - 1).astype(np.int64) for v, n in ((j, h), (i, w)))
        return np.where(inside[..., None], x[j, i].astype(np.float64), border)

    if KERNEL == "nearest":
        return read(np.floor(sy + 0.5), np.floor(sx + 0.5))
    x0, y0 = np.floor(sx), np.floor(sy)
    fx, fy = (sx - x0)[..., None], (sy - y0)[..., None]
    top = read(y0, x0) * (1 - fx) + read(y0, x0 + 1) * fx
    low = read(y0 + 1, x0) * (1 - fx) + read(y0 + 1, x0 + 1) * fx
    return top * (1 - fy) + low * fy


def inner_size(w: int, h: int) -> tuple[int, int]:
    """The size after the resize, before a border is put around."""
    by_width = W * h <= H * w
    if MODE == "cover":
        by_width = not by_width
    top, bottom = (h * W, w) if by_width else (w * H, h)
    if SIZE_ROUNDING == "floor":
        side = top // bottom
    elif SIZE_ROUNDING == "ceil":
        side = -(-top // bottom)
    else:
        side = (2 * top + bottom) // (2 * bottom)
    side = max(1, side)
    return (W, side) if by_width else (side, H)


def nearest(n: int, m: int) -> Array:
    """Which of n samples each of m outputs copies."""
    i = np.arange(m, dtype=np.int64)
    if CENTERS == "half":
        index = (2 * i + 1) * n // (2 * m)
    elif CENTERS == "legacy":
        index = i * n // m
    else:
        span = max(m - 1, 1)
        index = (2 * i * (n - 1) + span) // (2 * span)
    return np.minimum(index, n - 1)


def sinc(x: Array) -> Array:
    """sin(pi x) / (pi x), by a Taylor polynomial."""
    safe = np.where(x == 0, 1.0, x)
    n = np.rint(safe)
    r = (safe - n) * np.pi
    square, total = r * r, np.ones_like(r)
    for k in range(12, 0, -1):
        total = 1 - square * total / (2 * k * (2 * k + 1))
    sign = np.where(np.mod(n, 2) == 0, 1.0, -1.0)
    return np.where(x == 0, 1.0, sign * r * total / (np.pi * safe))


def kernel(x: Array) -> Array:
    """The kernel's value at a distance in samples."""
    x = np.abs(x)
    if KERNEL == "bilinear":
        return np.maximum(0.0, 1.0 - x)
    if KERNEL == "bicubic":
        near = ((A + 2) * x - (A + 3)) * x * x + 1
        return np.where(x < 1, near, np.where(x < 2, (((x - 5) * x + 8) * x - 4) * A, 0.0))
    return np.where(x < LOBES, sinc(x) * sinc(x / LOBES), 0.0)


def taps(n: int, m: int) -> tuple[Array, Array]:
    """Which of n samples make each of m outputs, and their weights."""
    i = np.arange(m, dtype=np.int64)
    if KERNEL == "area":
        first = i * n // m
        index = first[:, None] + np.arange(int(max(-(-(i + 1) * n // m) - first)))
        shared = np.minimum((i[:, None] + 1) * n, (index + 1) * m) - np.maximum(
            i[:, None] * n, index * m
        )
        return np.clip(index, 0, n - 1), np.maximum(shared, 0) / n
    if CENTERS == "half":
        at = ((2 * i + 1) * n - m) / (2 * m)
    elif CENTERS == "legacy":
        at = i * n / m
    else:
        at = i * (n - 1) / max(m - 1, 1)
    wide = max(n / m, 1.0) if ANTIALIAS else 1.0
    reach = int(np.ceil(SUPPORT * wide)) + 1
    index = np.floor(at).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
    weight = kernel((index - at[:, None]) / wide)
    if EDGE == "renormalize":
        weight = np.where((index >= 0) & (index < n), weight, 0.0)
    index, weight = np.clip(index, 0, n - 1), weight
    total = np.zeros(m)
    for k in range(weight.shape[1]):
        total = total + weight[:, k]
    return index, weight / total[:, None]


def along(x: Array, axis: int, m: int) -> Array:
    """The weighted sums along an axis, tap by tap."""
    index, weight = taps(x.shape[axis], m)
    total = np.zeros(1)
    for k in range(index.shape[1]):
        shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
        total = total + np.take(x, index[:, k], axis=axis) * weight[:, k].reshape(shape)
    return total


def resample(x: Array, w: int, h: int) -> Array:
    """Resize to w x h."""
    if KERNEL == "nearest":
        x = x[nearest(x.shape[0], h)][:, nearest(x.shape[1], w)]
        if WHOLE:
            return x
        return x.astype(np.float64)
    if PASSES == "":
        return along(along(x.astype(np.float64), 1, w), 0, h)
    if PASSES == "uint8_horizontal_first":
        order = ((1, w), (0, h))
    else:
        order = ((0, h), (1, w))
    for axis, m in order:
        if x.shape[axis] != m:
            x = half_up_pixels(along(x, axis, m))
    return x.astype(np.float64)


def half_up_pixels(x: Array) -> Array:
    """Round half up to bytes; what is within 1e-9 of a tie counts as it."""
    near = np.rint(x * 2) / 2
    x = np.where(np.abs(x - near) < 1e-9, near, x)
    return np.clip(np.floor(x + 0.5), 0, 255).astype(np.uint8)


def normalize(x: Array) -> Array:
    """(x - mean) / scale."""
    x = x.astype(DTYPE)
    if UNITS == "0-1":
        x = x / x.dtype.type(255)
    return (x - np.asarray(MEAN, x.dtype)) / np.asarray(DIVISOR, x.dtype)


def rounded(x: Array) -> Array:
    """Round to whole numbers."""
    if ROUNDING == "half_even":
        return np.rint(x)
    if ROUNDING == "half_up":
        return np.floor(x) + (x - np.floor(x) >= 0.5)
    if ROUNDING == "half_away":
        size = np.abs(x)
        return np.copysign(np.floor(size) + (size - np.floor(size) >= 0.5), x)
    if ROUNDING == "truncate":
        return np.trunc(x)
    return np.floor(x)


def stored(x: Array) -> Array:
    """As integers: limited to the type's range, or wrapped around."""
    x = x.astype(np.float64)
    if SATURATE:
        x = np.clip(x, LOW, HIGH)
    return np.clip(x, -(2.0**62), 2.0**62).astype(np.int64).astype(DTYPE)


def quantize(x: Array) -> Array:
    """round(x / scale) + zero point: float32 operands and quotient, integers added."""
    steps = rounded(x.astype(np.float32) / np.float32(SCALE))
    return stored(steps.astype(np.float64) + ZERO_POINT)
