"""Tones that look at the whole picture: equalised histograms, its own range or deviation, buffers read wrongly, codecs.

What most of them need of a picture (a histogram's table, a mean) is computed once, and put to use at a few places.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facelab.preprocess.colour import GRAY_WEIGHTS

Pixels = NDArray[Any]
"""Pixels (…, 3), 0…255, uint8 or float."""
Bytes = NDArray[np.uint8]
Places = tuple[Any, ...] | EllipsisType
"""Which pixels are wanted: an index of rows and columns, or `...` for all of them."""
GRAY = np.array(GRAY_WEIGHTS["bt601"])
Line = tuple[Any, Any, float]
"""What a line takes off, multiplies by and adds, for the picture or for each channel."""
FLAT = 1e-6
"""Levels by which a picture varies at most that has one value only."""


class Whole:
    """A picture that tones look at as a whole (height, width, 3); what several of them need is computed once."""

    def __init__(self, pixels: Pixels):
        self.pixels = pixels
        alike = pixels.ndim == 3 and pixels.shape[-1] > 1 and pixels.strides[-1] == 0
        self._planes = pixels[..., :1] if alike else pixels
        """The channels that differ: a gray's are one and the same in memory."""
        self._lines: dict[str, Line] = {}
        self._tiled: dict[tuple[float, int, str], Bytes] = {}
        self._tried: set[str] = set()

    def tried(self, name: str) -> bool:
        """Say whether a tone was tried on this picture before, and remember that it was."""
        before = name in self._tried
        self._tried.add(name)
        return before

    @functools.cached_property
    def values(self) -> Pixels:
        """The channels that differ, as floats (height, width, 1 or 3)."""
        x = self._planes
        return x.astype(np.float32) if x.dtype == np.uint8 else x

    @functools.cached_property
    def luma(self) -> Pixels:
        """Luma, not rounded."""
        return self.pixels @ GRAY

    @functools.cached_property
    def gray(self) -> Bytes:
        """Luma as bytes."""
        return as_bytes(self.luma)

    @functools.cached_property
    def bytes(self) -> Bytes:
        """The channels that differ, as bytes (height, width, 1 or 3)."""
        return as_bytes(self._planes)

    def all_bytes(self) -> Bytes:
        """Return every channel as bytes (height, width, 3)."""
        return np.ascontiguousarray(np.broadcast_to(self.bytes, self.pixels.shape))

    @functools.cached_property
    def lab(self) -> Bytes:
        """The pixels in CIE Lab, as bytes."""
        import cv2

        return _on_one_thread(lambda: cv2.cvtColor(self.all_bytes(), cv2.COLOR_RGB2LAB))

    @functools.cached_property
    def luma_table(self) -> Bytes:
        """What equalising makes of each level of luma."""
        return equalising(self.gray)

    @functools.cached_property
    def tables(self) -> list[Bytes]:
        """What equalising makes of each level of each channel."""
        return [equalising(self.bytes[..., i]) for i in range(self.bytes.shape[-1])]

    @functools.cached_property
    def extremes(self) -> tuple[Pixels, Pixels]:
        """Each channel's least and largest value."""
        x = self.values
        return x.min(axis=0).min(axis=0), x.max(axis=0).max(axis=0)

    @functools.cached_property
    def means(self) -> Pixels:
        """Each channel's mean."""
        return _means(self.values)

    def line(self, name: str) -> Line:
        """Return the line of a tone of `LINES`."""
        if name not in self._lines:
            self._lines[name] = BY_PICTURE[name](self)
        return self._lines[name]

    def equalised_tiles(self, clip: float, tiles: int, on: str) -> Bytes:
        """Return luma (`gray`) or lightness (`lab`) with its contrast equalised tile by tile (height, width)."""
        key = clip, tiles, on
        if key not in self._tiled:
            import cv2

            plane = self.gray if on == "gray" else np.ascontiguousarray(self.lab[..., 0])
            make = cv2.createCLAHE(clipLimit=clip, tileGridSize=(tiles, tiles))
            self._tiled[key] = _on_one_thread(lambda: make.apply(plane))
        return self._tiled[key]

    def wide(self, values: Pixels) -> Pixels:
        """Return values of the channels that differ (…, 1 or 3) as three channels."""
        return np.broadcast_to(values, (*values.shape[:-1], self.pixels.shape[-1]))


