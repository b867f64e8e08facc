"""LLVM code of the screening test: which pairs may belong to the k best, and bounds on their scores.

A gallery row's parameters S, E, G, H are stored in four equally spaced float32 arrays, C in one of int32; a query's
t, A, F, T likewise. Pointers come as 64-bit integers; `_bounds` derives the test.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from facelab.matching.kernels._llvm_emit import (
    F32,
    I32,
    I64,
    Value,
    c64,
    fma,
    function,
    load,
    splat,
    store,
)

ROUND, TINY = 2.0**-18, 2.0**-120
"""Slack of a noted score's bounds for the float32 rounding of its parts, and for underflow."""


def pointers(b: ir.IRBuilder, start: Value, step: Value, count: int) -> list[Value]:
    """Emit the float32 pointers to `count` arrays that begin `step` bytes after one another."""
    return [b.inttoptr(b.add(start, b.mul(step, c64(i))), F32.as_pointer()) for i in range(count)]


def _lanes(b: ir.IRBuilder, arrays: list[Value], vectors: int, width: int) -> list[list[Value]]:
    """Emit the loads of each array's first `vectors` vectors."""
    kind = ir.VectorType(F32, width)
    return [
        [load(b, b.gep(array, [c64(v * width)]), kind, 4) for v in range(vectors)]
        for array in arrays
    ]


class _Tile:
    """A tile of products and its gallery rows' parameters, loaded row by row."""

    def __init__(
        self,
        b: Any,
        tile: Any,
        params: Any,
        corrections: Any,
        *,
        width: int,
        vectors: Any,
        int8: Any,
    ):
        self.b, self.width, self.vectors, self.int8 = b, width, vectors, int8
        self.params = params
        self.corrections = b.inttoptr(corrections, I32.as_pointer())
        self.products = b.inttoptr(tile, (I32 if int8 else F32).as_pointer())
        self.correction = None

    def row(self, r: int) -> list[Value]:
        """Emit S, E, G, H of row r, a vector of copies each."""
        b = self.b
        loaded = [load(b, b.gep(p, [c64(r)]), F32, 4) for p in self.params]
        if self.int8:
            correction = load(b, b.gep(self.corrections, [c64(r)]), I32, 4)
            self.correction = splat(b, correction, self.width)
        return [splat(b, value, self.width) for value in loaded]

    def value(self, r: int, v: int) -> Value:
        """Emit the float32 products of row r and the v-th vector of queries, corrected by C."""
        b, kind = self.b, ir.VectorType(F32, self.width)
        place = b.gep(self.products, [c64((r * self.vectors + v) * self.width)])
        if not self.int8:
            return load(b, place, kind, 4)
        words = load(b, place, ir.VectorType(I32, self.width), 4)
        return b.sitofp(b.sub(words, self.correction), kind)


def hit_masks(
    b: ir.IRBuilder,
    tile: Value,
    params: Any,
    corrections: Value,
    lane: Any,
    masks: Value,
    *,
    width: Any,
    vectors: Any,
    height: int,
    int8: bool,
) -> Value | None:
    """Emit the test of a tile against the thresholds; return the OR of all rows' masks, each stored in `masks`.

    `params` are pointers to S, E, G, H (float32 per gallery row), `corrections` to C (int32), `lane` to t, A, F, T
    (float32 per query). Bit q of a row's mask is set where t·(acc - C)·S + A·E + F·G + T >= H.
    """
    t, a, f, threshold = _lanes(b, lane, vectors, width)
    products = _Tile(b, tile, params, corrections, width=width, vectors=vectors, int8=int8)
    mask_at = b.inttoptr(masks, I64.as_pointer())
    union = c64(0)
    for r in range(height):
        s, e, g, h = products.row(r)
        mask = c64(0)
        for v in range(vectors):
            value = products.value(r, v)
            x = fma(b, b.fmul(value, t[v]), s, fma(b, a[v], e, fma(b, f[v], g, threshold[v])))
            bits = b.zext(b.bitcast(b.fcmp_ordered(">=", x, h), ir.IntType(width)), I64)
            mask = b.or_(mask, b.shl(bits, c64(v * width)))
        store(b, mask, b.gep(mask_at, [c64(r)]), 8)
        union = b.or_(union, mask)
    return union


