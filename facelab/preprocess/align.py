"""Alignment: the transform that puts five landmarks on a template, and the warp that applies it.

Landmarks are (x, y) with pixel centres at whole numbers, in the order left eye, right eye, nose, left and right
mouth corner, left as seen in the image. Matrices are 2×3 and map source to output pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError

if TYPE_CHECKING:
    from jaxtyping import Float64, Num, UInt8

ARCFACE_112 = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""The InsightFace template at 112×112 (deepinsight/insightface, `arcface_dst`)."""
MIRRORED = (1, 0, 2, 4, 3)
"""The order of the five landmarks in the mirrored image: left and right change places."""

DLIB_5 = (
    (0.8595674595992, 0.2134981538014),
    (0.6460604764104, 0.2289674387677),
    (0.1205750620789, 0.2137274526848),
    (0.3340850613712, 0.2290642403242),
    (0.4901123135679, 0.6277975316475),
)
"""dlib's mean shape for its five points: the corners of the eye at the image's right (outer, inner), those of the
left one (outer, inner), and the base of the nose (davisking/dlib, `get_face_chip_details`)."""


def template(
    name: Any, size: tuple[int, int], padding: float | None = 0.0
) -> Float64[np.ndarray, "5 2"]:
    """Return the template's five points, (5, 2) float64, in output pixels.

    `arcface`: multiples of 128 scale by size/128 and shift x by 8·scale; every other size scales by size/112
    (insightface `face_align.estimate_norm`). `dlib5` spreads dlib's points over a chip with `padding` around them.

    >>> template("arcface", (128, 128))[0].round(4).tolist()
    [46.2946, 51.6963]
    """
    if name == "arcface":
        points = np.array(ARCFACE_112)
        if size[0] % 128 == 0:
            ratio = size[0] / 128
            return points * ratio + (8.0 * ratio, 0.0)
        return points * (size[0] / 112)
    if name == "dlib5":
        points, around = np.array(DLIB_5), padding or 0.0
        return (points + around) / (2 * around + 1) * size
    return np.array(name, dtype=np.float64)


def check_landmarks(
    points: Num[np.ndarray, "5 2"], where: str | None = None
) -> Float64[np.ndarray, "5 2"]:
    """Return landmarks as (5, 2) float64; raise BadInputError for another shape, NaN, or coincident points."""
    try:
        array = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != (5, 2) or not np.isfinite(array).all():
        raise BadInputError(
            "landmarks are five finite (x, y) points",
            where=where,
            expected="shape (5, 2)",
            got=f"shape {array.shape}",
            fix="give left eye, right eye, nose, mouth corners",
        )
    if np.ptp(array, axis=0).max() < 1e-6:
        raise BadInputError(
            "the five landmarks are one point, so no alignment exists",
            where=where,
            got=array[0].tolist(),
            fix="check the landmark detector's output",
        )
    return array


def umeyama(
    source: Num[np.ndarray, "n 2"], target: Num[np.ndarray, "n 2"]
) -> Float64[np.ndarray, "2 3"]:
    """Return the least-squares similarity (rotation, one scale, shift) from `source` to `target`, (n, 2) each.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991. In the
    plane it has a closed form, so no SVD is needed and every machine finds the same bits. A reflection is never used.

    >>> square = np.array([[0, 0], [2, 0], [2, 2], [0, 2]])
    >>> umeyama(square, square @ [[0, 3], [-3, 0]] + [5, 1]).round(12).tolist()
    [[0.0, -3.0, 5.0], [3.0, 0.0, 1.0]]
    """
    p, q = [[float(x), float(y)] for x, y in source], [[float(x), float(y)] for x, y in target]
    n = len(p)
    # added one by one: from Python 3.12 on, sum() compensates and gives other last bits
    px = py = qx = qy = 0.0
    for (x, y), (u, v) in zip(p, q):
        px, py, qx, qy = px + x, py + y, qx + u, qy + v
    px, py, qx, qy = px / n, py / n, qx / n, qy / n
    a = b = square = 0.0
    for (x, y), (u, v) in zip(p, q):
        x, y, u, v = x - px, y - py, u - qx, v - qy
        a, b, square = a + (x * u + y * v), b + (x * v - y * u), square + (x * x + y * y)
    if square < 1e-12:
        raise BadInputError(
            "the points coincide, so no similarity exists",
            fix="check the landmark detector's output",
        )
    c, s = a / square, b / square
    return np.array([[c, -s, qx - (c * px - s * py)], [s, c, qy - (s * px + c * py)]])


def affine3(
    source: Num[np.ndarray, "n 2"], target: Num[np.ndarray, "n 2"]
) -> Float64[np.ndarray, "2 3"]:
    """Return the affine map through three points: both eyes and the middle of the mouth, from (5, 2) landmarks.

    With (3, 2) points these three are used. Raises BadInputError if they lie on a line.
    """
    p, q = (_three(s) for s in (source, target))
    (x0, y0), (x1, y1), (x2, y2) = p
    det = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if abs(det) < 1e-9:
        raise BadInputError(
            "the three points lie on a line, so no affine map exists",
            fix="check the landmark detector's output",
        )
    rows: list[list[float]] = []
    for axis in (0, 1):
        u0, u1, u2 = (v[axis] for v in q)
        a = ((u1 - u0) * (y2 - y0) - (u2 - u0) * (y1 - y0)) / det
        b = ((x1 - x0) * (u2 - u0) - (x2 - x0) * (u1 - u0)) / det
        rows.append([a, b, u0 - a * x0 - b * y0])
    return np.array(rows)


