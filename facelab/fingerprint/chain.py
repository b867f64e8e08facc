"""The geometry of a pipeline as a short chain of operations, predicted at a few output positions only.

A resize, crop, pad, flip or shift acts on rows and columns apart, so what any such chain puts at some output rows and
columns is `A · image · Bᵀ` with two thin matrices. That makes a hypothesis about another pipeline cost a fraction of
a millisecond a probe instead of a whole image. Rotations and alignments are gathered point by point.
Pixels between stages are not rounded here; the error is at most half a level a stage.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from facelab.fingerprint.resample import blur, weights
from facelab.preprocess.align import affine3, invert, template, umeyama
from facelab.preprocess.image import EXIF_TRANSFORMS

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


class Orient(NamedTuple):
    """Apply the EXIF orientation or not, then turn or mirror."""

    exif: bool = True
    transform: str = "none"


class Crop(NamedTuple):
    """Cut out a region: `full`, `square`, `center` (size), `fraction` (centred, share of each side), `box`, `face`."""

    region: str
    box: tuple | None = None
    size: tuple | None = None
    fraction: float = 1.0
    margin: float = 0.0
    aspect: str = "keep"
    outside: str = "clip"
    style: str = "size"
    """How a fraction becomes whole pixels: `size` rounds the new size, `side` what is cut or added on each side,
    `floor` truncates the new size, `edges` truncates where it begins and ends."""


class Resize(NamedTuple):
    """Resample; `mode` and `kernel` as in `facelab.preprocess` and `facelab.fingerprint.resample`."""

    size: tuple[int, int]
    mode: str = "stretch"
    kernel: str = "bilinear"
    antialias: bool = False
    centers: str = "half"
    anchor: str = "center"
    size_rounding: str = "floor"
    clip: bool = False
    """Whether overshoot is cut at 0 and 255, as whatever stores pixels does."""


class Pad(NamedTuple):
    """Add a border, to a size or to a multiple."""

    to: tuple | None = None
    multiple: int | None = None
    anchor: str = "top_left"


class Align(NamedTuple):
    """Warp five landmarks onto points of the output (`points` in output pixels)."""

    points: tuple
    size: tuple[int, int]
    estimator: str = "umeyama"
    landmarks: str = "given"
    mirror: bool = False


class Shift(NamedTuple):
    """Move the picture by whole pixels; what leaves is lost, or comes in at the other side with `wrap`."""

    dx: int
    dy: int
    wrap: bool = False


class Affine(NamedTuple):
    """Resample the picture about its centre: turn by `degrees`, show `zoom` times more of it, stretch x by `aspect`,
    move by (dx, dy) output pixels."""

    degrees: float = 0.0
    zoom: float = 1.0
    aspect: float = 1.0
    dx: float = 0.0
    dy: float = 0.0


class Blur(NamedTuple):
    """Blur the picture with a Gaussian of `sigma` pixels."""

    sigma: float


class Source(NamedTuple):
    """A decoded probe: pixels as stored (height × width × 3), EXIF orientation, landmarks and box in the upright
    picture (or None)."""

    name: str
    pixels: np.ndarray
    orientation: int = 1
    landmarks: tuple | None = None
    box: tuple | None = None


class Refused(Exception):
    """This chain cannot run on this probe (no landmarks, an empty crop)."""


def plan(chain: tuple, source: Source) -> tuple[list[tuple], tuple[int, int]]:
    """Make the chain concrete for one probe: (steps, final (width, height)). Raises Refused."""
    h, w = source.pixels.shape[:2]
    size, steps = (w, h), []
    for op in chain:
        new, size = _PLAN[type(op)](op, size, source)
        steps += new
    return steps, size


def _orient(op, size, source):
    names = [EXIF_TRANSFORMS[source.orientation] if op.exif else "none", op.transform]
    steps = []
    for name in names:
        if name != "none":
            steps.append(("transform", name, size))
            size = size[::-1] if name in SWAPS else size
    return steps, size


def _crop(op, size, source):
    w, h = size
    x1, y1, x2, y2 = _crop_box(op, size, source)
    if op.outside == "clip":
        x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, w), min(y2, h)
    if x2 <= x1 or y2 <= y1:
        raise Refused("empty crop")
    return [("crop", (x1, y1, x2 - x1, y2 - y1), size, op.outside)], (x2 - x1, y2 - y1)


def _crop_box(op, size, source):
    w, h = size
    if op.region == "box":
        return tuple(math.floor(v + 0.5) for v in op.box)
    if op.region == "face":
        if source.box is None:
            raise Refused("no face box")
        x1, y1, x2, y2 = source.box
        bw, bh = x2 - x1, y2 - y1
        x1, y1, x2, y2 = x1 - op.margin * bw, y1 - op.margin * bh, x2 + op.margin * bw, y2 + op.margin * bh
        if op.aspect != "keep":
            side = (max if op.aspect == "square_longer" else min)(x2 - x1, y2 - y1)
            cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
            x1, y1, x2, y2 = cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2
        return tuple(math.floor(v + 0.5) for v in (x1, y1, x2, y2))
    if op.region == "fraction":
        return _fraction(op, size)
    cw, ch = {"full": (w, h), "square": (min(w, h),) * 2, "center": op.size}[op.region]
    x1, y1 = (w - cw) // 2, (h - ch) // 2
    return x1, y1, x1 + cw, y1 + ch


def _fraction(op: Crop, size: tuple[int, int]) -> tuple[int, int, int, int]:
    if op.style == "side":
        dx, dy = (round(s * (1 - op.fraction) / 2) for s in size)
        return dx, dy, size[0] - dx, size[1] - dy
    if op.style == "edges":
        ends = [math.floor(s * (1 + sign * op.fraction) / 2 + 1e-9) for sign in (-1, 1) for s in size]
        return tuple(ends)
    whole = math.floor if op.style == "floor" else round
    cw, ch = (max(1, whole(s * op.fraction)) for s in size)
    x, y = (size[0] - cw) // 2, (size[1] - ch) // 2
    return x, y, x + cw, y + ch


def inner_size(op: Resize, size: tuple[int, int]) -> tuple[int, int]:
    """Return the (width, height) of the picture itself after a resize, before a letterbox is padded."""
    (w, h), (tw, th) = size, op.size
    if op.mode == "stretch":
        return tw, th
    by_width = (tw * h <= th * w) == (op.mode != "cover")
    top, bottom = (h * tw, w) if by_width else (w * th, h)
    free = {"floor": top // bottom, "ceil": -(-top // bottom), "half_up": (2 * top + bottom) // (2 * bottom)}
    side = max(1, free[op.size_rounding])
    return (tw, side) if by_width else (side, th)


def _resize(op, size, source):
    inner = inner_size(op, size)
    steps = [("resize", size, inner, op)] if inner != size else []
    if op.mode == "letterbox":
        return steps + _padding(inner, op.size, op.anchor), op.size
    return steps, inner


def _padding(size, target, anchor):
    if size == target:
        return []
    dx, dy = target[0] - size[0], target[1] - size[1]
    left, top = (dx // 2, dy // 2) if anchor == "center" else (0, 0)
    return [("crop", (-left, -top, *target), size, "constant")]


def _pad(op, size, source):
    target = op.to or tuple(-(-s // op.multiple) * op.multiple for s in size)
    if target[0] < size[0] or target[1] < size[1]:
        raise Refused("the picture is larger than the pad's target")
    return _padding(size, target, op.anchor), target


def _align(op, size, source):
    if source.landmarks is None:
        raise Refused("no landmarks")
    points = np.array(source.landmarks, dtype=np.float64)
    if op.landmarks == "eyes_swapped":
        points = points[[1, 0, 2, 3, 4]]
    elif op.landmarks == "mirrored":
        points = points[[1, 0, 2, 4, 3]]
    matrix = (affine3 if op.estimator == "affine3" else umeyama)(points, np.array(op.points))
    return [("warp", invert(matrix), op.size)], op.size


def _shift(op, size, source):
    if op.wrap:
        return [("roll", op.dx, op.dy, size)], size
    return [("crop", (-op.dx, -op.dy, *size), size, "constant")], size


def _affine(op, size, source):
    return [("warp", turned_back(op, size), size)], size


def turned_back(op: Affine, size: tuple[int, int]) -> np.ndarray:
    """Return the 2×3 matrix from an output position to where `op` takes it from."""
    w, h = size
    cx, cy = (w - 1) / 2, (h - 1) / 2
    c, s = math.cos(math.radians(op.degrees)) * op.zoom, math.sin(math.radians(op.degrees)) * op.zoom
    a, b, d, e = c * op.aspect, -s, s * op.aspect, c
    return np.array(
        [[a, b, cx - a * (cx + op.dx) - b * (cy + op.dy)], [d, e, cy - d * (cx + op.dx) - e * (cy + op.dy)]]
    )


def _blurred(op, size, source):
    return [("blur", size, op.sigma)], size


_PLAN = {
    Blur: _blurred,
    Orient: _orient,
    Crop: _crop,
    Resize: _resize,
    Pad: _pad,
    Align: _align,
    Shift: _shift,
    Affine: _affine,
}


def predict(chain: tuple, source: Source, rows=None, columns=None) -> tuple[np.ndarray, np.ndarray]:
    """Return (values, cover) of the chain's output at the crossings of `rows` and `columns` (all when None).

    `values`: float64 rows × columns × channel in the units of the source's pixels, 0 where nothing of the picture is;
    `cover`: rows × columns, 1 where the value is all picture, 0 where it is all border. Raises Refused.
    """
    steps, (w, h) = plan(chain, source)
    rows = np.arange(h) if rows is None else np.asarray(rows)
    columns = np.arange(w) if columns is None else np.asarray(columns)
    if len(rows) and (rows.max() >= h or columns.max() >= w):
        raise Refused("the output has another size")
    values, cover = _run(steps, source.pixels, rows, columns)
    if any(isinstance(op, Resize) and op.clip for op in chain):
        np.clip(values, 0, 255, out=values)
    return values, cover


def _run(steps, pixels, rows, columns):
    a, b, swapped = rows, columns, False
    for k in range(len(steps) - 1, -1, -1):
        step = steps[k]
        if step[0] == "warp":
            values, cover = _warp(steps[:k], pixels, step, a, b)
            break
        if step[0] == "transform":
            a, b, swapped = _transform(step, a, b, swapped)
        elif step[0] == "crop":
            (x, y, cw, ch), (w, h) = step[1:3]
            a, b = _cut(a, y, h, ch, step[3]), _cut(b, x, w, cw, step[3])
        elif step[0] == "blur":
            (w, h), sigma = step[1:]
            a, b = _smear(a, h, sigma), _smear(b, w, sigma)
        elif step[0] == "roll":
            a, b = _roll(a, step[2], step[3][1]), _roll(b, step[1], step[3][0])
        else:
            _, (w, h), (nw, nh), op = step
            a, b = _resample(a, h, nh, op), _resample(b, w, nw, op)
    else:
        values, cover = _apply(pixels, a, b)
    return (values.swapaxes(0, 1), cover.T) if swapped else (values, cover)


def _transform(step, a, b, swapped):
    _, name, (w, h) = step
    rows_reversed, columns_reversed = FLIPS[name]
    # sizes after the swap of axes, which is what the reversals act on
    nw, nh = (h, w) if name in SWAPS else (w, h)
    a = _reverse(a, nh) if rows_reversed else a
    b = _reverse(b, nw) if columns_reversed else b
    return (b, a, not swapped) if name in SWAPS else (a, b, swapped)


def _reverse(axis, n):
    return np.where(axis < 0, axis, n - 1 - axis) if axis.ndim == 1 else axis[:, ::-1]


def _roll(axis, d, n):
    return np.where(axis < 0, axis, (axis - d) % n) if axis.ndim == 1 else np.roll(axis, -d, axis=1)


def _smear(axis, n, sigma):
    matrix = blur(n, sigma)
    return matrix[np.maximum(axis, 0)] * (axis >= 0)[:, None] if axis.ndim == 1 else axis @ matrix


def _cut(axis, start, n, length, outside):
    """An axis on the cut piece → on the whole: positions outside are −1 (nothing), or the border pixel."""
    if axis.ndim == 1:
        moved = axis + start
        if outside == "replicate":
            return np.where(axis < 0, -1, np.clip(moved, 0, n - 1))
        return np.where((axis < 0) | (moved < 0) | (moved >= n), -1, moved)
    out = np.zeros((len(axis), n))
    j = np.arange(length) + start
    if outside == "replicate":
        np.add.at(out, (slice(None), np.clip(j, 0, n - 1)), axis)
    else:
        ok = (j >= 0) & (j < n)
        out[:, j[ok]] = axis[:, ok]
    return out


def _resample(axis, n, target, op):
    if axis.ndim == 1:
        if n == target:
            return axis
        matrix = weights(n, target, op.kernel, op.antialias, op.centers, tuple(np.maximum(axis, 0).tolist()))
        return matrix * (axis >= 0)[:, None] if (axis < 0).any() else matrix
    return axis @ weights(n, target, op.kernel, op.antialias, op.centers) if n != target else axis


def _apply(pixels, a, b):
    cover = np.outer(_cover(a), _cover(b))
    if a.ndim == 1 and b.ndim == 1:
        values = pixels[np.maximum(a, 0)][:, np.maximum(b, 0)].astype(np.float64)
        return values * cover[..., None], cover
    rows, a = _narrow(a, pixels.shape[0])
    columns, b = _narrow(b, pixels.shape[1])
    block = np.ascontiguousarray(pixels[rows], dtype=np.float32)
    half = (a @ block.reshape(block.shape[0], -1)).reshape(len(a), *block.shape[1:])
    return np.matmul(b, half[:, columns]).astype(np.float64), cover


def _cover(axis):
    return (axis >= 0).astype(np.float64) if axis.ndim == 1 else axis.sum(axis=1)


def _narrow(axis, n) -> tuple[slice | np.ndarray, np.ndarray]:
    """Return the source lines that some weight touches, and the weights on them (float32 is exact to 1e-4 levels)."""
    if axis.ndim == 1:
        used, place = np.unique(np.maximum(axis, 0), return_inverse=True)
        matrix = np.zeros((len(axis), len(used)), np.float32)
        matrix[np.arange(len(axis)), place] = axis >= 0
        return used, matrix
    used = np.flatnonzero(axis.any(axis=0))
    if len(used) > 0.7 * n:
        return slice(0, n), axis.astype(np.float32)
    return used, axis[:, used].astype(np.float32)


def _warp(before, pixels, step, a, b):
    """Gather bilinearly behind `before`; the axes behind the warp may be positions or matrices."""
    _, back, (w, h) = step
    if a.ndim == 1 and b.ndim == 1:
        image = _run(before, pixels, *_whole(before, pixels))[0] if before else pixels
        values, cover = gather(image, back, np.maximum(a, 0), np.maximum(b, 0))
        keep = np.outer(a >= 0, b >= 0)
        return values * keep[..., None], cover * keep
    dense = _warped(before, pixels, back, (w, h))
    both, _ = _apply(dense, a, b)
    return both[..., :-1], both[..., -1]


_KEPT: dict[tuple, tuple] = {}
"""The last few warped pictures, cover as one more channel; each holds its source, so that no id is used twice."""


def _warped(before, pixels, back, size) -> np.ndarray:
    key = (id(pixels), repr(before), back.tobytes(), size)
    if key not in _KEPT:
        if len(_KEPT) > 24:
            _KEPT.clear()
        image = _run(before, pixels, *_whole(before, pixels))[0] if before else pixels
        _KEPT[key] = pixels, sample(bordered(image), back, np.arange(size[1]), np.arange(size[0]))
    return _KEPT[key][1]


def _whole(steps, pixels):
    """All positions of what `steps` give."""
    h, w = pixels.shape[:2]
    for step in steps:
        if step[0] == "transform" and step[1] in SWAPS:
            w, h = h, w
        elif step[0] == "crop":
            w, h = step[1][2:]
        elif step[0] in ("resize", "warp"):
            w, h = step[2]
    return np.arange(h), np.arange(w)


def gather(image: np.ndarray, back: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sample height × width × channel bilinearly at back · (column, row), 0 outside: (values, cover)."""
    both = sample(bordered(image), back, rows, columns).astype(np.float64)
    return both[..., :-1], both[..., -1]