def _on_one_thread(work: Callable[[], Any]) -> Any:
    """Run OpenCV on one thread: on pictures this small several would only wait for each other."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return work()
    finally:
        cv2.setNumThreads(threads)


def as_bytes(x: Pixels) -> Bytes:
    """Return pixels rounded to bytes."""
    if x.dtype == np.uint8:
        return x
    rounded = np.rint(x)
    return np.clip(rounded, 0, 255, out=rounded).astype(np.uint8)


def equalising(channel: Bytes) -> Bytes:
    """Return the table (256,) by which OpenCV's `equalizeHist` equalises a plane (Pillow's differs by a level)."""
    counts = np.bincount(channel.ravel(), minlength=256)
    total = np.cumsum(counts)
    first = int(np.argmax(counts > 0))
    rest = channel.size - counts[first]
    if rest == 0:
        return np.arange(256, dtype=np.uint8)
    return np.rint((total - counts[first]) * (255.0 / rest)).clip(0, 255).astype(np.uint8)


def _equalize_each(picture: Whole, _: object, at: Places) -> Pixels:
    x = picture.bytes[at]
    out = np.empty(x.shape, np.uint8)
    for i, table in enumerate(picture.tables):
        out[..., i] = table[x[..., i]]
    return picture.wide(out)


def _equalize_luma(picture: Whole, _: object, at: Places) -> Pixels:
    # chroma stays: each channel moves by as much as luma does
    moved = picture.luma_table[picture.gray[at]] - picture.luma[at]
    return np.clip(picture.pixels[at] + moved[..., None], 0, 255)


def _clahe(picture: Whole, parameters: tuple[float, int, str], at: Places) -> Pixels:
    import cv2

    clip, tiles, on = parameters
    plane = picture.equalised_tiles(clip, tiles, on)[at]
    if on == "gray":
        return picture.wide(plane[..., None])
    lab = np.concatenate([plane[..., None], picture.lab[at][..., 1:]], axis=-1)
    return _on_one_thread(lambda: cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))


def _by_extremes(lo: Any, hi: Any) -> Line:
    return lo, 255.0 / np.maximum(hi - lo, 1e-9), 0.0


def _by_maximum(hi: Any) -> Line:
    return 0.0, 255.0 / np.maximum(hi, 1e-9), 0.0


def _by_deviation(picture: Whole) -> Line:
    mean = picture.values.mean()
    about = (picture.values - mean).ravel()
    return mean, 64.0 / max(float(np.sqrt(about @ about / about.size)), FLAT), 128.0


def _by_deviations(picture: Whole) -> Line:
    about = picture.values - picture.means
    deviations = np.sqrt(_means(np.square(about, out=about)))
    return picture.means, 64.0 / np.maximum(deviations, FLAT), 128.0


def _means(x: Pixels) -> Pixels:
    # in two steps: over both axes at once it takes 20 times as long
    return x.mean(axis=0).mean(axis=0)


BY_PICTURE: dict[str, Callable[[Whole], Line]] = {
    "standardise": _by_deviation,
    "standardise_each": _by_deviations,
    "stretch": lambda p: _by_extremes(p.values.min(), p.values.max()),
    "stretch_each": lambda p: _by_extremes(*p.extremes),
    "brightest": lambda p: _by_maximum(p.values.max()),
    "brightest_each": lambda p: _by_maximum(p.extremes[1]),
}
LINES = tuple(BY_PICTURE)
"""Tones that are a line for each picture, and so enlarge a rounding before them."""


def lined(name: str, picture: Whole, at: Places = ...) -> tuple[Pixels, Pixels]:
    """Return pixels behind a tone of `LINES`, and the factor of each channel (c,): 0 where one value is spread.

    >>> lined("stretch_each", Whole(np.array([[[50.0, 7.0, 0.0], [101.0, 7.0, 255.0]]])))[1].tolist()
    [5.0, 0.0, 1.0]
    """
    begin, factor, end = picture.line(name)
    out = picture.values[at] - begin
    out *= factor
    if end:
        out += end
    each = np.broadcast_to(factor, picture.pixels.shape[-1:])
    return picture.wide(out), np.where(each * FLAT < 1, each, 0.0)


def _line(name: str, picture: Whole, _: object, at: Places) -> Pixels:
    return lined(name, picture, at)[0]


def misread(x: Pixels, how: str) -> Pixels:
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


def _misread(picture: Whole, how: str, at: Places) -> Pixels:
    return misread(picture.pixels, how)[at]


def _recompressed(picture: Whole, parameters: tuple[str, int, int], at: Places) -> Pixels:
    """Pixels through a lossy codec: (format, quality, chroma subsampling as Pillow numbers it)."""
    import io

    from PIL import Image

    kind, quality, subsampling = parameters
    store = io.BytesIO()
    more = {"subsampling": subsampling} if kind == "JPEG" else {}
    Image.fromarray(picture.all_bytes()).save(store, kind, quality=quality, **more)
    with Image.open(store) as image:
        return np.asarray(image.convert("RGB"))[at].astype(np.float32)


WHOLE: dict[str, Callable[[Whole, Any, Places], Pixels]] = {
    "equalize_each": _equalize_each,
    "equalize_luma": _equalize_luma,
    "clahe": _clahe,
    "misread": _misread,
    "recompressed": _recompressed,
    **{name: functools.partial(_line, name) for name in LINES},
}
"""Tones that look at the whole picture, so their place in the pipeline matters and samples alone are not enough."""
