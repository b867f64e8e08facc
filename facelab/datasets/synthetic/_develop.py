"""From linear light of visible points to code values of a picture at its own size."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import kernel
from facelab.datasets.synthetic._numerics import power
from facelab.datasets.synthetic.camera._optics import FULL
from facelab.datasets.synthetic.geometry._raster import NOTHING

CODES = 65535


@cache
def gamma_codes() -> np.ndarray:
    """Return the code value 0 … 4095 of linear light k / 65535, rounded."""
    return np.rint(power(np.arange(CODES + 1) / float(CODES), 1 / 2.2) * FULL).astype(np.uint16)


@kernel
def develop(
    light: np.ndarray,
    gain: float,
    points: np.ndarray,
    codes: Any,
    width: int,
    factor: int,
    sums: np.ndarray,
) -> None:
    """Add code values and coverage of visible points to the pixels of a picture, `sums` (h, w, 4) int32.

    `width` is that of the working image, which has `factor` × `factor` pixels for each of the picture's.
    """
    row = first = 0
    for k in range(points.shape[0]):
        at = points[k]
        while at.pixel >= first + width:  # points come row by row
            row, first = row + 1, first + width
        pixel = sums[row // factor, (at.pixel - first) // factor]
        for c in range(3):
            x = np.float64(light[c, k]) * gain
            toned = min(max(x / (1.0 + 0.18 * x), 0.0), 1.0)
            pixel[c] += at.weight * codes[int(np.rint(toned * CODES))]
        pixel[3] += at.weight


@kernel
def finish(
    sums: Any,
    samples: Any,
    near: Any,
    on_face: Any,
    distance: Any,
    factor: float,
    colour: np.ndarray,
    alpha: np.ndarray,
    depth: np.ndarray,
    face: Any,
) -> None:
    """Write colour and coverage from sums over `samples` a pixel; depth in mm and face from the middle sample.

    A pixel of which less than half is covered has no depth.
    """
    scale = 1.0 / samples
    for i in range(alpha.shape[0]):
        for j in range(alpha.shape[1]):
            for c in range(3):
                colour[i, j, c] = sums[i, j, c] * scale
            alpha[i, j] = sums[i, j, 3] * scale
            y, x = i * factor + factor // 2, j * factor + factor // 2
            z, covered = near[y, x], 2 * sums[i, j, 3] >= samples
            depth[i, j] = (distance - z) * 100.0 if z > NOTHING and covered else np.nan
            face[i, j] = on_face[y, x] > 0 and covered


@kernel
def over(colour: np.ndarray, alpha: np.ndarray, behind: Any, out: np.ndarray) -> None:
    """Write a drawing over a background (h, w, 3) of whole code values."""
    for i in range(alpha.shape[0]):
        for j in range(alpha.shape[1]):
            for c in range(3):
                out[i, j, c] = int(np.rint(colour[i, j, c] + behind[i, j, c] * (1.0 - alpha[i, j])))


@kernel
def face_samples(points: np.ndarray, marks: np.ndarray, bit: int, on_face: np.ndarray) -> Any:
    """Mark the working pixels of points that carry a bit; return how many samples they cover."""
    total, flat = 0, on_face.reshape(-1)
    for k in range(points.shape[0]):
        if marks[k] & bit:
            flat[points[k].pixel] = 1
            total += points[k].weight
    return total


@kernel
def median_light(light: np.ndarray, marks: np.ndarray, bit: int, fallback: Any) -> Any:
    """Return the median luminance of points that carry a bit, to 1/4096 of linear light; `fallback` without any."""
    counts, n, last = np.zeros(4 * 4096, np.int64), 0, 4 * 4096 - 1
    for k in range(marks.shape[0]):
        if marks[k] & bit:
            level = (light[0, k] + light[1, k] + light[2, k]) * (4096.0 / 3)
            counts[min(max(int(level), 0), last)] += 1
            n += 1
    if n == 0:
        return fallback
    below = 0
    for k in range(last + 1):
        below += counts[k]
        if 2 * below > n:
            return (k + 0.5) / 4096.0
    return 4.0
