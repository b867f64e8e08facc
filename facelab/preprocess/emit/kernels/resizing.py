"""Kernels of the resize stage."""

# pyright: reportRedeclaration=false
# (kernels declare a variable in each block that uses it, as C and Go do)
from __future__ import annotations

from facelab.preprocess.emit.kernels._words import (
    ANTIALIAS,
    CENTERS,
    EDGE,
    KERNEL,
    LOBES,
    PASSES,
    SC,
    SUPPORT,
    A,
    Bytes,
    C,
    Dst,
    Int,
    Ints,
    Long,
    Real,
    Reals,
    Ring,
    Src,
    ceil,
    fabs,
    floor,
    long,
    real,
    rint,
    store,
    whole,
)
from facelab.preprocess.emit.kernels.common import pixel_half_up


def nearest(n: Int, m: Int, step: Int, index: Ints) -> None:
    """For each of m outputs the sample of n that it copies, times step."""
    for i in range(m):
        k: Long = 0
        if CENTERS == "half":
            k = (2 * long(i) + 1) * long(n) // (2 * long(m))
        elif CENTERS == "legacy":
            k = long(i) * long(n) // long(m)
        else:
            span: Long = long(m) - 1 if m > 1 else 1
            k = (2 * long(i) * (long(n) - 1) + span) // (2 * span)
        k = k if k < long(n) else long(n) - 1
        index[i] = whole(k) * step


def nearest_row(src: Src, at: Int, m: Int, index: Ints, dst: Dst, o: Int) -> None:
    """One row of samples as they are."""
    for x in range(m):
        for c in range(C):
            dst[o + x * C + c] = store(src[at + index[x] + c * SC])


def sine_of_pi(x: Real) -> Real:
    """Return sin(pi x) by its Taylor polynomial: the same bits everywhere."""
    n: Real = rint(x)
    r: Real = (x - n) * 3.141592653589793
    square: Real = r * r
    total: Real = 1.0
    for j in range(12):
        k: Int = 12 - j
        total = 1.0 - square * total / real(2 * k * (2 * k + 1))
    sign: Real = 1.0 if n - 2.0 * floor(n / 2.0) == 0.0 else -1.0
    return sign * r * total


def sinc(x: Real) -> Real:
    """Return sin(pi x) / (pi x)."""
    return 1.0 if x == 0.0 else sine_of_pi(x) / (3.141592653589793 * x)


def kernel(distance: Real) -> Real:
    """The kernel's value at a distance in samples."""
    d: Real = fabs(distance)
    if KERNEL == "bilinear":
        return 1.0 - d if d < 1.0 else 0.0
    if KERNEL == "bicubic":
        if d < 1.0:
            return ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0
        return (((d - 5.0) * d + 8.0) * d - 4.0) * A if d < 2.0 else 0.0
    return sinc(d) * sinc(d / real(LOBES)) if d < real(LOBES) else 0.0


def taps_of(n: Int, m: Int) -> Int:
    """How many samples of n an output sample of m can need at most."""
    if KERNEL == "area":
        return n // m + 2
    wide: Real = real(n) / real(m) if ANTIALIAS and n > m else 1.0
    return 2 * (whole(ceil(SUPPORT * wide)) + 1) + 1


def taps(n: Int, m: Int, room: Int, step: Int, index: Ints, weight: Reals, count: Ints) -> None:
    """For each of m outputs the samples of n that make it (times step) and their weights."""
    for i in range(m):
        used: Int = 0
        if KERNEL == "area":
            first: Long = long(i) * long(n) // long(m)
            low: Long = long(i) * long(n)
            high: Long = low + long(n)
            for j in range(room):
                s: Long = first + long(j)
                a: Long = s * long(m) if s * long(m) > low else low
                b: Long = (s + 1) * long(m) if (s + 1) * long(m) < high else high
                if b > a and s < long(n):
                    index[i * room + used] = whole(s) * step
                    weight[i * room + used] = real(b - a) / real(n)
                    used = used + 1
        else:
            at: Real = 0.0
            if CENTERS == "half":
                at = real((2 * long(i) + 1) * long(n) - long(m)) / real(2 * long(m))
            elif CENTERS == "legacy":
                at = real(long(i) * long(n)) / real(m)
            else:
                last: Int = m - 1 if m > 1 else 1
                at = real(long(i) * (long(n) - 1)) / real(last)
            wide: Real = real(n) / real(m) if ANTIALIAS and n > m else 1.0
            base: Int = whole(floor(at))
            total: Real = 0.0
            for j in range(room):
                s: Int = base + j - room // 2
                inside: Int = 0 if s < 0 else s
                inside = n - 1 if inside > n - 1 else inside
                v: Real = kernel((real(s) - at) / wide)
                if EDGE == "renormalize":
                    v = v if s == inside else 0.0
                if v != 0.0:
                    index[i * room + used] = inside * step
                    weight[i * room + used] = v
                    total = total + v
                    used = used + 1
            for j in range(used):
                weight[i * room + j] = weight[i * room + j] / total
        count[i] = used


