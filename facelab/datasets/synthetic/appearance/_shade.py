"""How a painted depth image answers to light: openness, cast shadows, diffuse light and highlights."""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import kernel
from facelab.datasets.synthetic._numerics import F
from facelab.datasets.synthetic.appearance._light import Lamp, Lighting
from facelab.datasets.synthetic.appearance._paint import BLUE, GLOSS, GREEN, NX, NY, NZ, OPEN, RED
from facelab.datasets.synthetic.camera._filters import gaussian_blur
from facelab.datasets.synthetic.geometry._raster import NOTHING

DEPTH_STEPS = 4096  # depth is rounded to 1/4096 unit before it is summed, so that sums are exact
SHADOW_REACH = (0.03, 0.06, 0.10, 0.15, 0.21, 0.28, 0.38, 0.50, 0.65)
SHADOW_STEPS = 1024
WRAP = (1.5, 1.0, 0.8)  # light goes round an edge of skin the farther the redder it is
_COUNT_BITS = 24  # a sum of depths and the number of its terms share one whole number
_LIFT = 4  # added to depths, so that they are positive


@kernel
def openness(depth: np.ndarray, scale: float, strength: float) -> np.ndarray:
    """Return how open each covered pixel is (1 = open), from how far it lies behind the mean depth around it.

    `depth` (h, w) float32 towards the camera in 100 mm, NOTHING where nothing is; `scale` in pixels per 100 mm.
    """
    h, w = depth.shape
    small, large = max(1, int(0.055 * scale)), max(1, int(0.20 * scale))
    sums = _summed(depth, large)
    out = np.ones((h, w), np.float32)
    row = np.empty(w)
    for radius, gain in ((small, 2.6), (large, 1.15)):
        fewest = (2 * radius + 1) * (2 * radius + 1) // 50 + 1
        for i in range(h):
            y0, y1 = max(0, i - radius), min(h, i + radius + 1)
            first, last = large - radius, large + radius + 1
            for j in range(w):
                box = sums[y1, j + last] - sums[y0, j + last]
                box -= sums[y1, j + first] - sums[y0, j + first]
                n = box & ((1 << _COUNT_BITS) - 1)
                total = (box >> _COUNT_BITS) - n * (_LIFT * DEPTH_STEPS)
                row[j] = total / (max(n, fewest) * DEPTH_STEPS)
            for j in range(w):
                behind = (row[j] - depth[i, j] - 0.01) * (gain * strength)
                out[i, j] *= 1.0 - min(max(behind, 0.0), 0.6)
    return out


@kernel
def _summed(depth: np.ndarray, margin: int) -> np.ndarray:
    """Return sums of (depth, 1) over all covered pixels above and left: (h + 1, w + 2·margin + 1)."""
    h, w = depth.shape
    sums = np.zeros((h + 1, w + 2 * margin + 1), np.int64)
    for i in range(h):
        total = 0
        for j in range(w):
            if depth[i, j] != NOTHING:
                z = np.int64(np.rint((depth[i, j] + _LIFT) * DEPTH_STEPS))
                total += (z << _COUNT_BITS) + 1
            sums[i + 1, j + margin + 1] = sums[i, j + margin + 1] + total
        for j in range(w + margin + 1, sums.shape[1]):
            sums[i + 1, j] = sums[i + 1, w + margin]
    return sums


@kernel
def _blocked(depth: np.ndarray, offsets: np.ndarray, drops: np.ndarray, out: np.ndarray) -> None:
    """Write how much of a lamp's light each pixel loses to what stands before it (0 … SHADOW_STEPS)."""
    h, w = depth.shape
    slope, zero, one = np.float32(25.0), np.float32(0.0), np.float32(1.0)
    far, steps = np.float32(0.75), np.float32(SHADOW_STEPS)
    row = np.empty(w, np.float32)
    for i in range(h):
        for j in range(w):
            row[j] = zero
        for k in range(offsets.shape[0]):
            dx, y, drop = offsets[k, 0], i + offsets[k, 1], drops[k]
            if y < 0 or y >= h:
                continue
            for j in range(max(0, -dx), min(w, w - dx)):
                rise = depth[y, j + dx] - depth[i, j] - drop
                block = min(max(rise * slope, zero), one)
                row[j] = max(row[j], block if rise < far else zero)
        for j in range(w):
            out[i, j] = np.int32(np.rint(row[j] * steps))


def cast_shadow(depth: np.ndarray, lamp: Lamp, scale: float, softness: float) -> np.ndarray:
    """Return how far each pixel is in the shadow of what stands before the lamp, int32 0 … SHADOW_STEPS.

    `scale` is that of the depth image in pixels per 100 mm; the shadow's edge is `softness` (100 mm) wide.
    """
    lx, ly, lz = lamp.direction
    across = float(np.sqrt(lx * lx + ly * ly)) + 1e-4
    places = [
        (round(lx / across * t * scale), round(-ly / across * t * scale), t * lz / across + 0.015)
        for t in SHADOW_REACH
    ]
    places = [p for p in places if p[:2] != (0, 0)]
    out = np.zeros(depth.shape, np.int32)
    if places:
        offsets = np.array([p[:2] for p in places], np.int64)
        _blocked(depth, offsets, np.array([p[2] for p in places], F), out)
    return gaussian_blur(out, max(1.0, softness * scale))


