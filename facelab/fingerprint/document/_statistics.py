"""An array → the compact description a fingerprint keeps of it.

Every sum is made in order, in float64, so that the same bytes come out on every machine; numpy's ordinary sums
depend on the processor's vector width in the last bits.
"""

from __future__ import annotations

import base64
import functools
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from facelab.core.errors import BadInputError
from facelab.core.hashing import sha256_array

DTYPES = (
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
    "bfloat16",
)
GRID = 16
"""Output samples are taken at the crossings of this many rows and columns (`lines`)."""
SKETCH = 8
SMALL_SKETCH = 4
_PIECE = 1 << 13
"""About so many numbers are worked on at once: what is made of them stays in the processor's cache."""


def canonical(array: np.ndarray) -> tuple[np.ndarray, str]:
    """Return the array as height × width × channel, and the name of its layout (`nchw`, `hwc`, `hw`, …).

    The channel axis is the last one, or else the first one, with 1 to 4 entries; a leading axis of four is the batch,
    of which the first element is described. Raises BadInputError for an array that is not an image.

    >>> canonical(np.zeros((1, 3, 4, 5)))[1], canonical(np.zeros((4, 5)))[1], canonical(np.zeros((4, 5, 1)))[1]
    ('nchw', 'hw', 'hwc')
    """
    a = np.asarray(array)
    if a.dtype.name not in DTYPES:
        raise BadInputError(
            "the tensor's number type is not supported",
            expected=", ".join(DTYPES),
            got=a.dtype.name,
            fix="write real numbers, float32 or uint8 as the model takes them",
        )
    if not 1 <= a.ndim <= 4 or 0 in a.shape:
        raise BadInputError(
            "the tensor is not an image",
            expected="1 to 4 axes, none of them empty",
            got=f"shape {a.shape}",
            fix="write what goes into the model",
        )
    prefix = ""
    if a.ndim == 4:
        a, prefix = a[0], "n"
    if a.ndim == 1:
        return a.reshape(1, -1, 1), "flat"
    if a.ndim == 2:
        return a[..., None], prefix + "hw"
    if a.shape[2] <= 4:
        return a, prefix + "hwc"
    if a.shape[0] <= 4:
        name = "nhw" if a.shape[0] == 1 and not prefix else prefix + "chw"
        return np.moveaxis(a, 0, -1), name
    raise BadInputError(
        "the tensor has no channel axis",
        expected="1 to 4 channels on the first or last axis",
        got=f"shape {np.shape(array)}",
        fix="write one image per file",
    )