def bordered(image: np.ndarray) -> np.ndarray:
    """Return the image as float32 with its cover as one more channel, inside a frame one pixel wide of nothing."""
    h, w, c = image.shape
    out = np.zeros((h + 2, w + 2, c + 1), np.float32)
    out[1:-1, 1:-1, :c] = image
    out[1:-1, 1:-1, c] = 1
    return out


def sample(framed: np.ndarray, back: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sample what `bordered` made at back · (column, row): float32 rows × columns × (channel and cover)."""
    h, w, c = framed.shape
    x, y = columns[None].astype(np.float64), rows[:, None].astype(np.float64)
    # anything beyond the frame is as good as on it
    sx, sy = (
        np.clip(row[0] * x + row[1] * y + row[2] + 1, 0, n - 1.001) for row, n in zip(np.asarray(back)[:2], (w, h))
    )
    x0, y0 = sx.astype(np.int64), sy.astype(np.int64)
    fx, fy = (sx - x0).astype(np.float32)[..., None], (sy - y0).astype(np.float32)[..., None]
    flat, at = framed.reshape(-1, c), y0 * w + x0
    top, bottom = flat.take(at, axis=0), flat.take(at + w, axis=0)
    top += fx * (flat.take(at + 1, axis=0) - top)
    bottom += fx * (flat.take(at + w + 1, axis=0) - bottom)
    return top + fy * (bottom - top)


def from_stages(stages: list[dict]) -> tuple:
    """Return the chain of a spec's stages (plain dictionaries); stages that touch no geometry are left out."""
    chain: list = [_FROM[s["op"]](s) for s in stages if s["op"] in _FROM]
    if not any(isinstance(op, Orient) for op in chain):
        chain.insert(0, Orient(exif=False))
    return tuple(chain)


def _from_crop(s):
    return Crop(
        s["region"],
        box=tuple(s["box"]) if s.get("box") else None,
        size=tuple(s["size"]) if s.get("size") else None,
        margin=s.get("margin") or 0.0,
        aspect=s.get("aspect") or "keep",
        outside=s.get("outside") or "clip",
    )


def _from_resize(s):
    kernel = s["kernel"]
    if kernel == "bicubic":
        kernel = "bicubic75" if s.get("cubic_a") == -0.75 else "bicubic"
    elif kernel == "lanczos":
        kernel = "lanczos4" if s.get("lobes", 3) >= 4 else "lanczos3"
    return Resize(
        tuple(s["size"]),
        s["mode"],
        kernel,
        bool(s["antialias"]),
        s["pixel_centers"],
        s.get("anchor") or "center",
        s.get("size_rounding") or "floor",
        s.get("rounding") != "none",
    )


def _from_align(s):
    points = template(s["template"], tuple(s["size"]), s.get("padding"))
    return Align(tuple(map(tuple, points.tolist())), tuple(s["size"]), s["estimator"])


_FROM = {
    "orient": lambda s: Orient(s["exif"] == "apply", s["transform"]),
    "crop": _from_crop,
    "resize": _from_resize,
    "align": _from_align,
    "pad": lambda s: Pad(tuple(s["to"]) if s.get("to") else None, s.get("multiple"), s["anchor"]),
}
