"""What is behind a face: gradients, blobs, boxes, lines, letters, soft noise; never a face."""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import Record, kernel
from facelab.datasets.synthetic._noise import CLOUD, smooth, textures
from facelab.datasets.synthetic._numerics import DEGREE, TURN, F, sincos
from facelab.datasets.synthetic._stream import Stream
from facelab.datasets.synthetic.camera._filters import bilinear_sample, gaussian_blur
from facelab.datasets.synthetic.camera._optics import FULL

PLAIN, BOX, ELLIPSE, _, LETTERS, LINE = range(6)  # 3 draws a box too: boxes are twice as frequent
SHAPE = np.dtype(
    [
        (name, np.float64)
        for name in ("x", "y", "width", "height", "cos", "sin", "thickness", "red", "green", "blue")
    ]
)
GLYPHS = 6


def background(r: Stream, size: tuple[int, int], clutter: float = 1.0) -> np.ndarray:
    """Draw a background (h, w, 3) int32, 0 … 4095, for a (width, height); `clutter` scales the number of things."""
    width, height = size
    sigma = r.uniform(0.004, 0.05) * width + 0.3 if r.chance(0.75) else 0.0
    # what will be blurred by many pixels is drawn small and enlarged
    shrink = max(1, int(sigma / 1.5))
    w, h = max(8, -(-width // shrink)), max(8, -(-height // shrink))
    kind = r.integer(6)
    image = np.empty((h, w, 3), F)
    first, last = (np.array([0.8 * r.unit() for _ in range(3)]) for _ in range(2))
    _gradient(first, last, sincos(r.uniform(0, TURN))[1], sincos(r.uniform(0, TURN))[0], image)
    if kind != PLAIN:
        for _ in range(int(r.integer(3, 16) * clutter)):
            shape, dots = _draw_shape(r, kind)
            _fill(kind, shape[0], dots, height / width, image)
    levels = np.empty((h, w, 3), np.int32)
    chroma, u, v = r.uniform(0.1, 0.75), r.integer(512), r.integer(512)
    _finish(image, chroma, u, v, r.uniform(0.01, 0.08), textures(), levels)
    if sigma:
        levels = gaussian_blur(levels, sigma / shrink)
    return levels if shrink == 1 and (w, h) == size else _enlarge(levels, size)


def _enlarge(levels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    h, w, _ = levels.shape
    width, height = size
    x = (np.arange(width) + 0.5) * (w / width) - 0.5
    y = (np.arange(height) + 0.5) * (h / height) - 0.5
    return bilinear_sample(levels, x[None], y[:, None])


@kernel
def _gradient(first: Any, last: Any, along: float, down: float, image: Any) -> None:
    h, w, _ = image.shape
    low, high = min(along, 0.0) + min(down, 0.0), max(along, 0.0) + max(down, 0.0)
    for i in range(h):
        for j in range(w):
            t = (along * (j + 0.5) / w + down * (i + 0.5) / h - low) / (high - low + 1e-6)
            for c in range(3):
                image[i, j, c] = first[c] + (last[c] - first[c]) * t


def _draw_shape(r: Stream, kind: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one thing: a record of SHAPE in shares of the picture, and the dots of its letters."""
    x, y = r.uniform(-0.25, 1), r.uniform(-0.25, 1)
    w, h = r.uniform(0.08, 0.5), r.uniform(0.08, 0.5)
    s, c = sincos(r.uniform(0, 180) * DEGREE)
    thickness = r.uniform(0.004, 0.05) if kind == LINE else 0.0
    dots = glyphs(r) if kind == LETTERS else np.zeros((1, 1), np.uint8)
    colour = [0.9 * r.unit() for _ in range(3)]
    return np.array([(x, y, w, h, c, s, thickness, *colour)], SHAPE), dots


@kernel
def _fill(kind: Any, shape: Record, dots: np.ndarray, aspect: float, image: np.ndarray) -> None:
    """Paint one thing where it is."""
    h, w, _ = image.shape
    reach_x = 2.0 * shape.width + shape.thickness
    left, right, top = shape.x - reach_x, shape.x + reach_x, shape.y - reach_x / aspect
    bottom = shape.y + reach_x / aspect
    if kind == ELLIPSE:
        reach_x = 0.5 * max(shape.width, shape.height)
        left, right = shape.x - reach_x, shape.x + reach_x
        top, bottom = shape.y - reach_x / aspect, shape.y + reach_x / aspect
    elif kind != LINE:
        left, right, top = shape.x, shape.x + shape.width, shape.y
        bottom = shape.y + (0.35 * shape.height if kind == LETTERS else shape.height)
    for i in range(max(0, int(top * h) - 1), min(h, int(bottom * h) + 2)):
        y = (i + 0.5) / h - shape.y
        for j in range(max(0, int(left * w) - 1), min(w, int(right * w) + 2)):
            x = (j + 0.5) / w - shape.x
            along, across = x * shape.cos + y * aspect * shape.sin, 0.0
            across = y * aspect * shape.cos - x * shape.sin
            if kind == ELLIPSE:
                a, b = along / shape.width, across / shape.height
                inside = a * a + b * b < 0.25
            elif kind == LINE:
                inside = 2 * abs(across) < shape.thickness and abs(along) < 2 * shape.width
            else:
                v = y / (0.35 * shape.height) if kind == LETTERS else y / shape.height
                u = x / shape.width
                inside = 0.0 <= u < 1.0 and 0.0 <= v < 1.0
                if inside and kind == LETTERS:
                    inside = dots[int(v * dots.shape[0]), int(u * dots.shape[1])] > 0
            if inside:
                image[i, j, 0], image[i, j, 1] = shape.red, shape.green
                image[i, j, 2] = shape.blue


@kernel
def _finish(
    image: np.ndarray,
    chroma: np.ndarray,
    u: float,
    v: float,
    clouds: np.ndarray,
    noise: np.ndarray,
    levels: np.ndarray,
) -> None:
    """Write code values: colours grayed to a share of `chroma`, under soft noise."""
    h, w, _ = image.shape
    for i in range(h):
        for j in range(w):
            r, g, b = image[i, j, 0], image[i, j, 1], image[i, j, 2]
            gray = (r + g + b) / 3.0
            x, y = (j + 0.5) / w * 250.0 + u, (i + 0.5) / h * 250.0 + v
            light = gray * (1.0 - chroma) + clouds * smooth(noise, CLOUD, x, y)
            for c in range(3):
                level = image[i, j, c] * chroma + light
                levels[i, j, c] = int(np.rint(min(max(level, 0.0), 1.0) * FULL))


def glyphs(r: Stream) -> np.ndarray:
    """Draw letter-like glyphs, each a random 5×7 pattern of dots with a margin, (9, 36) uint8."""
    # 21 bits: three columns of seven dots, mirrored to five
    bits = np.array([r.integer(1 << 21) for _ in range(GLYPHS)])
    rows, columns = np.arange(7), np.array([0, 1, 2, 1, 0])
    dots = np.zeros((9, GLYPHS, 6), np.uint8)
    dots[1:8, :, :5] = (bits[None, :, None] >> (3 * rows[:, None, None] + columns)) & 1
    return dots.reshape(9, 6 * GLYPHS)


def letters(r: Stream, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the mask of letter-like glyphs in the box 0 ≤ u, v < 1."""
    dots = glyphs(r)
    u, v = np.broadcast_arrays(u, v)
    inside = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
    column = np.clip(np.floor(u * F(dots.shape[1])), 0, dots.shape[1] - 1).astype(np.int32)
    row = np.clip(np.floor(v * F(dots.shape[0])), 0, dots.shape[0] - 1).astype(np.int32)
    return inside & (dots[row, column] > 0)