def lines(n: int, count: int) -> tuple[int, ...]:
    """Return at most `count` positions of 0…n−1 in neighbouring pairs, mirrored about the middle.

    Mirrored, so that a flipped or turned output is seen at the same positions; in pairs, so that a small shift or
    another kernel shows.

    >>> lines(64, 8)
    (4, 5, 20, 21, 42, 43, 58, 59)
    >>> lines(5, 8)
    (0, 1, 2, 3, 4)
    """
    if n <= count:
        return tuple(range(n))
    pairs = count // 2
    out: set[int] = set()
    for k in range((pairs + 1) // 2):
        a = int((2 * k + 0.5) * n / (2 * pairs))
        a = min(a, n - 2)
        out.update((a, a + 1, n - 1 - a, n - 2 - a))
    return tuple(sorted(out))


class _Means:
    """The mean of each channel, summed strictly in order: `bincount` adds one weight after the other.

    The channels are sums that do not wait for each other, which takes a third of the time of a `cumsum` of each.
    """

    def __init__(self, channels: int) -> None:
        self._sums, self._size = np.zeros(channels), 0

    def add(self, rows: np.ndarray) -> None:
        """Add rows × columns × channels, whose memory belongs to this call."""
        flat, turns = rows.reshape(-1), _turns(self._sums.size)
        self._size += flat.size
        for start in range(0, flat.size, turns.size):
            piece = flat[start : start + turns.size]
            piece[: self._sums.size] += self._sums
            self._sums = np.bincount(turns[: piece.size], piece)

    def value(self) -> np.ndarray:
        """Return the means (channels,) of what was added; 0 of nothing."""
        return self._sums / max(1, self._size // self._sums.size)


@functools.cache
def _turns(channels: int) -> np.ndarray:
    """Return 0…channels−1 again and again, whole turns."""
    return np.tile(np.arange(channels), _PIECE // channels)


def _height(image: np.ndarray) -> int:
    """Return how many rows are worked on at once."""
    return max(1, _PIECE // (image.shape[1] * image.shape[2]))


def _moments(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of each channel."""
    means, squares = _Means(image.shape[2]), _Means(image.shape[2])
    high = _height(image)
    starts = range(0, image.shape[0], high)
    for start in starts:
        means.add(image[start : start + high].copy())
    mean = means.value()
    for start in starts:
        squares.add((image[start : start + high] - mean) ** 2)
    return mean, squares.value()


def _number(x: float) -> float:
    return float(f"{float(x):.9g}")


def _numbers(values: ArrayLike) -> list[float]:
    return [_number(v) for v in np.ravel(np.asarray(values, dtype=np.float64)).tolist()]


def block_means(image: np.ndarray, count: int) -> np.ndarray:
    """Return the means of a count × count grid of blocks of height × width × channel (fewer for small images)."""
    h, w, c = image.shape
    rows, columns = min(count, h), min(count, w)
    y = [(k * h) // rows for k in range(rows + 1)]
    x = [(k * w) // columns for k in range(columns + 1)]
    area = np.diff(y)[:, None, None] * np.diff(x)[None, :, None]
    # the corners of an integral image, whose other rows nobody needs
    below = np.zeros((rows + 1, w, c))
    running = np.zeros((w, c))
    for k in range(rows):
        for row in image[y[k] : y[k + 1]]:
            running += row
        below[k + 1] = running
    corners = np.zeros((rows + 1, columns + 1, c))
    corners[:, 1:] = np.cumsum(below, axis=1)[:, np.array(x[1:]) - 1]
    return (corners[1:, 1:] - corners[:-1, 1:] - corners[1:, :-1] + corners[:-1, :-1]) / area


def _energies(image: np.ndarray) -> dict[str, Any]:
    """Mean absolute first and second differences per channel: what blur and sharpening change."""
    channels, high = image.shape[2], _height(image)
    found = np.zeros((2, channels))
    for axis in (0, 1):
        first, second = _Means(channels), _Means(channels)
        for start in range(0, image.shape[0], high):
            # differences of rows reach into the next rows
            rows = image[start : start + high + 2 * (axis == 0)]
            d = np.diff(rows, axis=axis)
            first.add(np.abs(d[:high]))
            second.add(np.abs(np.diff(d, axis=axis)[:high]))
        found += first.value(), second.value()
    return {"gradient": _numbers(found[0]), "laplacian": _numbers(found[1])}


def describe(array: np.ndarray, *, sketch: int | None = None) -> dict[str, Any]:
    """Describe one stage's array for one probe as plain JSON.

    Shape, dtype, SHA-256 of dtype, shape and bytes, layout, moments per channel, mean absolute gradient and Laplacian,
    8 × 8 block means and the values themselves at the crossings of 16 rows and columns (`lines`). With `sketch`, for an
    intermediate stage, only that many rows and columns of block means and no values. NaN and infinity are counted in
    `nonfinite` and described as 0. Raises BadInputError.
    """
    array = np.asarray(array)
    image, layout = canonical(array)
    with np.errstate(invalid="ignore"):  # bytes read as floats may be NaN of the kind that signals
        exact = image.astype(np.float64)
    bad = int(np.count_nonzero(~np.isfinite(exact)))
    if bad:
        exact = np.where(np.isfinite(exact), exact, 0.0)
    exact = np.ascontiguousarray(exact)
    mean, variance = _moments(exact)
    planes = np.ascontiguousarray(np.moveaxis(exact, -1, 0))  # extremes take a tenth of the time
    entry: dict[str, Any] = {
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "digest": sha256_array(array.view(np.uint16) if array.dtype.name == "bfloat16" else array),
        "layout": layout,
        "moments": {
            "mean": _numbers(mean),
            "std": _numbers([math.sqrt(v) for v in variance]),
            # of zeros with both signs the extreme is any: + 0.0 leaves one
            "min": _numbers(planes.min(axis=(1, 2)) + 0.0),
            "max": _numbers(planes.max(axis=(1, 2)) + 0.0),
        },
        "energy": _energies(exact),
        "sketch": pack(block_means(exact, sketch or SKETCH)),
    }
    if bad:
        entry["nonfinite"] = bad
    if sketch is None:
        rows, columns = lines(exact.shape[0], GRID), lines(exact.shape[1], GRID)
        entry["samples"] = pack(exact[np.ix_(rows, columns)])
    return entry


def pack(values: np.ndarray) -> dict[str, Any]:
    """Return an array as `{"shape", "type", "data"}`: base64 of bytes for whole numbers 0…255, else of float32."""
    whole = values.size > 0 and bool(
        ((values >= 0) & (values <= 255) & (values == np.rint(values))).all()
    )
    with np.errstate(over="ignore"):
        data = values.astype("u1" if whole else "<f4")
    if not whole:
        data = np.clip(np.nan_to_num(data), -3.4e38, 3.4e38).astype("<f4")
    return {
        "shape": list(values.shape),
        "type": "u1" if whole else "f4",
        "data": base64.b64encode(np.ascontiguousarray(data).tobytes()).decode("ascii"),
    }


def unpack(value: dict[str, Any]) -> np.ndarray:
    """Return the float64 array of a `pack`ed one (checked by `schema`)."""
    raw = base64.b64decode(value["data"])
    return (
        np.frombuffer(raw, "u1" if value["type"] == "u1" else "<f4")
        .astype(np.float64)
        .reshape(value["shape"])
    )
