"""What pipelines do to pixel values beyond a linear map: gamma, colour matrices read wrongly, equalised histograms."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facelab.fingerprint.model._spaces import to_space
from facelab.preprocess.colour import GRAY_WEIGHTS

Pixels = NDArray[Any]
"""Pixels (…, 3), 0…255, uint8 or float."""
Tone = tuple[str, Any]
"""A tone's name and its parameter."""
Tones = tuple[Tone, ...]
Weights = tuple[float, ...]
"""What red, green and blue count for in a gray."""
GRAY = np.array(GRAY_WEIGHTS["bt601"])


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


def equalised(channel: np.ndarray) -> np.ndarray:
    """Equalise one uint8 plane as OpenCV's `equalizeHist` does (Pillow's differs by a level)."""
    counts = np.bincount(channel.ravel(), minlength=256)
    total = np.cumsum(counts)
    first = int(np.argmax(counts > 0))
    rest = channel.size - counts[first]
    if rest == 0:
        return channel
    table = np.rint((total - counts[first]) * (255.0 / rest)).clip(0, 255).astype(np.uint8)
    return table[channel]


def _bytes(x: Pixels) -> NDArray[np.uint8]:
    rounded = np.rint(x)
    return np.clip(rounded, 0, 255, out=rounded).astype(np.uint8)


def _equalize_each(x: Pixels, _: object) -> Pixels:
    out = np.empty(x.shape, np.float32)
    for i in range(x.shape[-1]):
        out[..., i] = equalised(_bytes(x[..., i]))
    return out


def _equalize_luma(x: Pixels, _: object) -> Pixels:
    luma = x @ GRAY
    # chroma stays: each channel moves by as much as luma does
    return np.clip(x + (equalised(_bytes(luma)) - luma)[..., None], 0, 255)


def _clahe(x: Pixels, parameters: tuple[float, int, str]) -> Pixels:
    import cv2

    clip, tiles, on = parameters
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # on pictures this small they would only wait for each other
    try:
        make = cv2.createCLAHE(clipLimit=clip, tileGridSize=(tiles, tiles))
        if on == "gray":
            gray = make.apply(_bytes(x @ GRAY))
            return np.repeat(gray[..., None], 3, axis=-1).astype(np.float64)
        lab = cv2.cvtColor(_bytes(x), cv2.COLOR_RGB2LAB)
        lab[..., 0] = make.apply(lab[..., 0])
        return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).astype(np.float64)
    finally:
        cv2.setNumThreads(threads)


Line = tuple[Any, Any, float]
"""What a line takes off, multiplies by and adds, for the picture or for each channel."""
FLAT = 1e-6
"""Levels by which a picture varies at most that has one value only."""


def _by_extremes(lo: Any, hi: Any) -> Line:
    return lo, 255.0 / np.maximum(hi - lo, 1e-9), 0.0


def _by_maximum(hi: Any) -> Line:
    return 0.0, 255.0 / np.maximum(hi, 1e-9), 0.0


def _by_deviation(x: Pixels) -> Line:
    mean = x.mean()
    about = (x - mean).ravel()
    return mean, 64.0 / max(float(np.sqrt(about @ about / about.size)), FLAT), 128.0


def _by_deviations(x: Pixels) -> Line:
    mean = _means(x)
    return mean, 64.0 / np.maximum(np.sqrt(_means(np.square(x - mean))), FLAT), 128.0


def _means(x: Pixels) -> Pixels:
    # in two steps: over both axes at once it takes 20 times as long
    return x.mean(axis=0).mean(axis=0)


BY_PICTURE: dict[str, Callable[[Pixels], Line]] = {
    "standardise": _by_deviation,
    "standardise_each": _by_deviations,
    "stretch": lambda x: _by_extremes(x.min(), x.max()),
    "stretch_each": lambda x: _by_extremes(*_extremes(x)),
    "brightest": lambda x: _by_maximum(x.max()),
    "brightest_each": lambda x: _by_maximum(_extremes(x)[1]),
}
LINES = tuple(BY_PICTURE)
"""Tones that are a line for each picture, and so enlarge a rounding before them."""


def _extremes(x: Pixels) -> tuple[Pixels, Pixels]:
    """Each channel's least and largest value."""
    return x.min(axis=0).min(axis=0), x.max(axis=0).max(axis=0)


