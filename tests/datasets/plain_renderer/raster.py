"""A z-buffer triangle rasteriser in fixed-point arithmetic.

Corners are rounded to 1/64 pixel and edges are evaluated in integers, so that neighbouring triangles leave no cracks
and no machine decides a border pixel differently. Depth and attributes are interpolated with plain float operations
that the compiler may not fuse (Numba's `fastmath` stays off).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit as compiled

SUBPIXEL = 64
NOTHING = -3.0  # the depth of an empty pixel (100 mm; behind every head)


@cache
def quads(rows: int, columns: int) -> np.ndarray:
    """Return the triangles (2·(rows−1)·(columns−1), 3) of a grid of vertices, int32."""
    k = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = k[:-1, :-1], k[:-1, 1:], k[1:, :-1], k[1:, 1:]
    return np.concatenate(
        [np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)]
    )


@compiled
def _fill(px, py, z, triangles, best, depth, weights):
    height, width = best.shape
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        xa, ya, xb, yb, xc, yc = px[a], py[a], px[b], py[b], px[c], py[c]
        area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        if area == 0:
            continue
        if area < 0:
            b, c = c, b
            xb, yb, xc, yc = xc, yc, xb, yb
            area = -area
        # pixel centres lie at odd multiples of half a pixel
        x0 = max(0, (min(xa, xb, xc) - SUBPIXEL // 2) // SUBPIXEL)
        x1 = min(width - 1, (max(xa, xb, xc) + SUBPIXEL // 2) // SUBPIXEL)
        y0 = max(0, (min(ya, yb, yc) - SUBPIXEL // 2) // SUBPIXEL)
        y1 = min(height - 1, (max(ya, yb, yc) + SUBPIXEL // 2) // SUBPIXEL)
        scale = 1.0 / area
        for i in range(y0, y1 + 1):
            cy = i * SUBPIXEL + SUBPIXEL // 2
            for j in range(x0, x1 + 1):
                cx = j * SUBPIXEL + SUBPIXEL // 2
                ea = (xc - xb) * (cy - yb) - (yc - yb) * (cx - xb)
                eb = (xa - xc) * (cy - yc) - (ya - yc) * (cx - xc)
                ec = area - ea - eb
                if ea < 0 or eb < 0 or ec < 0:
                    continue
                wa, wb, wc = ea * scale, eb * scale, ec * scale
                zz = z[a] * wa + z[b] * wb
                zz = zz + z[c] * wc
                if zz > depth[i, j]:
                    depth[i, j] = zz
                    best[i, j] = t
                    weights[i, j, 0] = wa
                    weights[i, j, 1] = wb
                    weights[i, j, 2] = wc


@compiled
def _gather(pixels, best, weights, px, py, triangles, attributes, out):
    """Interpolate vertex attributes at the winning triangles of the given pixels."""
    width = best.shape[1]
    for k in range(pixels.shape[0]):
        i, j = pixels[k] // width, pixels[k] % width
        t = best[i, j]
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if (px[b] - px[a]) * (py[c] - py[a]) - (px[c] - px[a]) * (py[b] - py[a]) < 0:
            b, c = c, b
        wa, wb, wc = weights[i, j, 0], weights[i, j, 1], weights[i, j, 2]
        for n in range(attributes.shape[1]):
            s = attributes[a, n] * wa + attributes[b, n] * wb
            out[k, n] = s + attributes[c, n] * wc


def rasterize(
    screen: np.ndarray,
    depth: np.ndarray,
    triangles: np.ndarray,
    attributes: np.ndarray,
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw triangles with a z-buffer and interpolate what their corners carry.

    `screen` (n, 2) pixel positions of the corners, `depth` (n,) towards the camera, `triangles` (t, 3) indices,
    `attributes` (n, k) float32, `size` (width, height).
    Returns (covered pixels as flat indices, their triangle numbers, their attributes (m, k) float32, the depth
    image (height, width) float32 with NOTHING where no triangle is).
    """
    width, height = size
    limit = 1 << 20  # far outside any image, and small enough that products stay within int64
    p = np.clip(np.rint(screen * SUBPIXEL), -limit * SUBPIXEL, limit * SUBPIXEL).astype(np.int64)
    px, py = np.ascontiguousarray(p[:, 0]), np.ascontiguousarray(p[:, 1])
    best = np.full((height, width), -1, np.int32)
    buffer = np.full((height, width), NOTHING, np.float64)
    weights = np.zeros((height, width, 3), np.float64)
    _fill(px, py, depth.astype(np.float64), triangles, best, buffer, weights)
    pixels = np.flatnonzero(best.ravel() >= 0)
    out = np.empty((len(pixels), attributes.shape[1]), np.float32)
    _gather(
        pixels, best, weights, px, py, triangles, np.ascontiguousarray(attributes, np.float32), out
    )
    return pixels, best.ravel()[pixels], out, buffer.astype(np.float32)