@kernel
def _ambient(
    surface: Any, points: np.ndarray, open_pixels: np.ndarray, ambient: Any, out: np.ndarray
) -> None:
    """Fold the pixels' openness into the surface, and start `out` (3, n) with ambient light."""
    opens = open_pixels.ravel()
    a, b = np.float32(0.72), np.float32(0.28)
    for k in range(points.shape[0]):
        surface[OPEN, k] *= opens[points[k].pixel]
    for k in range(points.shape[0]):
        share = (a + b * surface[NY, k]) * surface[OPEN, k]
        out[0, k] = ambient[0] * share * surface[RED, k]
        out[1, k] = ambient[1] * share * surface[GREEN, k]
        out[2, k] = ambient[2] * share * surface[BLUE, k]


@kernel
def _add_lamp(
    surface: Any,
    lit: np.ndarray,
    direction: Any,
    half: Any,
    colour: np.ndarray,
    wrap: Any,
    inverse: Any,
    out: np.ndarray,
) -> None:
    """Add one lamp's diffuse light and highlights; `half` is the direction between lamp and camera."""
    zero, one, low, open_low = np.float32(0), np.float32(1), np.float32(0.35), np.float32(0.5)
    rest, broad, narrow = np.float32(0.65), np.float32(0.05), np.float32(0.09)
    for k in range(lit.shape[0]):
        nx, ny, nz = surface[NX, k], surface[NY, k], surface[NZ, k]
        opened = surface[OPEN, k]
        facing = nx * direction[0] + ny * direction[1] + nz * direction[2]
        cosine = min(max(nx * half[0] + ny * half[1] + nz * half[2], zero), one)
        c2 = cosine * cosine
        c4 = c2 * c2
        c8 = c4 * c4
        c12, c16 = c8 * c4, c8 * c8
        shine = broad * c12 + narrow * (c16 * c16) * c12
        shine = shine * surface[GLOSS, k] * lit[k] * (open_low + open_low * opened)
        share = lit[k] * (low + rest * opened)
        red = min(max((facing + wrap[0]) * inverse[0], zero), one) * share
        green = min(max((facing + wrap[1]) * inverse[1], zero), one) * share
        blue = min(max((facing + wrap[2]) * inverse[2], zero), one) * share
        out[0, k] += colour[0] * (red * surface[RED, k] + shine)
        out[1, k] += colour[1] * (green * surface[GREEN, k] + shine)
        out[2, k] += colour[2] * (blue * surface[BLUE, k] + shine)


@kernel
def _lit(shadow: Any, points: np.ndarray, width: int, strength: float, out: np.ndarray) -> None:
    """Write the share of a lamp's light that reaches each point; `shadow` has half the pixels along each side."""
    h, w = shadow.shape
    share = np.float32(strength / (16 * SHADOW_STEPS))
    i = first = 0
    for k in range(points.shape[0]):
        while points[k].pixel >= first + width:  # points come row by row
            i, first = i + 1, first + width
        j = points[k].pixel - first
        # between the centres of four coarse pixels: a quarter of the way in each direction
        y, x = i >> 1, j >> 1
        other_y, other_x = (
            min(max(y - 1 + 2 * (i & 1), 0), h - 1),
            min(max(x - 1 + 2 * (j & 1), 0), w - 1),
        )
        total = 3 * (3 * shadow[y, x] + shadow[y, other_x])
        total += 3 * shadow[other_y, x] + shadow[other_y, other_x]
        out[k] = np.float32(1) - np.float32(total) * share


def shade(
    surface: np.ndarray, points: np.ndarray, depth: np.ndarray, lighting: Lighting, scale: float
) -> np.ndarray:
    """Return linear light (3, n) float32 of painted points (see `paint`); changes their openness in place."""
    out = np.empty((3, surface.shape[1]), F)
    open_pixels = openness(depth, scale, 0.82)
    _ambient(surface, points, open_pixels, np.array(lighting.ambient, F) * F(1.04), out)
    # shadows are soft: half the pixels along each side show them as well
    coarse = np.ascontiguousarray(depth[::2, ::2])
    wrap = np.array(WRAP) * lighting.wrap
    lit = np.ones(len(points), F)
    for lamp in lighting.lamps:
        if lamp.power > 0.25:
            shadow = cast_shadow(coarse, lamp, scale / 2, lighting.shadow_softness)
            _lit(shadow, points, depth.shape[1], lighting.shadow_strength, lit)
        else:
            lit[:] = 1
        lx, ly, lz = lamp.direction
        length = float(np.sqrt(lx * lx + ly * ly + (lz + 1) * (lz + 1)))
        _add_lamp(
            surface,
            lit,
            np.array(lamp.direction, F),
            np.array((lx / length, ly / length, (lz + 1) / length), F),
            np.array(lamp.colour, F) * F(lamp.power),
            wrap.astype(F),
            (1 / (1 + wrap)).astype(F),
            out,
        )
    return out
