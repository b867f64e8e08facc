"""Lights, and how a painted depth image answers to them."""

from __future__ import annotations

import numpy as np

from facelab.datasets.synthetic.appearance._light import Lamp, Lighting
from tests.datasets.plain_renderer.filters import box_blur, gaussian_blur
from tests.datasets.plain_renderer.numerics import F

DEPTH_STEPS = 4096  # depth is rounded to 1/4096 unit before it is summed, so that sums are exact
SHADOW_REACH = (0.03, 0.06, 0.10, 0.15, 0.21, 0.28, 0.38, 0.50, 0.65)


def ambient_occlusion(
    depth: np.ndarray, hit: np.ndarray, scale: float, strength: float = 0.82
) -> np.ndarray:
    """Return how open each pixel is (1 = open), from how far it lies behind the mean depth around it.

    `depth` (h, w) towards the camera in 100 mm, `hit` (h, w) bool, `scale` pixels per 100 mm.
    """
    z = np.where(hit, np.rint(depth * DEPTH_STEPS), 0).astype(np.int64)
    count = hit.astype(np.int64)
    out = np.ones(depth.shape, F)
    for radius, gain in ((0.055, 2.6), (0.20, 1.15)):
        r = max(1, int(radius * scale))
        n = box_blur(count, r)
        mean = (box_blur(z, r) / np.maximum(n, (2 * r + 1) * (2 * r + 1) // 50 + 1)) * (
            1.0 / DEPTH_STEPS
        )
        behind = np.clip((mean - depth - 0.01) * (gain * strength), 0, 0.6)
        out *= (1 - behind * hit).astype(F)
    return out


def cast_shadow(depth: np.ndarray, lamp: Lamp, scale: float, softness: float) -> np.ndarray:
    """Return how far each pixel is in the shadow of what stands before the lamp (0 … 1), float32."""
    h, w = depth.shape
    lx, ly, lz = lamp.direction
    across = float(np.sqrt(lx * lx + ly * ly)) + 1e-4
    shadow = np.zeros((h, w), F)
    for t in SHADOW_REACH:
        ox, oy = round(lx / across * t * scale), round(-ly / across * t * scale)
        y0, y1, x0, x1 = max(0, -oy), min(h, h - oy), max(0, -ox), min(w, w - ox)
        if (ox == 0 and oy == 0) or y1 <= y0 or x1 <= x0:
            continue
        rise = (
            depth[y0 + oy : y1 + oy, x0 + ox : x1 + ox]
            - depth[y0:y1, x0:x1]
            - F(t * lz / across + 0.015)
        )
        block = shadow[y0:y1, x0:x1]
        np.maximum(block, np.clip(rise * F(25), 0, 1) * (rise < F(0.75)), out=block)
    levels = np.rint(shadow * 1024).astype(np.int64)
    return gaussian_blur(levels, max(1.0, softness * scale)).astype(F) * F(1 / 1024)


def shade(
    albedo, normal, gloss, openness, pixels, depth, hit, lighting: Lighting, scale: float
) -> np.ndarray:
    """Return linear light (n, 3) of the visible points; `openness` (n,) multiplies ambient and part of the direct."""
    ny = normal[:, 1]
    out = (
        np.array(lighting.ambient, F) * F(1.04) * ((0.72 + 0.28 * ny) * openness)[:, None] * albedo
    )
    wrap = np.array([1.5, 1.0, 0.8], F) * F(lighting.wrap)
    for lamp in lighting.lamps:
        lx, ly, lz = (F(c) for c in lamp.direction)
        lit = np.ones(len(pixels), F)
        if lamp.power > 0.25:
            shadow = cast_shadow(depth, lamp, scale, lighting.shadow_softness)
            lit = 1 - shadow.ravel()[pixels] * F(lighting.shadow_strength)
        facing = normal[:, 0] * lx + ny * ly + normal[:, 2] * lz
        diffuse = (
            np.clip((facing[:, None] + wrap) / (1 + wrap), 0, 1)
            * (lit * (0.35 + 0.65 * openness))[:, None]
        )
        colour = np.array(lamp.colour, F) * F(lamp.power)
        out += colour * diffuse * albedo
        out += (
            colour
            * (_highlight(normal, lx, ly, lz) * gloss * lit * (0.5 + 0.5 * openness))[:, None]
        )
    return out


def _highlight(normal, lx, ly, lz) -> np.ndarray:
    """Return a broad and a narrow Blinn highlight for a camera far away on the z axis."""
    hz = lz + F(1)
    length = np.sqrt(lx * lx + ly * ly + hz * hz)
    cosine = np.clip((normal[:, 0] * lx + normal[:, 1] * ly + normal[:, 2] * hz) / length, 0, 1)
    c4 = (cosine * cosine) * (cosine * cosine)
    c8 = c4 * c4
    c12, c32 = c8 * c4, (c8 * c8) * (c8 * c8)
    return F(0.05) * c12 + F(0.09) * c32 * c12
