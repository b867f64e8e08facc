"""Elementary functions that give the same bits on every machine.

IEEE 754 fixes the result of `+ - * / sqrt`, comparisons, rounding and integer arithmetic to the last bit; it does not
fix `exp`, `sin` or `pow`, and NumPy, the C library and OpenCV choose other code for them on other processors. The
renderer therefore uses only the fixed operations: this module builds `exp`, `log`, `sin` and `cos` from them in
float64 (argument reduction and a Taylor series), and tables of them for large float32 arrays. Powers are made of
square roots. Sums whose order a processor may choose (`np.sum`, `np.mean`, `@` on fractions) are avoided as well.
"""

from __future__ import annotations

from functools import cache

import numpy as np

F = np.float32
LN2_HI, LN2_LO = (
    0.6931471803691238,
    1.9082149292705877e-10,
)  # fdlibm: k * LN2_HI is exact for |k| < 2**20
HALF_PI_HI, HALF_PI_LO = 1.5707963267341256, 6.077100506506192e-11
DEGREE = 0.017453292519943295
TURN = 6.283185307179586


def _horner(x, coefficients):
    total = np.zeros_like(x)
    for c in coefficients:
        total = total * x + c
    return total


def _taylor(first: int, last: int, step: int, sign: int) -> list[float]:
    """Return sign**k / n! for n = last, last - step, ..., first (highest power first)."""
    out, factorial, s = [], 1, 1
    for n in range(last + 1):
        factorial *= max(n, 1)
        if n >= first and (n - first) % step == 0:
            out.append(s / factorial)
            s *= sign
    return out[::-1]


_EXP = _taylor(0, 14, 1, 1)
_SIN = _taylor(1, 17, 2, -1)
_COS = _taylor(0, 18, 2, -1)


def exp(x):
    """Return e**x in float64 (a float for a float); |relative error| < 1e-15.

    >>> float(abs(exp(1.0) - 2.718281828459045)) < 1e-15
    True
    """
    x = np.asarray(x, np.float64)
    k = np.rint(x * 1.4426950408889634)
    r = (x - k * LN2_HI) - k * LN2_LO
    return _plain(np.ldexp(_horner(r, _EXP), k.astype(np.int32)))


def log(x):
    """Return the natural logarithm of x > 0 in float64; absolute error < 1e-15 near 1."""
    m, e = np.frexp(np.asarray(x, np.float64))
    low = m < 0.7071067811865476
    m, e = np.where(low, 2 * m, m), e - low
    s = (m - 1) / (m + 1)
    return _plain(
        e * LN2_HI + (2 * s * _horner(s * s, [1 / n for n in range(23, 0, -2)]) + e * LN2_LO)
    )


def power(x, p):
    """Return x**p for x >= 0 in float64; for small arrays, `roots` is quicker on large ones."""
    x = np.asarray(x, np.float64)
    return _plain(np.where(x > 0, np.asarray(exp(p * np.asarray(log(np.maximum(x, 1e-300))))), 0.0))


def sincos(x):
    """Return (sin x, cos x) in float64 for radians |x| < 1e5; absolute error < 1e-14."""
    x = np.asarray(x, np.float64)
    q = np.rint(x * 0.6366197723675814)
    r = (x - q * HALF_PI_HI) - q * HALF_PI_LO
    s, c = r * _horner(r * r, _SIN), _horner(r * r, _COS)
    q = q.astype(np.int64) & 3
    sin = np.where(q == 0, s, np.where(q == 1, c, np.where(q == 2, -s, -c)))
    cos = np.where(q == 0, c, np.where(q == 1, -s, np.where(q == 2, -c, s)))
    return _plain(sin), _plain(cos)


def sin(x):
    """Return sin x in float64, see `sincos`."""
    return sincos(x)[0]


def cos(x):
    """Return cos x in float64, see `sincos`."""
    return sincos(x)[1]


def _plain(x):
    return float(x) if np.ndim(x) == 0 else x


# ---------------------------------------------------------------- tables for large float32 arrays
_BELL_END, _BELL_STEPS = 12.0, 1 << 14
_LOGISTIC_END, _LOGISTIC_STEPS = 12.0, 1 << 13
_WAVE_STEPS = 1 << 12


@cache
def _bell_table() -> np.ndarray:
    x = np.arange(_BELL_STEPS + 1) * (_BELL_END / _BELL_STEPS)
    table = exp(-x).astype(F)
    table[-1] = 0
    return table


