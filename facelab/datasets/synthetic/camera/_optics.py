"""What a camera does to a picture: defocus, shake, exposure, sensor noise, JPEG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import kernel
from facelab.datasets.synthetic._numerics import DEGREE, F, sincos
from facelab.datasets.synthetic._stream import Stream, normal_table
from facelab.datasets.synthetic.camera._filters import TAP_BITS, gaussian_blur
from facelab.datasets.synthetic.camera._jpeg import jpeg_losses

FULL = 4095  # pictures are whole numbers 0 … 4095 (sRGB-like code values) until the camera writes 8 bits


@dataclass(frozen=True)
class Optics:
    """A camera's faults. Blur in pixels of the picture, noise and offset in 8-bit steps, `jpeg` None for lossless."""

    defocus: float = 0.0
    shake: float = 0.0
    shake_angle: float = 0.0
    gain: float = 1.0
    offset: float = 0.0
    noise: float = 0.0
    jpeg: int | None = None


def draw_optics(r: Stream, width: int, level: float = 1.0) -> Optics:
    """Draw the faults of one picture `width` pixels wide; `level` 0 is a perfect camera, 1 a phone in bad light."""
    defocus = r.uniform(0.3, 1.1) * level * width / 160 if r.chance(0.5 * level) else 0.0
    shake = r.uniform(1.5, 4.5) * level * min(width, 480) / 160 if r.chance(0.2 * level) else 0.0
    angle = r.uniform(0, 180)
    gain, offset = 1 + 0.12 * level * r.normal(), r.normal(0, 6 * level)
    noise = r.uniform(0, 7) * level
    jpeg = r.integer(45, 96) if r.chance(0.8 * level) else None
    return Optics(defocus, shake, angle, gain, offset, noise, jpeg)


def _shake_kernel(length: float, angle: float) -> list[tuple[int, int, int]]:
    """Return (dx, dy, weight) of a straight smear; weights sum to 4096."""
    s, c = sincos(angle * DEGREE)
    steps = max(2, int(length * 2) + 1)
    counts: dict[tuple[int, int], int] = {}
    for k in range(steps):
        t = (k / (steps - 1) - 0.5) * length
        place = (round(t * c), round(t * s))
        counts[place] = counts.get(place, 0) + 1
    unit = (1 << TAP_BITS) // steps
    taps = [(dx, dy, n * unit) for (dx, dy), n in counts.items()]
    rest = (1 << TAP_BITS) - sum(t[2] for t in taps)
    dx, dy, weight = taps[len(taps) // 2]
    taps[len(taps) // 2] = (dx, dy, weight + rest)
    return taps


@kernel
def _smear(image: np.ndarray, taps: np.ndarray, out: np.ndarray) -> None:
    """Write an image smeared by (dx, dy, weight) taps; the border is repeated."""
    h, w, _ = image.shape
    margin = 0
    for k in range(taps.shape[0]):
        margin = max(margin, abs(taps[k, 0]))
    wide = np.empty((h, 3 * (w + 2 * margin)), np.int32)
    for i in range(h):
        for j in range(-margin, w + margin):
            x = min(max(j, 0), w - 1)
            for c in range(3):
                wide[i, 3 * (j + margin) + c] = image[i, x, c]
    total = np.empty(3 * w, np.int32)
    flat = out.reshape(h, 3 * w)
    for i in range(h):
        for n in range(3 * w):
            total[n] = 1 << (TAP_BITS - 1)
        for k in range(taps.shape[0]):
            y, first = min(max(i + taps[k, 1], 0), h - 1), 3 * (margin + taps[k, 0])
            weight = np.int32(taps[k, 2])
            for n in range(3 * w):
                total[n] += wide[y, first + n] * weight
        for n in range(3 * w):
            flat[i, n] = total[n] >> TAP_BITS


@kernel
def _sense(
    image: np.ndarray,
    gain: float,
    offset: float,
    noise: np.ndarray,
    table: np.ndarray,
    draws: Any,
    out: np.ndarray,
) -> None:
    """Write 8-bit levels of code values, each with a normal draw of `noise` levels."""
    flat, levels = image.reshape(-1), out.reshape(-1)
    low, high = np.float32(0), np.float32(255)
    for k in range(flat.shape[0]):
        level = np.float32(flat[k]) * gain + offset
        if draws.shape[0] > 0:
            level = level + table[draws[k]] * noise
        levels[k] = np.uint8(min(max(np.rint(level), low), high))


def expose(image: np.ndarray, optics: Optics, r: Stream) -> np.ndarray:
    """Take the picture of an image (h, w, 3) of whole numbers 0 … 4095; returns uint8. `r` draws the noise."""
    x = np.ascontiguousarray(image, np.int32)
    if optics.defocus > 0.05:
        x = gaussian_blur(x, optics.defocus)
    if optics.shake > 0.5:
        smeared = np.empty_like(x)
        _smear(x, np.array(_shake_kernel(optics.shake, optics.shake_angle)), smeared)
        x = smeared
    draws = r.shorts(x.size if optics.noise > 0 else 0)
    out = np.empty(x.shape, np.uint8)
    gain = F(optics.gain * 255 / FULL)
    _sense(x, gain, F(optics.offset), F(optics.noise), normal_table(), draws, out)
    return jpeg_losses(out, optics.jpeg) if optics.jpeg else out
