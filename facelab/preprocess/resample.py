"""Resampling along one axis: which input samples make an output sample, with which weights.

Everything is float64 with a fixed order of operations and no transcendental library function, so that the same
bytes come out on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError

SNAP = 1e-9
"""Values this near to a multiple of ½ count as it when they are rounded: sums of weights are off by some 1e-13."""


def _half_up(x: np.ndarray) -> np.ndarray:
    return np.floor(x + 0.5)


WHOLE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "half_even": np.rint,
    "half_up": _half_up,
    "truncate": np.trunc,
}
"""How a stage's `rounding` makes whole numbers of pixels."""


def to_pixels(x: np.ndarray, rounding: str, snap: float = SNAP) -> np.ndarray:
    """Round reals to uint8, saturating: `half_even`, `half_up` or `truncate`.

    What lies within `snap` of a tie or a whole number counts as on it.

    >>> to_pixels(np.array([0.5, 1.5, 254.5 - 1e-12, 300.0]), "half_even").tolist()
    [0, 2, 254, 255]
    >>> to_pixels(np.array([0.5, 1.5, 2 - 1e-12]), "truncate").tolist()
    [0, 1, 2]
    """
    near = np.rint(x * 2) / 2
    x = np.where(np.abs(x - near) < snap, near, x)
    whole: np.ndarray = WHOLE[rounding](x)
    return np.clip(whole, 0, 255).astype(np.uint8)


def _sine_of_pi(x: np.ndarray) -> np.ndarray:
    """Return sin(πx) by a Taylor polynomial: numpy's own differs in the last bit between processors."""
    n = np.rint(x)
    r = (x - n) * np.pi
    square = r * r
    total = np.ones_like(r)
    for k in range(12, 0, -1):
        total = 1 - square * total / (2 * k * (2 * k + 1))
    sign = np.where(np.mod(n, 2) == 0, 1.0, -1.0)
    return sign * r * total


def _sinc(x: np.ndarray) -> np.ndarray:
    safe = np.where(x == 0, 1.0, x)
    return np.where(x == 0, 1.0, _sine_of_pi(safe) / (np.pi * safe))


def kernel(
    name: str, x: np.ndarray, *, cubic_a: float | None = None, lobes: int | None = None
) -> np.ndarray:
    """Return the kernel's value at distance `x` (in its own units): triangle, Keys cubic or windowed sinc."""
    x = np.abs(x)
    if name == "bilinear":
        return np.maximum(0.0, 1.0 - x)
    if name == "bicubic":
        assert cubic_a is not None, "a bicubic stage states its parameter"
        a = cubic_a
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = (((x - 5) * x + 8) * x - 4) * a
        return np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return np.where(x < lobes, _sinc(x) * _sinc(x / lobes), 0.0)


def positions(n_in: int, n_out: int, pixel_centers: str) -> np.ndarray:
    """Return the source position of each output sample, in samples (0 is the centre of the first).

    >>> positions(4, 2, "half").tolist(), positions(4, 2, "legacy").tolist(), positions(4, 2, "corner").tolist()
    ([0.5, 2.5], [0.0, 2.0], [0.0, 3.0])
    """
    x = np.arange(n_out, dtype=np.int64)
    if pixel_centers == "half":
        return ((2 * x + 1) * n_in - n_out) / (2 * n_out)
    if pixel_centers == "legacy":
        return x * n_in / n_out
    return x * (n_in - 1) / max(n_out - 1, 1)


def nearest_index(n_in: int, n_out: int, pixel_centers: str) -> np.ndarray:
    """Return the index each output sample copies, in exact integers.

    `half`: floor((x + ½)·in/out); `legacy`: floor(x·in/out); `corner`: the nearest to x·(in − 1)/(out − 1), half up.
    """
    x = np.arange(n_out, dtype=np.int64)
    if pixel_centers == "half":
        index = (2 * x + 1) * n_in // (2 * n_out)
    elif pixel_centers == "legacy":
        index = x * n_in // n_out
    else:
        span = max(n_out - 1, 1)
        index = (2 * x * (n_in - 1) + span) // (2 * span)
    return np.minimum(index, n_in - 1)


