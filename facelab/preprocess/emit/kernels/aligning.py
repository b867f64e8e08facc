"""Kernels of the align stage: the transform that puts five landmarks on a template, and the warp."""

# pyright: reportRedeclaration=false
# (kernels declare a variable in each block that uses it, as C and Go do)
from __future__ import annotations

from facelab.preprocess.emit.kernels._words import (
    COORDINATES,
    KERNEL,
    SC,
    TEMPLATE,
    VALUE,
    C,
    Dst,
    Geometry,
    Int,
    Real,
    Reals,
    Src,
    fabs,
    floor,
    real,
    rint,
    store,
    whole,
)
from facelab.preprocess.emit.kernels.common import limited


def umeyama(p: Reals, t: Reals) -> bool:
    """Find the least-squares similarity t from the five points p to the template; false where there is none."""
    px: Real = 0.0
    py: Real = 0.0
    qx: Real = 0.0
    qy: Real = 0.0
    for i in range(5):
        px = px + p[2 * i]
        py = py + p[2 * i + 1]
        qx = qx + TEMPLATE[2 * i]
        qy = qy + TEMPLATE[2 * i + 1]
    px = px / 5.0
    py = py / 5.0
    qx = qx / 5.0
    qy = qy / 5.0
    a: Real = 0.0
    b: Real = 0.0
    square: Real = 0.0
    for i in range(5):
        x: Real = p[2 * i] - px
        y: Real = p[2 * i + 1] - py
        u: Real = TEMPLATE[2 * i] - qx
        v: Real = TEMPLATE[2 * i + 1] - qy
        a = a + (x * u + y * v)
        b = b + (x * v - y * u)
        square = square + (x * x + y * y)
    c: Real = a / square
    s: Real = b / square
    t[0] = c
    t[1] = -s
    t[2] = qx - (c * px - s * py)
    t[3] = s
    t[4] = c
    t[5] = qy - (s * px + c * py)
    return square >= 0.000000000001


def affine3(p: Reals, t: Reals) -> bool:
    """Find the affine map t of both eyes and the mouth's middle onto the template's; false where they are on a line."""
    x0: Real = p[0]
    y0: Real = p[1]
    x1: Real = p[2]
    y1: Real = p[3]
    x2: Real = (p[6] + p[8]) / 2.0
    y2: Real = (p[7] + p[9]) / 2.0
    det: Real = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    for i in range(2):
        u0: Real = TEMPLATE[i]
        u1: Real = TEMPLATE[2 + i]
        u2: Real = (TEMPLATE[6 + i] + TEMPLATE[8 + i]) / 2.0
        a: Real = ((u1 - u0) * (y2 - y0) - (u2 - u0) * (y1 - y0)) / det
        b: Real = ((x1 - x0) * (u2 - u0) - (x2 - x0) * (u1 - u0)) / det
        t[3 * i] = a
        t[3 * i + 1] = b
        t[3 * i + 2] = u0 - a * x0 - b * y0
    return fabs(det) >= 0.000000001


def invert(g: Geometry, t: Reals) -> bool:
    """Keep the inverse of the map t: where each output pixel is read; false where there is none."""
    det: Real = t[0] * t[4] - t[1] * t[3]
    ia: Real = t[4] / det
    ib: Real = -t[1] / det
    id: Real = -t[3] / det
    ie: Real = t[0] / det
    g.r0 = ia
    g.r1 = ib
    g.r2 = -(ia * t[2]) - ib * t[5]
    g.r3 = id
    g.r4 = ie
    g.r5 = -(id * t[2]) - ie * t[5]
    size: Real = fabs(g.r0) + fabs(g.r1) + fabs(g.r2) + fabs(g.r3) + fabs(g.r4) + fabs(g.r5)
    return fabs(det) >= 0.000000000001 and size < 1e15


def blend(src: Src, at: Int, sx: Int, sy: Int, w: Int, h: Int, x: Int, y: Int, c: Int) -> Real:
    """The pixel at (x, y), or the border's value beyond the image."""
    if x >= 0 and y >= 0 and x < w and y < h:
        return real(src[at + y * sy + x * sx + c * SC])
    return VALUE[c]


def source_of(a: Real, b: Real, c: Real, x: Int, y: Int) -> Real:
    """The source position of output (x, y) along one axis."""
    v: Real = 0.0
    if COORDINATES == "1/32":
        v = floor((rint((b * real(y) + c) * 1024.0) + 16.0 + rint(a * real(x) * 1024.0)) / 32.0)
        v = v / 32.0
    else:
        v = a * real(x) + (b * real(y) + c)
    return limited(v, -100000000.0, 100000000.0)


def warp_row(
    g: Geometry,
    src: Src,
    at: Int,
    sx: Int,
    sy: Int,
    w: Int,
    h: Int,
    y: Int,
    m: Int,
    dst: Dst,
    o: Int,
) -> None:
    """Row y: each pixel is read where the inverse map says."""
    for x in range(m):
        u: Real = source_of(g.r0, g.r1, g.r2, x, y)
        v: Real = source_of(g.r3, g.r4, g.r5, x, y)
        if KERNEL == "nearest":
            for c in range(C):
                dst[o + x * C + c] = store(
                    blend(src, at, sx, sy, w, h, whole(floor(u + 0.5)), whole(floor(v + 0.5)), c)
                )
        else:
            i: Int = whole(floor(u))
            j: Int = whole(floor(v))
            fx: Real = u - real(i)
            fy: Real = v - real(j)
            if i >= 0 and j >= 0 and i < w - 1 and j < h - 1:
                p: Int = at + j * sy + i * sx
                for c in range(C):
                    k: Int = p + c * SC
                    top: Real = real(src[k]) * (1.0 - fx) + real(src[k + sx]) * fx
                    low: Real = real(src[k + sy]) * (1.0 - fx) + real(src[k + sy + sx]) * fx
                    dst[o + x * C + c] = store(top * (1.0 - fy) + low * fy)
            else:
                for c in range(C):
                    a: Real = blend(src, at, sx, sy, w, h, i, j, c)
                    b: Real = blend(src, at, sx, sy, w, h, i + 1, j, c)
                    d: Real = blend(src, at, sx, sy, w, h, i, j + 1, c)
                    e: Real = blend(src, at, sx, sy, w, h, i + 1, j + 1, c)
                    top: Real = a * (1.0 - fx) + b * fx
                    low: Real = d * (1.0 - fx) + e * fx
                    dst[o + x * C + c] = store(top * (1.0 - fy) + low * fy)
