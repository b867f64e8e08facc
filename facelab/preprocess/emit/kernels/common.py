"""Kernels that are the same for every spec."""

from __future__ import annotations

from facelab.preprocess.emit.kernels._words import (
    Byte,
    Geometry,
    Int,
    Long,
    Real,
    byte,
    fabs,
    floor,
    long,
    real,
    whole,
)


def pixel_half_up(x: Real) -> Byte:
    """Limit to 0..255 and round half up; what is within 1e-9 below a tie counts as the tie."""
    v: Real = x if x > 0.0 else 0.0
    v = v if v < 255.0 else 255.0
    return byte(v + 0.500000001)


def pixel_half_even(x: Real) -> Byte:
    """Limit to 0..255 and round, ties to even; what is within 1e-9 of a tie counts as the tie."""
    v: Real = x if x > 0.0 else 0.0
    v = v if v < 255.0 else 255.0
    n: Int = whole(v + 0.500000001)
    if n % 2 == 1 and fabs(v + 0.5 - real(n)) < 0.000000001:
        n = n - 1
    return byte(n)


def pixel_truncate(x: Real) -> Byte:
    """Limit to 0..255 and drop the fraction; what is within 1e-9 below a whole number counts as it."""
    v: Real = x if x > 0.0 else 0.0
    v = v if v < 255.0 else 255.0
    return byte(v + 0.000000001)


def limited(x: Real, low: Real, high: Real) -> Real:
    """Return x within low..high; low where x is not a number."""
    v: Real = x if x > low else low
    return v if v < high else high


def too_large(w: Long, h: Long) -> bool:
    """Return whether an image has a side of 0 or above 65535, or more than 200 million pixels."""
    return w < 1 or h < 1 or w > 65535 or h > 65535 or w * h > 200000000


def edge_nearest(x: Real) -> Long:
    """Round a box's edge half up."""
    return long_floor(x + 0.5)


def long_floor(x: Real) -> Long:
    """Return the whole number at or below x, within what an image can have."""
    return long(floor(limited(x, -1000000000.0, 1000000000.0)))


def compose(g: Geometry, a: Real, b: Real, c: Real, d: Real, e: Real, f: Real) -> None:
    """Put the map (a b c; d e f) behind the one that leads from the upright picture to here."""
    m0: Real = a * g.m0 + b * g.m3
    m1: Real = a * g.m1 + b * g.m4
    m2: Real = a * g.m2 + b * g.m5 + c
    m3: Real = d * g.m0 + e * g.m3
    m4: Real = d * g.m1 + e * g.m4
    m5: Real = d * g.m2 + e * g.m5 + f
    g.m0 = m0
    g.m1 = m1
    g.m2 = m2
    g.m3 = m3
    g.m4 = m4
    g.m5 = m5


def too_many(n: Long) -> bool:
    """Return whether a table would be too long for 32-bit indices."""
    return n > 1000000000


def common_divisor(n: Int, m: Int) -> Int:
    """Return the largest number that divides both."""
    a: Int = n
    b: Int = m
    for i in range(24):  # noqa: B007 # pyright: ignore[reportUnusedVariable] # Go has no loop without a name
        if b > 0:
            rest: Int = a % b
            a = b
            b = rest
    return a


def half_up(x: Real) -> Real:
    """Round to the nearest whole number, ties upwards."""
    f: Real = floor(x)
    return f + 1.0 if x - f >= 0.5 else f


def half_away(x: Real) -> Real:
    """Round to the nearest whole number, ties away from 0."""
    return -half_up(-x) if x < 0.0 else half_up(x)


def truncated(x: Real) -> Real:
    """Drop the fraction."""
    return -floor(-x) if x < 0.0 else floor(x)


def wrapped(x: Real, span: Real, top: Real) -> Real:
    """Return x modulo span, from `top` on less span: integers of a type that wrap around."""
    v: Real = limited(x, -4611686018427387904.0, 4611686018427387904.0)
    v = v - span * floor(v / span)
    return v - span if v >= top else v
