"""Kernels of an align that reads bytes at multiples of 1/32 pixel: whole numbers are exact."""

# pyright: reportRedeclaration=false
# (kernels declare a variable in each block that uses it, as C and Go do)
from __future__ import annotations

from facelab.preprocess.emit.kernels._words import (
    FAR,
    HALF,
    LANES,
    LOW,
    PLANE,
    SC,
    SPARE,
    STEP,
    VALUE,
    Bytes,
    C,
    Dst,
    Geometry,
    Int,
    Ints,
    Real,
    byte,
    masked,
    real,
    rint,
    shifted,
    whole,
)
from facelab.preprocess.emit.kernels.common import limited


def columns(g: Geometry, m: Int, u: Ints, v: Ints) -> None:
    """What each column adds to the source position, in 1/1024 pixel."""
    for x in range(m):
        u[x] = whole(rint(g.r0 * real(x) * 1024.0))
        v[x] = whole(rint(g.r3 * real(x) * 1024.0))


def start_of(a: Real, b: Real, y: Int) -> Int:
    """Where row y starts along one axis of the source, in 1/1024 pixel above -2^30; half of 1/32 is added."""
    v: Real = rint((a * real(y) + b) * 1024.0)
    return whole(limited(v, -536870912.0, 536870912.0)) + 1073741840


def places(
    left: Int,
    top: Int,
    sx: Int,
    sy: Int,
    w: Int,
    h: Int,
    m: Int,
    u: Ints,
    v: Ints,
    place: Ints,
    across: Ints,
    down: Ints,
    ends: Ints,
) -> None:
    """Where each pixel of a row is read: its source pixel and the 32nds beyond; `ends`: the pixels well inside."""
    first: Int = m
    last: Int = 0
    for x in range(m):
        px: Int = shifted(left + u[x], 5)
        py: Int = shifted(top + v[x], 5)
        i: Int = shifted(px, 5) - 1048576
        j: Int = shifted(py, 5) - 1048576
        across[x] = masked(px, 31)
        down[x] = masked(py, 31)
        inside: bool = i >= SPARE and j >= 0 and i < w - FAR and j < h - 1
        at: Int = j * sy + i * sx if inside else 0
        from_here: Int = x if inside else m
        to_here: Int = x + 1 if inside else 0
        first = from_here if from_here < first else first
        last = to_here if to_here > last else last
        place[x] = at
    last = last if last > first else m
    ends[0] = first
    ends[1] = last


def near(src: Bytes, at: Int, sx: Int, sy: Int, w: Int, h: Int, x: Int, y: Int, c: Int) -> Int:
    """The byte at (x, y), or the border's value beyond the image."""
    v: Int = VALUE[c]
    if x >= 0 and y >= 0 and x < w and y < h:
        v = whole(src[at + y * sy + x * sx + c * SC])
    return v


def store_sum(dst: Dst, o: Int, x: Int, c: Int, total: Int) -> None:
    """Round a sum, in 1/1024, and store it as channel c of pixel x."""
    if PLANE > 0:
        dst[o + c * PLANE + x] = byte(shifted(total + HALF, 10))
    else:
        dst[o + x * C + c] = byte(shifted(total + HALF, 10))


def edge_pixels(
    src: Bytes,
    at: Int,
    sx: Int,
    sy: Int,
    w: Int,
    h: Int,
    left: Int,
    top: Int,
    u: Ints,
    v: Ints,
    first: Int,
    last: Int,
    dst: Dst,
    o: Int,
) -> None:
    """Pixels first to last of a row, where a neighbour may be beyond the image."""
    for x in range(first, last):
        px: Int = shifted(left + u[x], 5)
        py: Int = shifted(top + v[x], 5)
        i: Int = shifted(px, 5) - 1048576
        j: Int = shifted(py, 5) - 1048576
        fx: Int = masked(px, 31)
        fy: Int = masked(py, 31)
        for c in range(C):
            a: Int = near(src, at, sx, sy, w, h, i, j, c) * (32 - fx)
            a = a + near(src, at, sx, sy, w, h, i + 1, j, c) * fx
            b: Int = near(src, at, sx, sy, w, h, i, j + 1, c) * (32 - fx)
            b = b + near(src, at, sx, sy, w, h, i + 1, j + 1, c) * fx
            a = a * (32 - fy) + b * fy
            store_sum(dst, o, x, c, a)


def warp_row_of_32nds(
    g: Geometry,
    src: Bytes,
    at: Int,
    sx: Int,
    sy: Int,
    w: Int,
    h: Int,
    y: Int,
    m: Int,
    u: Ints,
    v: Ints,
    dst: Dst,
    o: Int,
) -> None:
    """Row y, pixel by pixel: four neighbours, weighted by 32nds and added."""
    left: Int = start_of(g.r1, g.r2, y)
    top: Int = start_of(g.r4, g.r5, y)
    for x in range(m):
        px: Int = shifted(left + u[x], 5)
        py: Int = shifted(top + v[x], 5)
        i: Int = shifted(px, 5) - 1048576
        j: Int = shifted(py, 5) - 1048576
        fx: Int = masked(px, 31)
        fy: Int = masked(py, 31)
        w11: Int = fx * fy
        w01: Int = fx * 32 - w11
        w10: Int = fy * 32 - w11
        w00: Int = 1024 - w01 - w10 - w11
        if i >= 0 and j >= 0 and i < w - 1 and j < h - 1:
            p: Int = at + j * sy + i * sx
            for c in range(C):
                k: Int = p + c * SC
                a: Int = whole(src[k]) * w00 + whole(src[k + sx]) * w01
                b: Int = whole(src[k + sy]) * w10 + whole(src[k + sy + sx]) * w11
                store_sum(dst, o, x, c, a + b)
        else:
            edge_pixels(src, at, sx, sy, w, h, left, top, u, v, x, x + 1, dst, o)


def warp_row_in_vectors(
    g: Geometry,
    src: Bytes,
    at: Int,
    sx: Int,
    sy: Int,
    w: Int,
    h: Int,
    y: Int,
    m: Int,
    u: Ints,
    v: Ints,
    place: Ints,
    across: Ints,
    down: Ints,
    ends: Ints,
    sums: Ints,
    dst: Dst,
    o: Int,
) -> None:
    """Row y: four neighbours, weighted by 32nds and added; first the pixels well inside, then the others."""
    left: Int = start_of(g.r1, g.r2, y)
    top: Int = start_of(g.r4, g.r5, y)
    places(left, top, sx, sy, w, h, m, u, v, place, across, down, ends)
    first: Int = ends[0]
    last: Int = ends[1]
    for x in range(first, last):
        w11: Int = across[x] * down[x]
        w01: Int = across[x] * 32 - w11
        w10: Int = down[x] * 32 - w11
        w00: Int = 1024 - w01 - w10 - w11
        p: Int = at + place[x] + LOW
        q: Int = p + sy
        for k in range(LANES):
            a: Int = whole(src[p + k * STEP]) * w00 + whole(src[p + sx + k * STEP]) * w01
            b: Int = whole(src[q + k * STEP]) * w10 + whole(src[q + sx + k * STEP]) * w11
            sums[x * LANES + k] = a + b
    for c in range(C):
        for x in range(first, last):
            total: Int = 0
            if LOW == 0:
                total = sums[x * LANES + c]
            else:
                total = sums[x * LANES + 2 - c]
            store_sum(dst, o, x, c, total)
    edge_pixels(src, at, sx, sy, w, h, left, top, u, v, 0, first, dst, o)
    edge_pixels(src, at, sx, sy, w, h, left, top, u, v, last, m, dst, o)
