"""Kernels that make one row of a stage's image: frames, colour, borders."""

# pyright: reportRedeclaration=false
# (kernels declare a variable in each block that uses it, as C and Go do)
from __future__ import annotations

from facelab.preprocess.emit.kernels._words import (
    BU,
    CG,
    GAIN,
    GU,
    GV,
    IB,
    IG,
    IR,
    OUTSIDE,
    OVER,
    PLANE,
    RV,
    SC,
    SU,
    SV,
    VALUE,
    WB,
    WG,
    WR,
    Y0,
    YO,
    B,
    Bytes,
    C,
    Dst,
    G,
    Int,
    R,
    Real,
    Single,
    Src,
    byte,
    element,
    narrow,
    real,
    store,
    whole,
)


def yuyv_row(frame: Bytes, y: Int, w: Int, dst: Bytes, o: Int) -> None:
    """Row y of a YUYV frame as Y, U, V; two pixels share U and V."""
    for x in range(w):
        p: Int = (y * w + x) * 2
        q: Int = (y * w + x - x % 2) * 2
        dst[o + 3 * x] = frame[p]
        dst[o + 3 * x + 1] = frame[q + 1]
        dst[o + 3 * x + 2] = frame[q + 3]


def nv12_row(frame: Bytes, y: Int, w: Int, h: Int, dst: Bytes, o: Int) -> None:
    """Row y of an NV12 frame as Y, U, V; four pixels share U and V."""
    for x in range(w):
        q: Int = w * h + (y // 2) * w + x - x % 2
        dst[o + 3 * x] = frame[y * w + x]
        dst[o + 3 * x + 1] = frame[q]
        dst[o + 3 * x + 2] = frame[q + 1]


def gray_row(src: Src, at: Int, sx: Int, sy: Int, y: Int, w: Int, dst: Dst, o: Int) -> None:
    """Row y in gray: the weighted sum of red, green and blue."""
    for x in range(w):
        p: Int = at + y * sy + x * sx
        dst[o + x] = store(
            WR * real(src[p + R * SC]) + WG * real(src[p + G * SC]) + WB * real(src[p + B * SC])
        )


def whole_gray(src: Bytes, at: Int, step: Int, w: Int, dst: Dst, o: Int) -> None:
    """Pixels in gray: the weights are decimal fractions, so whole numbers are exact; rounded after one division."""
    for x in range(w):
        p: Int = at + x * step
        total: Int = IR * whole(src[p + R * SC])
        total = total + IG * whole(src[p + G * SC]) + IB * whole(src[p + B * SC])
        v: Single = (narrow(total) + narrow(YO)) * narrow(SU)
        if OVER:
            v = v if v < narrow(255.0) else narrow(255.0)
        dst[o + x] = byte(v)


def whole_gray_row(src: Bytes, at: Int, sx: Int, sy: Int, y: Int, w: Int, dst: Dst, o: Int) -> None:
    """Row y in gray; the usual step is written out, so that a compiler knows it."""
    if sx == 3:
        whole_gray(src, at + y * sy, 3, w, dst, o)
    else:
        whole_gray(src, at + y * sy, sx, w, dst, o)


def yuv_to_rgb_row(src: Src, at: Int, sx: Int, sy: Int, y: Int, w: Int, dst: Dst, o: Int) -> None:
    """Row y from Y, U, V to red, green, blue."""
    for x in range(w):
        p: Int = at + y * sy + x * sx
        luma: Real = (real(src[p]) - Y0) * GAIN
        u: Real = real(src[p + SC]) - 128.0
        v: Real = real(src[p + 2 * SC]) - 128.0
        dst[o + 3 * x + R] = store(luma + RV * v)
        dst[o + 3 * x + G] = store(luma + GU * u + GV * v)
        dst[o + 3 * x + B] = store(luma + BU * u)


def rgb_to_yuv_row(src: Src, at: Int, sx: Int, sy: Int, y: Int, w: Int, dst: Dst, o: Int) -> None:
    """Row y from red, green, blue to Y, U, V."""
    for x in range(w):
        p: Int = at + y * sy + x * sx
        r: Real = real(src[p + R * SC])
        b: Real = real(src[p + B * SC])
        luma: Real = WR * r + WG * real(src[p + G * SC]) + WB * b
        u: Real = (b - luma) / SU
        v: Real = (r - luma) / SV
        if YO != 0.0:
            luma = YO + luma * GAIN
            u = u * CG
            v = v * CG
        dst[o + 3 * x] = store(luma)
        dst[o + 3 * x + 1] = store(u + 128.0)
        dst[o + 3 * x + 2] = store(v + 128.0)


def place_row(
    src: Src,
    at: Int,
    sx: Int,
    sy: Int,
    w: Int,
    h: Int,
    x1: Int,
    row: Int,
    n: Int,
    dst: Dst,
    o: Int,
) -> None:
    """Row `row` from column x1 on, n pixels wide, of an image that goes on beyond its w x h."""
    if OUTSIDE == "constant":
        inside: bool = row >= 0 and row < h
        for x in range(n):
            q: Int = x1 + x
            if inside and q >= 0 and q < w:
                for c in range(C):
                    dst[o + x * C + c] = src[at + row * sy + q * sx + c * SC]
            else:
                for c in range(C):
                    dst[o + x * C + c] = VALUE[c]
    else:
        r: Int = 0 if row < 0 else row
        r = h - 1 if r > h - 1 else r
        for x in range(n):
            q: Int = 0 if x1 + x < 0 else x1 + x
            q = w - 1 if q > w - 1 else q
            for c in range(C):
                dst[o + x * C + c] = src[at + r * sy + q * sx + c * SC]


def fill_row(n: Int, dst: Dst, o: Int) -> None:
    """Fill n pixels with the border's value."""
    if PLANE > 0:
        for c in range(C):
            for x in range(n):
                dst[o + c * PLANE + x] = VALUE[c]
    else:
        for x in range(n):
            for c in range(C):
                dst[o + x * C + c] = VALUE[c]


def map_row(src: Src, at: Int, sx: Int, sy: Int, y: Int, w: Int, dst: Dst, o: Int) -> None:
    """Row y, each value by itself."""
    for x in range(w):
        for c in range(C):
            dst[o + x * C + c] = store(element(real(src[at + y * sy + x * sx + c * SC]), c))