def across(
    src: Src,
    at: Int,
    m: Int,
    room: Int,
    index: Ints,
    weight: Reals,
    count: Ints,
    dst: Ring,
    o: Int,
) -> None:
    """One row, m samples wide: the weighted sums along it."""
    for x in range(m):
        for c in range(C):
            total: Real = 0.0
            for j in range(count[x]):
                total = total + real(src[at + index[x * room + j] + c * SC]) * weight[x * room + j]
            if PASSES != "":
                dst[o + x * C + c] = pixel_half_up(total)
            else:
                dst[o + x * C + c] = total


def resize_row(
    src: Src,
    at: Int,
    sx: Int,
    sy: Int,
    n: Int,
    y: Int,
    m: Int,
    x_room: Int,
    x_index: Ints,
    x_weight: Reals,
    x_count: Ints,
    y_room: Int,
    y_index: Ints,
    y_weight: Reals,
    y_count: Ints,
    slots: Int,
    ring: Ring,
    held: Ints,
    sums: Reals,
    same_width: bool,
    same_height: bool,
    dst: Dst,
    o: Int,
) -> None:
    """Row y: rows of the source, resampled across and kept in a ring, weighted and added."""
    for j in range(y_count[y]):
        row: Int = y_index[y * y_room + j]
        slot: Int = row % slots
        k: Int = slot * m * C
        if held[slot] != row:
            held[slot] = row
            if PASSES != "" and same_width:
                for x in range(m):
                    for c in range(C):
                        ring[k + x * C + c] = src[at + row * sy + x * sx + c * SC]
            else:
                across(src, at + row * sy, m, x_room, x_index, x_weight, x_count, ring, k)
        weight: Real = y_weight[y * y_room + j]
        if PASSES != "" and same_height:
            weight = 1.0 if row == y else 0.0
        if j == 0:
            for i in range(m * C):
                sums[i] = real(ring[k + i]) * weight
        else:
            for i in range(m * C):
                sums[i] = sums[i] + real(ring[k + i]) * weight
    for i in range(m * C):
        dst[o + i] = store(sums[i])


def resize_row_down_first(
    src: Src,
    at: Int,
    sx: Int,
    sy: Int,
    n: Int,
    y: Int,
    m: Int,
    x_room: Int,
    x_index: Ints,
    x_weight: Reals,
    x_count: Ints,
    y_room: Int,
    y_index: Ints,
    y_weight: Reals,
    y_count: Ints,
    line: Bytes,
    same_width: bool,
    same_height: bool,
    dst: Dst,
    o: Int,
) -> None:
    """Row y: the source's columns first, rounded to bytes, then along the row."""
    for x in range(n):
        for c in range(C):
            total: Real = 0.0
            if same_height:
                total = real(src[at + y * sy + x * sx + c * SC])
            else:
                for j in range(y_count[y]):
                    p: Int = at + y_index[y * y_room + j] * sy + x * sx + c * SC
                    total = total + real(src[p]) * y_weight[y * y_room + j]
            line[x * C + c] = pixel_half_up(total)
    for x in range(m):
        for c in range(C):
            total: Real = 0.0
            if same_width:
                total = real(line[x * C + c])
            else:
                for j in range(x_count[x]):
                    total = (
                        total
                        + real(line[x_index[x * x_room + j] * C + c]) * (x_weight[x * x_room + j])
                    )
            dst[o + x * C + c] = store(total)
