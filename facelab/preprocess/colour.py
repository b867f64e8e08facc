"""Colour arithmetic that defines the color stage, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

GRAY_WEIGHTS = {
    "bt601": (0.299, 0.587, 0.114),
    "bt709": (0.2126, 0.7152, 0.0722),
    "tensorflow": (0.2989, 0.587, 0.114),
    "average": (1 / 3, 1 / 3, 1 / 3),
}
"""Named gray weights for (red, green, blue). `tensorflow` is `tf.image.rgb_to_grayscale`: its sum is 0.9999."""
KR_KB = {name: (GRAY_WEIGHTS[name][0], GRAY_WEIGHTS[name][2]) for name in ("bt601", "bt709")}
"""What red and blue count for in Y, by matrix."""


def yuv_to_rgb_terms(matrix: str, range_: str) -> dict[str, float]:
    """Return the constants of YUV → RGB: y0 (offset of Y), y (gain of Y), rv, gu, gv, bu (gains of chroma − 128).

    ITU-R BT.601 and BT.709. Limited range has Y 16…235 and chroma 16…240.

    >>> {k: round(v, 4) for k, v in yuv_to_rgb_terms("bt601", "limited").items()}
    {'y0': 16.0, 'y': 1.1644, 'rv': 1.596, 'gu': -0.3918, 'gv': -0.813, 'bu': 2.0172}
    """
    kr, kb = KR_KB[matrix]
    kg = 1 - kr - kb
    y0, gain, chroma = (16.0, 255 / 219, 255 / 224) if range_ == "limited" else (0.0, 1.0, 1.0)
    return {
        "y0": y0,
        "y": gain,
        "rv": 2 * (1 - kr) * chroma,
        "gu": -2 * kb * (1 - kb) / kg * chroma,
        "gv": -2 * kr * (1 - kr) / kg * chroma,
        "bu": 2 * (1 - kb) * chroma,
    }


def yuv_to_rgb(x: np.ndarray, matrix: str, range_: str, real: Any = np.float64) -> np.ndarray:
    """Convert (…, 3) Y, U, V to real-valued R, G, B, not clipped."""
    t = {k: real(v) for k, v in yuv_to_rgb_terms(matrix, range_).items()}
    x = x.astype(real)
    y, u, v = (x[..., 0] - t["y0"]) * t["y"], x[..., 1] - real(128), x[..., 2] - real(128)
    return np.stack([y + t["rv"] * v, y + t["gu"] * u + t["gv"] * v, y + t["bu"] * u], axis=-1)


def rgb_to_yuv(x: np.ndarray, matrix: str, range_: str, real: Any = np.float64) -> np.ndarray:
    """Convert (…, 3) R, G, B to real-valued Y, U, V, chroma centred on 128."""
    kr, kb = KR_KB[matrix]
    x = x.astype(real)
    r, g, b = (x[..., i] for i in range(3))
    y = real(kr) * r + real(1 - kr - kb) * g + real(kb) * b
    u, v = (b - y) / real(2 * (1 - kb)), (r - y) / real(2 * (1 - kr))
    if range_ == "limited":
        y, u, v = real(16) + y * real(219 / 255), u * real(224 / 255), v * real(224 / 255)
    return np.stack([y, u + real(128), v + real(128)], axis=-1)


def to_gray(x: np.ndarray, weights: Any, real: Any = np.float64) -> np.ndarray:
    """Return weights · (R, G, B) as real values with one channel."""
    x = x.astype(real)
    r, g, b = (real(w) for w in weights)
    return (r * x[..., 0] + g * x[..., 1] + b * x[..., 2])[..., None]
