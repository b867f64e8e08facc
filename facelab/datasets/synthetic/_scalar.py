"""Elementary functions of one number for compiled code: sums, products, quotients and square roots only.

IEEE 754 fixes these operations to the last bit, so that every processor draws the same bytes. All work is in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import part

END = 9.0  # exp(-9) is a thirtieth of one step of an 8-bit picture
PI = 3.141592653589793


@part
def sq(x: float) -> float:
    """Return x squared."""
    return x * x


@part
def clip(x: float, low: float, high: float) -> float:
    """Return x held within low … high."""
    return min(max(x, low), high)


@part
def step(a: float, b: float, x: float) -> float:
    """Return the smooth step 3t² − 2t³ that rises from 0 at `a` to 1 at `b` (or falls, where a > b)."""
    t = min(max((x - a) * (1.0 / (b - a)), 0.0), 1.0)  # one factor where a and b are constants
    return t * t * (3.0 - 2.0 * t)


@part
def bell(d2: float) -> float:
    """Return exp(-d2) for d2 >= 0, zero from 9 on: a cubic of d2/64, squared six times, off by less than 2e-6."""
    if d2 >= END:
        return 0.0
    t = d2 * (1.0 / 64)
    e = 1.0 - t * (1.0 - t * (0.5 - t * (1.0 / 6)))
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    return e * e


@part
def logistic(x: float) -> Any:
    """Return 1 / (1 + exp(-x)), absolute error < 2e-4, exactly 0 or 1 from ±9 on."""
    b = bell(abs(x))
    low = b / (1.0 + b)
    return 1.0 - low if x >= 0.0 else low


@part
def wave(x: float) -> Any:
    """Return sin x for radians, absolute error < 5e-6."""
    turns = np.floor(x * (1.0 / PI) + 0.5)
    r = x - turns * PI
    s = r * r
    y = r * (1.0 - s * (1 / 6 - s * (1 / 120 - s * (1 / 5040 - s * (1 / 362880)))))
    return -y if int(turns) & 1 else y


@part
def power_3_4(x: float) -> Any:
    """Return x**0.75."""
    h = np.sqrt(x)
    return h * np.sqrt(h)


@part
def power_5_4(x: float) -> Any:
    """Return x**1.25."""
    return x * np.sqrt(np.sqrt(x))


@part
def power_3_2(x: float) -> Any:
    """Return x**1.5."""
    return x * np.sqrt(x)


@part
def power_7_4(x: float) -> Any:
    """Return x**1.75."""
    h = np.sqrt(x)
    return x * h * np.sqrt(h)


@part
def power_9_4(x: float) -> Any:
    """Return x**2.25."""
    return x * x * np.sqrt(np.sqrt(x))


@part
def power_5_2(x: float) -> Any:
    """Return x**2.5."""
    return x * x * np.sqrt(x)


@part
def power(x: float, p: float) -> Any:
    """Return x**p for 1e-9 <= x <= 4 and 0 < p < 8 (0 for smaller x), relative error < 1e-8."""
    if x < 1e-9:
        return 0.0
    # log2 of x: halve or double into [0.7, 1.4), then the series of 2·artanh
    e = 0.0
    while x < 0.7071067811865476:
        x *= 2.0
        e -= 1.0
    while x > 1.4142135623730951:
        x *= 0.5
        e += 1.0
    s = (x - 1.0) / (x + 1.0)
    z = s * s
    log = 2.0 * s * (1 + z * (1 / 3 + z * (1 / 5 + z * (1 / 7 + z * (1 / 9 + z / 11)))))
    total = p * (e * 0.6931471805599453 + log)
    k = np.floor(total * 1.4426950408889634 + 0.5)
    r = total - k * 0.6931471805599453
    out = 1 + r * (
        1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r / 5040)))))
    )
    while k < 0.0:
        out *= 0.5
        k += 1.0
    while k > 0.0:
        out *= 2.0
        k -= 1.0
    return out
