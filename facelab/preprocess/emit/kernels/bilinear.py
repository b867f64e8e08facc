"""Kernels of a bilinear resize of bytes in whole numbers: exact, and simple loops that compilers turn into vectors."""

# pyright: reportRedeclaration=false
# (kernels declare a variable in each block that uses it, as C and Go do)
from __future__ import annotations

from facelab.preprocess.emit.kernels._words import (
    CENTERS,
    PLANE,
    ROUNDING,
    SC,
    Bytes,
    C,
    Dst,
    Int,
    Ints,
    Long,
    Real,
    Single,
    Src,
    byte,
    long,
    narrow,
    product,
    real,
    whole,
)


def pairs(n: Int, m: Int, common: Int, first: Ints, second: Ints, share: Ints) -> None:
    """For each of m outputs its two neighbours among n and the second one's share, as a fraction without `common`."""
    for i in range(m):
        above: Long = 0
        below: Long = 1
        if CENTERS == "half":
            above = (2 * long(i) + 1) * long(n // common) - long(m // common)
            below = 2 * long(m // common)
        elif CENTERS == "legacy":
            above = long(i) * long(n // common)
            below = long(m // common)
        else:
            above = long(i) * long((n - 1) // common)
            below = long((m - 1 if m > 1 else 1) // common)
        base: Int = whole((above + below) // below) - 1
        share[i] = whole(above - long(base) * below)
        a: Int = 0 if base < 0 else base
        b: Int = n - 1 if base + 1 > n - 1 else base + 1
        a = n - 1 if a > n - 1 else a
        first[i] = a
        second[i] = b


def rows_mixed(
    src: Bytes, above: Int, under: Int, step: Int, n: Int, rest: Int, share: Int, mixed: Ints
) -> None:
    """The rows at `above` and `under`, weighted and added; one channel behind the other."""
    for x in range(n):
        for c in range(C):
            p: Int = x * step + c * SC
            mixed[c * n + x] = product(src[above + p], rest) + product(src[under + p], share)


def columns_mixed(
    mixed: Ints,
    at: Int,
    n: Int,
    m: Int,
    below: Int,
    first: Ints,
    second: Ints,
    share: Ints,
    totals: Ints,
) -> None:
    """One channel of a mixed row: neighbouring columns weighted and added."""
    if CENTERS == "half" and n == 2 * m:
        for x in range(m):
            totals[x] = mixed[at + 2 * x] + mixed[at + 2 * x + 1]
        return
    for x in range(m):
        rest: Int = below - share[x]
        totals[x] = mixed[at + first[x]] * rest + mixed[at + second[x]] * share[x]


def quotients(totals: Ints, at: Int, n: Int, below: Int, dst: Dst, o: Int) -> None:
    """Divide by `below` and round: a quotient is 1/2 / below or more off a whole number, or is one."""
    if below <= 8192:
        "float32 suffices: 256 times its relative error is below a quarter of 1 / below"
        scale: Single = narrow(1.0) / narrow(below)
        more: Single = 0.0
        if ROUNDING != "truncate":
            more = narrow(below) * narrow(0.5)
        more = more + narrow(0.25)
        for i in range(n):
            up: Int = whole((narrow(totals[at + i]) + more) * scale)
            if ROUNDING == "half_even":
                tie: bool = up % 2 == 1 and 2 * totals[at + i] + below == 2 * up * below
                up = up - 1 if tie else up
            dst[o + i] = byte(up)
    else:
        scale: Real = 1.0 / real(below)
        more: Real = real(below) * 0.5 + 0.25
        if ROUNDING == "truncate":
            more = 0.25
        for i in range(n):
            up: Int = whole((real(totals[at + i]) + more) * scale)
            if ROUNDING == "half_even":
                tie: bool = up % 2 == 1 and 2 * long(totals[at + i]) + long(below) == (
                    2 * long(up) * long(below)
                )
                up = up - 1 if tie else up
            dst[o + i] = byte(up)


def bilinear_row_in_vectors(
    src: Src,
    above: Int,
    under: Int,
    sx: Int,
    n: Int,
    k: Int,
    y_below: Int,
    m: Int,
    x_below: Int,
    x_first: Ints,
    x_second: Ints,
    x_share: Ints,
    mixed: Ints,
    totals: Ints,
    planes: Bytes,
    dst: Dst,
    o: Int,
) -> None:
    """Mix the source's rows at `above` and `under`, then the columns; divide once. One channel behind the other."""
    if sx == C:
        rows_mixed(src, above, under, C, n, y_below - k, k, mixed)
    else:
        rows_mixed(src, above, under, sx, n, y_below - k, k, mixed)
    for c in range(C):
        columns_mixed(mixed, c * n, n, m, x_below, x_first, x_second, x_share, totals)
        if PLANE > 0 or C == 1:
            quotients(totals, 0, m, x_below * y_below, dst, o + c * PLANE)
        else:
            quotients(totals, 0, m, x_below * y_below, planes, c * m)
    if PLANE == 0 and C > 1:
        for x in range(m):
            for c in range(C):
                dst[o + x * C + c] = planes[c * m + x]


def bilinear_row(
    src: Src,
    above: Int,
    under: Int,
    sx: Int,
    n: Int,
    k: Int,
    y_below: Int,
    m: Int,
    x_below: Int,
    x_first: Ints,
    x_second: Ints,
    x_share: Ints,
    mixed: Ints,
    totals: Ints,
    dst: Dst,
    o: Int,
) -> None:
    """Mix the source's rows at `above` and `under`, then the columns; divide once. Pixel by pixel."""
    rest: Int = y_below - k
    if SC == 1 and sx == C:
        for i in range(n * C):
            mixed[i] = product(src[above + i], rest) + product(src[under + i], k)
    else:
        for x in range(n):
            for c in range(C):
                p: Int = x * sx + c * SC
                mixed[x * C + c] = product(src[above + p], rest) + product(src[under + p], k)
    for x in range(m):
        share: Int = x_share[x]
        others: Int = x_below - share
        p: Int = x_first[x] * C
        q: Int = x_second[x] * C
        for c in range(C):
            if PLANE > 0:
                totals[c * m + x] = mixed[p + c] * others + mixed[q + c] * share
            else:
                totals[x * C + c] = mixed[p + c] * others + mixed[q + c] * share
    if PLANE > 0:
        for c in range(C):
            quotients(totals, c * m, m, x_below * y_below, dst, o + c * PLANE)
    else:
        quotients(totals, 0, m * C, x_below * y_below, dst, o)