def _three(points: np.ndarray) -> list[tuple[float, float]]:
    p = [(float(x), float(y)) for x, y in points]
    return p if len(p) == 3 else [p[0], p[1], ((p[3][0] + p[4][0]) / 2, (p[3][1] + p[4][1]) / 2)]


def invert(matrix: Num[np.ndarray, "2 3"]) -> Float64[np.ndarray, "2 3"]:
    """Return the inverse of a 2×3 affine map, in a fixed order of operations.

    >>> invert(np.array([[2.0, 0, 4], [0, 4, 8]])).tolist()
    [[0.5, 0.0, -2.0], [0.0, 0.25, -2.0]]
    """
    (a, b, c), (d, e, f) = (tuple(float(v) for v in row) for row in matrix)
    det = a * e - b * d
    if abs(det) < 1e-12:
        raise BadInputError("the transform is singular", fix="check the landmark detector's output")
    ia, ib, id_, ie = e / det, -b / det, -d / det, a / det
    return np.array([[ia, ib, -(ia * c) - ib * f], [id_, ie, -(id_ * c) - ie * f]]) + 0.0


def estimate(landmarks: Any, stage: Any, where: str | None = None) -> Float64[np.ndarray, "2 3"]:
    """Return the 2×3 matrix of an align stage for five landmarks."""
    points = check_landmarks(landmarks, where)
    target = template(stage.template, stage.size, stage.padding)
    return (umeyama if stage.estimator == "umeyama" else affine3)(points, target)


def sources(
    matrix: np.ndarray, size: tuple[int, int], coordinates: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the source x and y, (height, width) each, of every output pixel.

    `1/32` is OpenCV's fixed-point rule: the two products are rounded to 1/1024, their sum to 1/32.
    """
    back = invert(matrix)
    x, y = np.arange(size[0], dtype=np.float64), np.arange(size[1], dtype=np.float64)[:, None]
    if coordinates == "exact":
        sx, sy = (row[0] * x + (row[1] * y + row[2]) for row in back)
    else:
        sx, sy = (
            np.floor((np.rint((row[1] * y + row[2]) * 1024) + 16 + np.rint(row[0] * x * 1024)) / 32)
            / 32
            for row in back
        )
    return sx, sy


def warp(
    image: np.ndarray,
    matrix: np.ndarray,
    size: tuple[int, int],
    *,
    kernel: str = "bilinear",
    border: Any = (0.0,),
    coordinates: str = "exact",
) -> np.ndarray:
    """Warp height × width × channel into `size` (width, height); float64, not rounded (`nearest` keeps the dtype).

    Beyond the image lies the constant `border`, and edge pixels blend with it.
    """
    sx, sy = sources(matrix, size, coordinates)
    if kernel == "nearest":
        return _fetch(image, np.floor(sy + 0.5), np.floor(sx + 0.5), border).astype(image.dtype)
    x0, y0 = np.floor(sx), np.floor(sy)
    fx, fy = (sx - x0)[..., None], (sy - y0)[..., None]
    top = _fetch(image, y0, x0, border) * (1 - fx) + _fetch(image, y0, x0 + 1, border) * fx
    bottom = (
        _fetch(image, y0 + 1, x0, border) * (1 - fx) + _fetch(image, y0 + 1, x0 + 1, border) * fx
    )
    return top * (1 - fy) + bottom * fy


def _fetch(image: np.ndarray, row: np.ndarray, column: np.ndarray, border: Any) -> np.ndarray:
    h, w = image.shape[:2]
    inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
    r, c = (np.clip(v, 0, n - 1).astype(np.int64) for v, n in ((row, h), (column, w)))
    return np.where(
        inside[..., None], image[r, c].astype(np.float64), np.asarray(border, dtype=np.float64)
    )


def align(
    image: UInt8[np.ndarray, "h w *channels"], landmarks: Num[np.ndarray, "5 2"], size: int = 112
) -> UInt8[np.ndarray, "size size *channels"]:
    """Return the face aligned to the ArcFace template, uint8 `size` × `size` × channel, bilinear, border 0 (numpy)."""
    matrix = umeyama(check_landmarks(landmarks), template("arcface", (size, size)))
    pixels = image if image.ndim == 3 else image[..., None]
    out = np.floor(warp(pixels, matrix, (size, size)) + 0.5).astype(np.uint8)
    return out if image.ndim == 3 else out[..., 0]


def align_opencv(
    image: UInt8[np.ndarray, "h w *channels"], landmarks: Num[np.ndarray, "5 2"], size: int = 112
) -> UInt8[np.ndarray, "size size *channels"]:
    """Return what `align` does by OpenCV's `warpAffine`: fast, with source positions rounded to 1/32 pixel."""
    import cv2

    matrix = umeyama(check_landmarks(landmarks), template("arcface", (size, size)))
    return cv2.warpAffine(
        image,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
