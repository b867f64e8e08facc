"""Elementary functions that give the same bits on every machine.

IEEE 754 fixes the result of `+ - * / sqrt`, comparisons, rounding and integer arithmetic to the last bit; it does not
fix `exp`, `sin` or `pow`, and NumPy, the C library and OpenCV choose other code for them on other processors. The
renderer therefore uses only the fixed operations: this module builds `exp`, `log`, `sin` and `cos` from them in
float64 (argument reduction and a Taylor series); `_scalar` has quick ones for compiled code. Sums
whose order a processor may choose (`np.sum`, `np.mean`, `@` on fractions) are avoided as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np

F = np.float32
LN2_HI, LN2_LO = (
    0.6931471803691238,
    1.9082149292705877e-10,
)  # fdlibm: k * LN2_HI is exact for |k| < 2**20
HALF_PI_HI, HALF_PI_LO = 1.5707963267341256, 6.077100506506192e-11
DEGREE = 0.017453292519943295
TURN = 6.283185307179586


def _horner(x: Any, coefficients: list[float]) -> Any:
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
_LOG = [1 / n for n in range(23, 0, -2)]


def _horner_one(x: float, coefficients: list[float]) -> float:
    total = 0.0
    for c in coefficients:
        total = total * x + c
    return total


def exp(x: Any) -> Any:
    """Return e**x in float64 (a float for a float); |relative error| < 1e-15.

    Examples
    --------
    >>> float(abs(exp(1.0) - 2.718281828459045)) < 1e-15
    True
    """
    if isinstance(x, (float, int)):
        k = round(x * 1.4426950408889634)
        r = (x - k * LN2_HI) - k * LN2_LO
        return _horner_one(r, _EXP) * 2.0**k
    x = np.asarray(x, np.float64)
    k = np.rint(x * 1.4426950408889634)
    r = (x - k * LN2_HI) - k * LN2_LO
    return _plain(np.ldexp(_horner(r, _EXP), k.astype(np.int32)))


def log(x: Any) -> Any:
    """Return the natural logarithm of x > 0 in float64; absolute error < 1e-15 near 1."""
    if isinstance(x, (float, int)):
        m, e = (v.item() for v in np.frexp(float(x)))
        if m < 0.7071067811865476:
            m, e = 2 * m, e - 1
        s = (m - 1) / (m + 1)
        return e * LN2_HI + (2 * s * _horner_one(s * s, _LOG) + e * LN2_LO)
    m, e = np.frexp(np.asarray(x, np.float64))
    low = m < 0.7071067811865476
    m, e = np.where(low, 2 * m, m), e - low
    s = (m - 1) / (m + 1)
    return _plain(e * LN2_HI + (2 * s * _horner(s * s, _LOG) + e * LN2_LO))


def power(x: Any, p: float) -> Any:
    """Return x**p for x >= 0 in float64; for small arrays, `roots` is quicker on large ones."""
    if isinstance(x, (float, int)):
        return exp(p * log(max(x, 1e-300))) if x > 0 else 0.0
    x = np.asarray(x, np.float64)
    return _plain(np.where(x > 0, np.asarray(exp(p * np.asarray(log(np.maximum(x, 1e-300))))), 0.0))


def sincos(x: Any) -> tuple[float, float] | tuple[float | Any, float | Any]:
    """Return (sin x, cos x) in float64 for radians |x| < 1e5; absolute error < 1e-14."""
    if isinstance(x, (float, int)):
        q = round(x * 0.6366197723675814)
        r = (x - q * HALF_PI_HI) - q * HALF_PI_LO
        s, c = r * _horner_one(r * r, _SIN), _horner_one(r * r, _COS)
        return ((s, c), (c, -s), (-s, -c), (-c, s))[q & 3]
    x = np.asarray(x, np.float64)
    q = np.rint(x * 0.6366197723675814)
    r = (x - q * HALF_PI_HI) - q * HALF_PI_LO
    s, c = r * _horner(r * r, _SIN), _horner(r * r, _COS)
    q = q.astype(np.int64) & 3
    sin = np.where(q == 0, s, np.where(q == 1, c, np.where(q == 2, -s, -c)))
    cos = np.where(q == 0, c, np.where(q == 1, -s, np.where(q == 2, -c, s)))
    return _plain(sin), _plain(cos)


def sin(x: Any) -> Any:
    """Return sin x in float64, see `sincos`."""
    return sincos(x)[0]


def cos(x: Any) -> Any:
    """Return cos x in float64, see `sincos`."""
    return sincos(x)[1]


def _plain(x: Any) -> Any:
    return float(x) if np.ndim(x) == 0 else x


def sq(x: Any) -> Any:
    """Return x * x: the only power that needs no function."""
    return x * x


def interpolate(x: Any, xp: Any, fp: Any) -> Any:
    """Interpolate linearly as `np.interp` does (xp rising, ends held), in float64 and one rounding a step."""
    if isinstance(x, float):
        k = max(0, min(sum(v <= x for v in xp) - 1, len(xp) - 2))
        t = min(1.0, max(0.0, (x - xp[k]) / (xp[k + 1] - xp[k])))
        return fp[k] + t * (fp[k + 1] - fp[k])
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