def taps(n_in: int, n_out: int, stage: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return (index, weight), each (n_out, taps), for a resize `stage`; weights of one output sum to 1."""
    if n_in < 1 or n_out < 1:
        raise BadInputError(
            "nothing to resample",
            expected="at least one sample",
            got=f"{n_in} to {n_out}",
            fix="check the sizes of picture and result",
        )
    if stage.kernel == "nearest":
        return nearest_index(n_in, n_out, stage.pixel_centers)[:, None], np.ones((n_out, 1))
    if stage.kernel == "area":
        return _area(n_in, n_out)
    support = {"bilinear": 1, "bicubic": 2}.get(stage.kernel) or stage.lobes
    at = positions(n_in, n_out, stage.pixel_centers)
    wide = max(n_in / n_out, 1.0) if stage.antialias else 1.0
    reach = int(np.ceil(support * wide)) + 1
    index = np.floor(at).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
    weight = kernel(
        stage.kernel, (index - at[:, None]) / wide, cubic_a=stage.cubic_a, lobes=stage.lobes
    )
    if stage.edge == "renormalize":
        weight = np.where((index >= 0) & (index < n_in), weight, 0.0)
    return _trimmed(np.clip(index, 0, n_in - 1), weight)


def _trimmed(index: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop taps that never count, and make each row sum to one (summed in a fixed order)."""
    used = (weight != 0).any(axis=0)
    index, weight = index[:, used], weight[:, used]
    total = np.zeros(len(weight))
    for k in range(weight.shape[1]):
        total = total + weight[:, k]
    return index, weight / total[:, None]


def _area(n_in: int, n_out: int) -> tuple[np.ndarray, np.ndarray]:
    """Average by coverage: output x covers [x·in, (x+1)·in), input i covers [i·out, (i+1)·out) on a common grid."""
    x = np.arange(n_out, dtype=np.int64)
    first = x * n_in // n_out
    count = int(max((-(-(x + 1) * n_in // n_out)) - first))
    index = first[:, None] + np.arange(count)
    overlap = np.minimum((x[:, None] + 1) * n_in, (index + 1) * n_out) - np.maximum(
        x[:, None] * n_in, index * n_out
    )
    return np.clip(index, 0, n_in - 1), np.maximum(overlap, 0) / n_in


def along(array: np.ndarray, axis: int, index: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return Σ weight·array[index] along `axis` (0 or 1) as float64, summed tap by tap."""
    shape = [1] * array.ndim
    shape[axis] = len(index)

    def tap(k: int) -> np.ndarray:
        return np.take(array, index[:, k], axis=axis) * weight[:, k].reshape(shape)

    total = tap(0)
    for k in range(1, index.shape[1]):
        np.add(total, tap(k), out=total)
    return total


def resize(image: np.ndarray, size: tuple[int, int], stage: Any) -> np.ndarray:
    """Resample height × width × channel to `size` (width, height); float64, not rounded but between 8-bit passes.

    `nearest` copies and keeps the dtype.
    """
    h, w = image.shape[:2]
    across, down = taps(w, size[0], stage), taps(h, size[1], stage)
    if stage.kernel == "nearest":
        return image[down[0][:, 0]][:, across[0][:, 0]]
    if stage.passes is None:
        return along(along(image.astype(np.float64), 1, *across), 0, *down)
    passes = [(1, across), (0, down)]
    if stage.passes == "uint8_vertical_first":
        passes.reverse()
    for axis, weights in passes:
        # Pillow leaves out a pass that changes no size
        if image.shape[axis] != (size[1], size[0])[axis]:
            image = to_pixels(along(image, axis, *weights), "half_up")
    return image.astype(np.float64)
