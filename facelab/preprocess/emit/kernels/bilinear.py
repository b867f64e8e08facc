"""Kernels of a bilinear resize of bytes in whole numbers: exact, and simple loops that compilers turn into vectors."""

# pyright: reportRedeclaration=false
# (kernels declare a variable in each block that uses it, as C and Go do)
from __future__ import annotations

from facelab.preprocess.emit.kernels._words import (
    CENTERS,
    LANES,
    LOW,
    PLANE,
    ROUNDING,
    SC,
    SPARE,
    STEP,
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
            last: Int = m - 1 if m > 1 else 1
            above = long(i) * long((n - 1) // common)
            below = long(last // common)
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


def pixel_mixed(
    src: Src,
    above: Int,
    under: Int,
    step: Int,
    rest: Int,
    share: Int,
    one: Int,
    two: Int,
    lanes: Int,
    sums: Ints,
    o: Int,
) -> None:
    """Two pixels of two rows, weighted and added: rows by `rest` and `share`, columns by `one` and `two`."""
    for k in range(lanes):
        a: Int = product(src[above + k * STEP], rest) + product(src[under + k * STEP], share)
        b: Int = product(src[above + step + k * STEP], rest)
        b = b + product(src[under + step + k * STEP], share)
        sums[o + k] = a * one + b * two


def pixels_mixed(
    src: Src,
    above: Int,
    under: Int,
    step: Int,
    n: Int,
    rest: Int,
    share: Int,
    m: Int,
    below: Int,
    first: Ints,
    second: Ints,
    part: Ints,
    sums: Ints,
) -> None:
    """Of rows far wider than m only the pixels that are needed, all channels of a pixel at once."""
    if CENTERS == "half" and n % (2 * m) == 0:
        middles_mixed(src, above, under, step, rest, share, m, n // m, sums)
        return
    for x in range(SPARE, m - SPARE):
        p: Int = above + first[x] * step + LOW
        q: Int = under + first[x] * step + LOW
        ahead: Int = (second[x] - first[x]) * step
        other: Int = below - part[x]
        pixel_mixed(src, p, q, ahead, rest, share, other, part[x], LANES, sums, x * LANES)
    if SPARE > 0:
        "the outermost pixels by themselves: nothing is read beyond them"
        for i in range(2):
            x: Int = i * (m - 1)
            p: Int = above + first[x] * step + LOW
            q: Int = under + first[x] * step + LOW
            ahead: Int = (second[x] - first[x]) * step
            other: Int = below - part[x]
            pixel_mixed(src, p, q, ahead, rest, share, other, part[x], C, sums, x * LANES)


def middles_mixed(
    src: Src,
    above: Int,
    under: Int,
    step: Int,
    rest: Int,
    share: Int,
    m: Int,
    ratio: Int,
    sums: Ints,
) -> None:
    """The same where each output pixel is the middle of two: they need no weights."""
    start: Int = (ratio // 2 - 1) * step + LOW
    for x in range(m):
        p: Int = above + start + x * (ratio * step)
        q: Int = under + start + x * (ratio * step)
        for k in range(LANES):
            a: Int = whole(src[p + k * STEP]) + whole(src[p + step + k * STEP])
            b: Int = whole(src[q + k * STEP]) + whole(src[q + step + k * STEP])
            sums[x * LANES + k] = a * rest + b * share


def channel(sums: Ints, c: Int, m: Int, totals: Ints) -> None:
    """One channel of mixed pixels."""
    lane: Int = c if LOW == 0 else 2 - c
    for x in range(m):
        totals[x] = sums[x * LANES + lane]


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
    rest: Int = y_below - k
    far: bool = n > 3 * m
    if far:
        pixels_mixed(
            src, above, under, sx, n, rest, k, m, x_below, x_first, x_second, x_share, mixed
        )
    elif sx == C:
        rows_mixed(src, above, under, C, n, rest, k, mixed)
    else:
        rows_mixed(src, above, under, sx, n, rest, k, mixed)
    for c in range(C):
        if far:
            channel(mixed, c, m, totals)
        else:
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
    if n > 3 * m:
        pixels_mixed(
            src, above, under, sx, n, rest, k, m, x_below, x_first, x_second, x_share, mixed
        )
        for x in range(m):
            for c in range(C):
                if PLANE > 0:
                    totals[c * m + x] = mixed[x * C + c]
                else:
                    totals[x * C + c] = mixed[x * C + c]
    else:
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
