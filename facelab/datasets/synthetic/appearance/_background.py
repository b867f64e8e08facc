"""What is behind a face: gradients, blobs, boxes, lines, letters, soft noise; never a face."""

from __future__ import annotations

import numpy as np

from facelab.datasets.synthetic._noise import smooth
from facelab.datasets.synthetic._numerics import DEGREE, TURN, F, sincos
from facelab.datasets.synthetic._stream import Stream
from facelab.datasets.synthetic.camera._filters import bilinear_sample, gaussian_blur
from facelab.datasets.synthetic.camera._optics import FULL


def background(r: Stream, size: tuple[int, int], clutter: float = 1.0) -> np.ndarray:
    """Draw a background (h, w, 3) int32, 0 … 4095, for a (width, height); `clutter` scales the number of things."""
    width, height = size
    sigma = r.uniform(0.004, 0.05) * width + 0.3 if r.chance(0.75) else 0.0
    # what will be blurred by many pixels is drawn small and enlarged
    shrink = max(1, int(sigma / 2.5))
    w, h = max(8, -(-width // shrink)), max(8, -(-height // shrink))
    kind = r.integer(6)
    x, y = (np.arange(w, dtype=F) + F(0.5)) / F(w), (np.arange(h, dtype=F)[:, None] + F(0.5)) / F(h)
    image = _gradient(r, x, y)
    if kind:
        for _ in range(int(r.integer(3, 16) * clutter)):
            mask = _shape(r, kind, x, y, height / width)
            image[mask] = np.array([0.9 * r.unit() for _ in range(3)], F)
    gray = ((image[..., 0] + image[..., 1] + image[..., 2]) * F(1 / 3))[..., None]
    image = gray + (image - gray) * F(r.uniform(0.1, 0.75))
    u, v = np.broadcast_arrays(x * 250 + r.integer(512), y * 250 + r.integer(512))
    image = image + (smooth("cloud", u, v) * F(r.uniform(0.01, 0.08)))[..., None]
    levels = np.rint(np.clip(image, 0, 1) * F(FULL)).astype(np.int32)
    if sigma:
        levels = gaussian_blur(levels, sigma / shrink)
    return levels if shrink == 1 and (w, h) == size else _enlarge(levels, size)


def _enlarge(levels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    h, w, _ = levels.shape
    width, height = size
    x = (np.arange(width) + 0.5) * (w / width) - 0.5
    y = (np.arange(height) + 0.5) * (h / height) - 0.5
    return bilinear_sample(levels, *np.broadcast_arrays(x[None], y[:, None]))


def _gradient(r: Stream, x, y) -> np.ndarray:
    first, last = (np.array([0.8 * r.unit() for _ in range(3)], F) for _ in range(2))
    t = x * F(sincos(r.uniform(0, TURN))[1]) + y * F(sincos(r.uniform(0, TURN))[0])
    t = (t - t.min()) / (t.max() - t.min() + F(1e-6))
    return first + (last - first) * t[..., None]


def _shape(r: Stream, kind: int, x, y, aspect: float) -> np.ndarray:
    """Return the mask of one thing: 1, 3 box; 2 ellipse; 4 letters; 5 line."""
    x0, y0 = r.uniform(-0.25, 1), r.uniform(-0.25, 1)
    w, h = r.uniform(0.08, 0.5), r.uniform(0.08, 0.5)
    s, c = sincos(r.uniform(0, 180) * DEGREE)
    dx, dy = (x - F(x0)), (y - F(y0)) * F(aspect)
    along, across = dx * F(c) + dy * F(s), dy * F(c) - dx * F(s)
    if kind == 2:
        return along * along * F(4 / (w * w)) + across * across * F(4 / (h * h)) < 1
    if kind == 4:
        return letters(r, (x - F(x0)) / F(w), (y - F(y0)) / F(h * 0.35))
    if kind == 5:
        return (np.abs(across) < F(r.uniform(0.004, 0.05) / 2)) & (np.abs(along) < F(w * 2))
    return (dx >= 0) & (dx < w) & (y >= F(y0)) & (y < F(y0 + h))


def letters(r: Stream, u: np.ndarray, v: np.ndarray, count: int = 6) -> np.ndarray:
    """Return the mask of letter-like glyphs (random 5×7 dot patterns) in the box 0 ≤ u, v < 1."""
    dots = np.zeros((9, 6 * count), bool)
    for k in range(count):
        glyph = np.array([[r.chance(0.5) for _ in range(3)] for _ in range(7)])
        dots[1:8, 6 * k : 6 * k + 5] = np.concatenate([glyph, glyph[:, 1::-1]], 1)
    u, v = np.broadcast_arrays(u, v)
    inside = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
    column = np.clip(np.floor(u * F(dots.shape[1])), 0, dots.shape[1] - 1).astype(np.int32)
    row = np.clip(np.floor(v * F(dots.shape[0])), 0, dots.shape[0] - 1).astype(np.int32)
    return inside & dots[row, column]
