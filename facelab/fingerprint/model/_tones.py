"""What pipelines do to pixel values beyond a linear map: gamma, colour matrices read wrongly, equalised histograms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from facelab.fingerprint.model._spaces import to_space
from facelab.fingerprint.model._whole import GRAY, LINES, WHOLE, Pixels, Places, Whole, lined
from facelab.preprocess.colour import GRAY_WEIGHTS

Tone = tuple[str, Any]
"""A tone's name and its parameter."""
Tones = tuple[Tone, ...]
Weights = tuple[float, ...]
"""What red, green and blue count for in a gray."""


def rgb_to_ycc(matrix: str) -> np.ndarray:
    """Return the 3×3 matrix from RGB 0…255 to full-range Y, Cb, Cr (chroma centred on 0)."""
    r, g, b = GRAY_WEIGHTS[matrix]
    return np.array(
        [
            [r, g, b],
            [-r / (2 - 2 * b), -g / (2 - 2 * b), 0.5],
            [0.5, -g / (2 - 2 * r), -b / (2 - 2 * r)],
        ]
    )


def _mixed(x: np.ndarray, matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return x · matrixᵀ + offset for pixels (…, 3), clipped to 0…255, float32 (exact to 1e-4 levels)."""
    flat = np.asarray(x, dtype=np.float32).reshape(-1, 3)
    out = flat @ matrix.T.astype(np.float32)
    out += offset.astype(np.float32)
    return np.clip(out, 0, 255, out=out).reshape(x.shape)


def _decoding(matrix: str, span: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (matrix, offset) from Y, U, V bytes (chroma centred on 128) to RGB."""
    back = np.linalg.inv(rgb_to_ycc(matrix))
    if span == "limited":
        back = back * (255 / 219, 255 / 224, 255 / 224)
    return back, -back @ (16.0 if span == "limited" else 0.0, 128.0, 128.0)


def yuv_to_rgb(yuv: np.ndarray, matrix: str, span: str) -> np.ndarray:
    """Turn Y, U, V (chroma centred on 128) into RGB, clipped to 0…255, float32."""
    return _mixed(yuv, *_decoding(matrix, span))


def recode(x: np.ndarray, written: tuple[str, str], read: tuple[str, str]) -> np.ndarray:
    """Return RGB whose YUV was written with one (matrix, range) and read with another."""
    limited = written[1] == "limited"
    forward = rgb_to_ycc(written[0]) * (
        np.array([[219 / 255], [224 / 255], [224 / 255]]) if limited else 1.0
    )
    return yuv_to_rgb(_mixed(x, forward, np.array([16.0 if limited else 0.0, 128.0, 128.0])), *read)


def _swap_chroma(x: Pixels, _: object) -> Pixels:
    forward = rgb_to_ycc("bt601")
    return _mixed(x, np.linalg.inv(forward) @ forward[[0, 2, 1]], np.zeros(3))


def _curve(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """Apply a curve 0…1 → 0…1 to pixels 0…255; bytes go through a table."""
    if x.dtype == np.uint8:
        return (255.0 * function(np.arange(256) / 255.0)).astype(np.float32)[x]
    return 255.0 * function(np.clip(x, 0, 255) / 255.0)


def _gamma(x: Pixels, g: float) -> Pixels:
    return _curve(lambda v: v**g, x)


def _linearise(x: Pixels, _: object) -> Pixels:
    return _curve(lambda v: np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4), x)


def _companded(x: Pixels, _: object) -> Pixels:
    return _curve(lambda v: np.where(v <= 0.0031308, v * 12.92, 1.055 * v ** (1 / 2.4) - 0.055), x)


def _posterize(x: Pixels, bits: int) -> Pixels:
    if x.dtype == np.uint8:
        return (x & np.uint8(256 - 2 ** (8 - bits))).astype(np.float32)
    step = 2 ** (8 - bits)
    return np.floor(x / step) * step


def _lab_lightness(x: Pixels, _: object) -> Pixels:
    """CIE L* of sRGB pixels, 0…255."""
    y = (
        _linearise(x, None).astype(np.float32)
        @ np.array([0.212671, 0.71516, 0.072169], np.float32)
        / 255
    )
    lightness = np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)
    return _replicated((lightness * 2.55).astype(np.float32))


def _replicated(gray: Pixels) -> Pixels:
    return np.repeat(gray[..., None], 3, axis=-1)


POINTWISE: dict[str, Callable[[Pixels, Any], Pixels]] = {
    "posterize": _posterize,
    "hsv_value": lambda x, _: _replicated(x.max(axis=-1).astype(np.float32)),
    "hsl_lightness": lambda x, _: _replicated(
        (x.max(axis=-1).astype(np.float32) + x.min(axis=-1)) / 2
    ),
    "limit": lambda x, span: np.clip(x, *span).astype(np.float32),
    "lab_lightness": _lab_lightness,
    "space": to_space,
    "wrap": lambda x, p: np.mod(np.rint(x * p[0] + np.asarray(p[1])), 256),
    "gamma": _gamma,
    "srgb_to_linear": _linearise,
    "linear_to_srgb": _companded,
    "swap_chroma": _swap_chroma,
    "recode": lambda x, p: recode(x, *p),
    "swap_uv": lambda x, _: x[..., [0, 2, 1]],
    "yuv": lambda x, p: yuv_to_rgb(x, *p),
    "gray": lambda x, w: np.broadcast_to((x @ np.asarray(w, np.float32))[..., None], x.shape),
}

CURVES = ("gamma", "srgb_to_linear", "linear_to_srgb")
"""Tones that are one rising curve for every channel, and so make more of a rounding where they are steep."""
CUSTOMARY: Tones = (
    ("gamma", 2.2),
    ("gamma", 1 / 2.2),
    ("srgb_to_linear", None),
    ("linear_to_srgb", None),
)
"""The curves that programs apply to every picture."""


def undone(t: Tone) -> Tone:
    """Return the tone that takes a curve back.

    >>> undone(("srgb_to_linear", None))
    ('linear_to_srgb', None)
    """
    name, parameter = t
    if name == "gamma":
        return "gamma", 1 / parameter
    return ("linear_to_srgb" if name == "srgb_to_linear" else "srgb_to_linear"), None


def gray_of(tones: Tones) -> Weights | None:
    """Return the gray weights that some tone of a sequence applied, or None."""
    for name, parameter in tones:
        if name == "gray":
            return parameter
        if name == "clahe" and parameter[2] == "gray":
            return tuple(GRAY)
    return None


ALIKE = (*CURVES, "posterize", "limit")
"""Tones that do to each channel what they do to any other that is the same."""


def apply(tone: Tone, x: Pixels) -> Pixels:
    """Apply one tone (name, parameter) to pixels (…, 3), 0…255, uint8 or float; float32 or float64."""
    name, parameter = tone
    if name in WHOLE:
        return seen(tone, Whole(x))[0]
    function = POINTWISE[name]
    if name in ALIKE and x.ndim == 3 and x.strides[-1] == 0:
        return np.broadcast_to(function(x[..., :1], parameter), x.shape)
    return function(x, parameter)


def seen(tone: Tone, picture: Whole, at: Places = ...) -> tuple[Pixels, Pixels | None]:
    """Return what a tone makes of a picture at some places, and for a tone of `LINES` each channel's factor (3,)."""
    name, parameter = tone
    if name in LINES:
        return lined(name, picture, at)
    if name in WHOLE:
        return WHOLE[name](picture, parameter, at), None
    return apply(tone, picture.pixels[at]), None