def bell(d2: np.ndarray) -> np.ndarray:
    """Return exp(-d2) for d2 >= 0, float32, nearest entry of a table: absolute error < 4e-4, zero beyond 12."""
    scaled = np.minimum(d2, F(_BELL_END)) * F(_BELL_STEPS / _BELL_END) + F(0.5)
    return _bell_table().take(scaled.astype(np.int32))


@cache
def _logistic_table() -> np.ndarray:
    x = np.arange(-_LOGISTIC_STEPS, _LOGISTIC_STEPS + 1) * (_LOGISTIC_END / _LOGISTIC_STEPS)
    return (1 / (1 + exp(-x))).astype(F)


def logistic(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)), float32, nearest entry of a table: absolute error < 4e-4."""
    scaled = np.clip(x, F(-_LOGISTIC_END), F(_LOGISTIC_END)) * F(_LOGISTIC_STEPS / _LOGISTIC_END)
    return _logistic_table().take((scaled + F(_LOGISTIC_STEPS + 0.5)).astype(np.int32))


@cache
def _wave_table() -> np.ndarray:
    return sin(np.arange(_WAVE_STEPS) * (TURN / _WAVE_STEPS)).astype(F)


def wave(x: np.ndarray) -> np.ndarray:
    """Return sin x for radians, float32, nearest entry of a table: absolute error < 8e-4."""
    return _wave_table().take(
        np.floor(x * F(_WAVE_STEPS / TURN) + F(0.5)).astype(np.int32) & (_WAVE_STEPS - 1)
    )


def roots(x: np.ndarray, quarters: int) -> np.ndarray:
    """Return x**(quarters / 4) for x >= 0 with products and square roots only.

    >>> float(roots(np.float64(16.0), 3)), float(roots(np.float64(16.0), 5))
    (8.0, 32.0)
    """
    whole, rest = divmod(quarters, 4)
    out = None
    for _ in range(whole):
        out = x if out is None else out * x
    if rest:
        half = np.sqrt(x)
        if rest & 2:
            out = half if out is None else out * half
        if rest & 1:
            quarter = np.sqrt(half)
            out = quarter if out is None else out * quarter
    return out


def step(a: float, b: float, x):
    """Return the smooth step 3t² − 2t³ that rises from 0 at `a` to 1 at `b` (or falls, where a > b)."""
    t = np.clip((x - a) * (1.0 / (b - a)), 0, 1)
    return t * t * (3 - 2 * t)


def sq(x):
    """Return x * x: the only power that needs no function."""
    return x * x


def interpolate(x, xp, fp):
    """Interpolate linearly as `np.interp` does (xp rising, ends held), in float64 and one rounding a step."""
    x, xp, fp = np.asarray(x, np.float64), np.asarray(xp, np.float64), np.asarray(fp, np.float64)
    k = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, len(xp) - 2)
    t = np.clip((x - xp[k]) / (xp[k + 1] - xp[k]), 0, 1)
    return _plain(fp[k] + t * (fp[k + 1] - fp[k]))


# ---------------------------------------------------------------- vectors
def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Return the 3×3 float64 rotation roll · pitch · yaw for degrees: x right, y up, z to the camera.

    Yaw > 0 turns the face to the image's right, pitch > 0 lifts the chin, roll > 0 turns anticlockwise as seen.
    """
    sy, cy = sincos(yaw * DEGREE)
    sp, cp = sincos(-pitch * DEGREE)
    sr, cr = sincos(roll * DEGREE)
    # the product written out: matrix multiplication may fuse its operations
    a, b, c = (cy, 0.0, sy), (sp * sy, cp, -sp * cy), (-cp * sy, sp, cp * cy)
    return np.array(
        [
            [cr * a[k] - sr * b[k] for k in range(3)],
            [sr * a[k] + cr * b[k] for k in range(3)],
            list(c),
        ]
    )


def rotate(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply a 3×3 matrix to vectors in the last axis, float32, in a fixed order of operations."""
    m = matrix.astype(F)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return np.stack([x * m[k, 0] + y * m[k, 1] + z * m[k, 2] for k in range(3)], -1)


def unit(v: np.ndarray) -> np.ndarray:
    """Return vectors of the last axis (length 3) divided by their length."""
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    return v / (np.sqrt(x * x + y * y + z * z) + F(1e-9))[..., None]