def _upper(
    b: ir.IRBuilder,
    value: Any,
    t: Value,
    s: Value,
    a: Any,
    e: Any,
    f: Any,
    g: Any,
    h: Any,
) -> Value:
    """Emit a score's upper bound H - p + w + ROUND·(|H|+|p|+w) + TINY with p = t·value·S and w = A·E + F·G.

    ROUND pays for the float32 roundings here (fewer than 16 of 2^-24 each), TINY for underflow.
    """
    kind = value.type
    magnitude = function(b, f"llvm.fabs.v{kind.count}f32", kind, kind)
    share, least = (ir.Constant(kind, [x] * kind.count) for x in (ROUND, TINY))
    p = b.fmul(b.fmul(value, t), s)
    w = fma(b, a, e, b.fmul(f, g))
    size = b.fadd(b.fadd(b.call(magnitude, [h]), b.call(magnitude, [p])), w)
    return b.fadd(fma(b, share, size, b.fadd(b.fsub(h, p), w)), least)


def upper_bounds(
    b: ir.IRBuilder,
    tile: Value,
    params: Any,
    corrections: Value,
    lane: Any,
    out: Value,
    *,
    width: Any,
    vectors: Any,
    height: int,
    int8: bool,
) -> None:
    """Emit, per lane, the smallest upper bound (`_upper`) of the tile's scores; `lane` are pointers to t, A, F."""
    t, a, f = _lanes(b, lane, vectors, width)
    products = _Tile(b, tile, params, corrections, width=width, vectors=vectors, int8=int8)
    place = b.inttoptr(out, F32.as_pointer())
    best = [ir.Constant(ir.VectorType(F32, width), [float("inf")] * width)] * vectors
    for r in range(height):
        s, e, g, h = products.row(r)
        for v in range(vectors):
            upper = _upper(b, products.value(r, v), t[v], s, a[v], e, f[v], g, h)
            best[v] = b.select(b.fcmp_ordered("<", upper, best[v]), upper, best[v])
    for v in range(vectors):
        store(b, best[v], b.gep(place, [c64(v * width)]), 4)


def _row_vector(
    b: ir.IRBuilder,
    dots: Any,
    params: Any,
    corrections: Any,
    lane: Any,
    width: int,
    int8: bool,
) -> tuple[Value, ...]:
    """Emit the loads for one query and `width` rows: the products as float32, S E G H, and the splatted `lane`."""
    kind = ir.VectorType(F32, width)
    if int8:
        words = ir.VectorType(I32, width)
        value = b.sitofp(
            b.sub(
                load(b, b.inttoptr(dots, I32.as_pointer()), words, 4),
                load(b, b.inttoptr(corrections, I32.as_pointer()), words, 4),
            ),
            kind,
        )
    else:
        value = load(b, b.inttoptr(dots, F32.as_pointer()), kind, 4)
    return (
        value,
        *(load(b, p, kind, 4) for p in params),
        *(splat(b, v, width) for v in lane),
    )


def lower_rows(
    b: ir.IRBuilder,
    dots: Value,
    params: Any,
    corrections: Value,
    lane: Value,
    best: Value,
    *,
    width: int,
    int8: bool,
) -> None:
    """Emit best = min(best, upper bounds of `width` rows' scores), lane by lane; `lane` are the values t, A, F."""
    value, s, e, g, h, t, a, f = _row_vector(b, dots, params, corrections, lane, width, int8)
    upper = _upper(b, value, t, s, a, e, f, g, h)
    place = b.inttoptr(best, F32.as_pointer())
    before = load(b, place, upper.type, 4)
    store(b, b.select(b.fcmp_ordered("<", upper, before), upper, before), place, 4)


def hit_mask_rows(
    b: ir.IRBuilder,
    dots: Value,
    params: Any,
    corrections: Value,
    lane: Value,
    *,
    width: int,
    int8: bool,
) -> Value:
    """Emit the test for one query and `width` rows; `lane` are the values t, A, F, T. Return the bit mask."""
    value, s, e, g, h, t, a, f, threshold = _row_vector(
        b, dots, params, corrections, lane, width, int8
    )
    x = fma(b, b.fmul(value, t), s, fma(b, a, e, fma(b, f, g, threshold)))
    return b.zext(b.bitcast(b.fcmp_ordered(">=", x, h), ir.IntType(width)), I64)
