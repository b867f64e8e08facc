"""Colour spaces that are not linear in red, green and blue: HSV, HLS and CIE Lab, in the ranges of 8-bit pictures."""

from __future__ import annotations

import numpy as np

SPACES = {
    "hsv": "HSV",
    "hsv_bgr": "HSV, red and blue exchanged before it",
    "hls": "HLS",
    "hls_bgr": "HLS, red and blue exchanged before it",
    "lab": "CIE Lab",
    "lab_bgr": "CIE Lab, red and blue exchanged before it",
    "lab_linear": "CIE Lab of pixels taken as linear",
}
"""Name → words. Hue is in half degrees, 0…180; everything else spans 0…255."""
DULL, DARK, WRAP = 15.0, 90.0, 2.0
"""Chroma and brightness in levels, and distance from red in half degrees, below which a rounding of the pixels moves
hue or saturation by more than about a level."""
XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)


def to_space(x: np.ndarray, name: str) -> np.ndarray:
    """Return pixels (…, 3) of RGB 0…255, rounded to bytes, in another colour space; float32.

    >>> to_space(np.array([[255.0, 0, 0], [0, 0, 255]]), "hsv").tolist()
    [[0.0, 255.0, 255.0], [120.0, 255.0, 255.0]]
    """
    space, _, how = name.partition("_")
    x = np.clip(np.rint(np.asarray(x, dtype=np.float32)), 0, 255)
    x = x[..., ::-1] if how == "bgr" else x
    if space == "lab":
        return _lab(x, linear=how == "linear")
    hue, top, low, chroma = _hue(x)
    if space == "hsv":
        rest = 255 * chroma / np.maximum(top, 1), top
    else:
        twice = top + low
        rest = twice / 2, 255 * chroma / np.maximum(255 - np.abs(twice - 255), 1)
    return np.stack([hue, *rest], axis=-1)


def unsteady(x: np.ndarray, name: str) -> np.ndarray:
    """Return where a rounding of the pixels (…, 3) moves a value of this space by more than about a level, (…)."""
    space, _, how = name.partition("_")
    if space == "lab":
        return np.zeros(x.shape[:-1], bool)
    hue, top, low, chroma = _hue(x[..., ::-1] if how == "bgr" else x)
    unsteady = (chroma < DULL) | (top < DARK) | (np.abs(hue - 90) > 90 - WRAP)
    return unsteady | (255 - np.abs(top + low - 255) < DARK) if space == "hls" else unsteady


def _hue(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(hue in half degrees, largest, least, their difference)."""
    r, g, b = (x[..., i] for i in range(3))
    top: np.ndarray = x.max(axis=-1)
    low: np.ndarray = x.min(axis=-1)
    chroma = top - low
    by: np.ndarray = np.maximum(chroma, 1e-6)
    sector: np.ndarray = np.where(
        top == r, (g - b) / by, np.where(top == g, 2 + (b - r) / by, 4 + (r - g) / by)
    )
    return np.where(chroma > 0, 30 * np.mod(sector, 6), 0), top, low, chroma


def _lab(x: np.ndarray, *, linear: bool) -> np.ndarray:
    v = x / 255
    if not linear:
        v = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    xyz: np.ndarray = v @ (XYZ / XYZ.sum(axis=1, keepdims=True)).T.astype(np.float32)
    f: np.ndarray = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    light: np.ndarray = np.where(xyz[..., 1] > 0.008856, 116 * f[..., 1] - 16, 903.3 * xyz[..., 1])
    a, b = 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])
    return np.stack([2.55 * light, a + 128, b + 128], axis=-1).astype(np.float32)