def lined(name: str, x: Pixels) -> tuple[Pixels, Pixels]:
    """Return pixels behind a tone of `LINES`, and the factor of each channel (c,): 0 where one value is spread.

    >>> lined("stretch_each", np.array([[[50.0, 7.0, 0.0], [101.0, 7.0, 255.0]]]))[1].tolist()
    [5.0, 0.0, 1.0]
    """
    if _is_gray(x):
        one, factor = lined(name, x[..., :1])
        return np.broadcast_to(one, x.shape), np.broadcast_to(factor, x.shape[-1:])
    x = x.astype(np.float32) if x.dtype == np.uint8 else x
    begin, factor, end = BY_PICTURE[name](x)
    out = x - begin
    out *= factor
    if end:
        out += end
    each = np.broadcast_to(factor, x.shape[-1:])
    return out, np.where(each * FLAT < 1, each, 0.0)


def _is_gray(x: Pixels) -> bool:
    """Whether a picture's channels are one and the same in memory, as a gray's are."""
    return x.ndim == 3 and x.shape[-1] > 1 and x.strides[-1] == 0


def _line(name: str, x: Pixels, _: object) -> Pixels:
    return lined(name, x)[0]


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


def misread(x: np.ndarray, how: str) -> np.ndarray:
    """Return a source picture (height × width × 3 bytes; Y, U, V for camera frames) whose bytes are read wrongly."""
    h, w = x.shape[:2]
    if how.startswith("stride_"):
        align = int(how.removeprefix("stride_"))
        row = np.zeros((h, -(-3 * w // align) * align), x.dtype)
        row[:, : 3 * w] = x.reshape(h, 3 * w)
        return row.ravel()[: h * w * 3].reshape(h, w, 3)
    if how in ("uyvy", "vyuy"):
        pairs = x[:, : w // 2 * 2].reshape(h, w // 2, 2, 3)
        y0, y1, u, v = pairs[:, :, 0, 0], pairs[:, :, 1, 0], pairs[:, :, 0, 1], pairs[:, :, 0, 2]
        out = np.stack([np.stack([u, y0, y1], -1), np.stack([v, y0, y1], -1)], axis=2)
        out = out.reshape(h, w // 2 * 2, 3)
        return out if how == "uyvy" else out[..., [0, 2, 1]]
    u, v = x[: h // 2 * 2 : 2, : w // 2 * 2 : 2, 1], x[: h // 2 * 2 : 2, : w // 2 * 2 : 2, 2]
    if how == "planes":
        both = np.stack([u, v], -1).ravel()
        parts = both[: u.size].reshape(u.shape), both[u.size :].reshape(u.shape)
    elif how == "interleaved":
        both = np.concatenate([u.ravel(), v.ravel()])
        parts = both[0::2].reshape(u.shape), both[1::2].reshape(u.shape)
    else:
        both = np.stack([u, v], -1).ravel()
        h2, w2 = map(int, u.shape)
        at = np.arange(h2)[:, None] * w2 + 2 * np.arange(w2)[None]
        parts = both[at], both[at + 1]
    out = x.copy()
    for k, c in enumerate(parts):
        full = np.repeat(np.repeat(c, 2, 0), 2, 1)
        out[: full.shape[0], : full.shape[1], k + 1] = full
    return out


def _recompressed(x: Pixels, parameters: tuple[str, int, int]) -> Pixels:
    """Pixels through a lossy codec: (format, quality, chroma subsampling as Pillow numbers it)."""
    import io

    from PIL import Image

    kind, quality, subsampling = parameters
    store = io.BytesIO()
    more = {"subsampling": subsampling} if kind == "JPEG" else {}
    Image.fromarray(_bytes(x)).save(store, kind, quality=quality, **more)
    with Image.open(store) as image:
        return np.asarray(image.convert("RGB")).astype(np.float32)


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
WHOLE: dict[str, Callable[[Pixels, Any], Pixels]] = {
    "equalize_each": _equalize_each,
    "equalize_luma": _equalize_luma,
    "clahe": _clahe,
    "misread": misread,
    "recompressed": _recompressed,
    **{name: functools.partial(_line, name) for name in LINES},
}
"""Tones that look at the whole picture, so their place in the pipeline matters and samples alone are not enough."""


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


ALIKE = (*CURVES, "equalize_each", "posterize", "limit")
"""Tones that do to each channel what they do to any other that is the same."""


def apply(tone: Tone, x: Pixels) -> Pixels:
    """Apply one tone (name, parameter) to pixels (…, 3), 0…255, uint8 or float; float32 or float64."""
    name, parameter = tone
    function = POINTWISE.get(name) or WHOLE[name]
    if name in ALIKE and _is_gray(x):
        return np.broadcast_to(function(x[..., :1], parameter), x.shape)
    return function(x, parameter)
