"""Tileable noise textures: white noise shaped in Fourier space, once a process."""

from __future__ import annotations

from functools import cache

import numpy as np

from facelab.datasets.synthetic._numerics import F, exp, power
from facelab.datasets.synthetic._stream import Stream

TILE = 512
STEPS = 64  # textures are rounded to 1/64 standard deviation: the FFT's last bits differ between machines


def _shape(spectrum: np.ndarray, name: str) -> np.ndarray:
    white = np.fft.fft2(Stream(12345, "noise", name).normals((TILE, TILE)).astype(np.float64))
    shaped = white * spectrum
    shaped[0, 0] = 0
    texture = np.real(np.fft.ifft2(shaped))
    return (np.rint(texture / texture.std() * STEPS) / STEPS).astype(F)


@cache
def texture(name: str) -> np.ndarray:
    """Return a 512×512 float32 texture with mean 0 and deviation 1, in steps of 1/64.

    Names: `cloud` (soft blotches), `mottle` (finer), `pore` (a band of one size), `strand` and `hair` (streaks that
    run along v, long and short), `grain` (white, slightly soft).
    """
    fy = np.fft.fftfreq(TILE)[:, None]
    fx = np.fft.fftfreq(TILE)[None]
    radius = np.maximum(np.sqrt(fx * fx + fy * fy), 1 / TILE)
    across = np.maximum(np.abs(fx), 1 / TILE) + 0 * fy

    def band(x):
        return exp(-x * x)

    spectra = {
        "cloud": lambda: power(radius, -1.6),
        "mottle": lambda: power(radius, -1.1),
        "pore": lambda: band((radius - 0.12) / 0.06),
        "strand": lambda: band(fy / 0.008) / np.sqrt(across),
        "hair": lambda: band(fy / 0.02) * power(across, -0.3),
        "grain": lambda: band(radius / 0.3),
    }
    return _shape(spectra[name](), name)


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
