"""Texture lookups on whole arrays."""

from __future__ import annotations

import numpy as np

from facelab.datasets.synthetic._noise import TILE, texture
from tests.datasets.plain_renderer.numerics import F


def lookup(name: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return texture values at (u, v) in texels, nearest, repeated beyond the tile."""
    mask = TILE - 1
    row, column = np.asarray(v).astype(np.int32) & mask, np.asarray(u).astype(np.int32) & mask
    return texture(name).ravel().take(row * TILE + column)


def smooth(name: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return texture values at (u, v) in texels, bilinear, repeated beyond the tile."""
    u0, v0 = np.floor(u), np.floor(v)
    fu, fv = (u - u0).astype(F), (v - v0).astype(F)
    top = lookup(name, u0, v0) * (1 - fu) + lookup(name, u0 + 1, v0) * fu
    bottom = lookup(name, u0, v0 + 1) * (1 - fu) + lookup(name, u0 + 1, v0 + 1) * fu
    return top * (1 - fv) + bottom * fv
