"""Tileable noise textures: white noise shaped in Fourier space, once a process."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import part
from facelab.datasets.synthetic._numerics import F, exp, power
from facelab.datasets.synthetic._stream import Stream

TILE = 512
STEPS = 64  # textures are rounded to 1/64 standard deviation: the FFT's last bits differ between machines
NAMES = ("cloud", "mottle", "pore", "strand", "hair", "grain")
CLOUD, MOTTLE, PORE, STRAND, HAIR, GRAIN = range(6)
_MASK, _STEP = TILE - 1, 1.0 / STEPS


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


@cache
def textures() -> np.ndarray:
    """Return all textures in the order of NAMES, in whole steps: (6, 512, 512) int16."""
    return np.stack([np.rint(texture(name) * STEPS).astype(np.int16) for name in NAMES])


@part
def lookup(noise: np.ndarray, name: int, u: float, v: float) -> Any:
    """Return the value of a texture (CLOUD … GRAIN) at (u, v) in texels, nearest, repeated beyond the tile."""
    return noise[name, int(v) & _MASK, int(u) & _MASK] * _STEP


@part
def smooth(noise: np.ndarray, name: int, u: float, v: float) -> Any:
    """Return the value of a texture at (u, v) in texels, bilinear, repeated beyond the tile."""
    u0, v0 = np.floor(u), np.floor(v)
    fu, fv = u - u0, v - v0
    i, j = int(v0) & _MASK, int(u0) & _MASK
    below, right = (i + 1) & _MASK, (j + 1) & _MASK
    top = noise[name, i, j] * (1.0 - fu) + noise[name, i, right] * fu
    bottom = noise[name, below, j] * (1.0 - fu) + noise[name, below, right] * fu
    return (top * (1.0 - fv) + bottom * fv) * _STEP
