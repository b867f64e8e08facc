"""LLVM code of the innermost loops, written lane by lane; no numba here, so that any target can be emitted.

Pointers come as 64-bit integers. Vector loads carry the alignment of their elements: rows may lie anywhere.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from llvmlite import binding, ir

Value: TypeAlias = Any
"""One of llvmlite's values; its builder states no types."""

F16, F32, F64 = ir.HalfType(), ir.FloatType(), ir.DoubleType()
I1, I8, I16, I32, I64 = (ir.IntType(n) for n in (1, 8, 16, 32, 64))


def c64(value: int) -> ir.Constant:
    """Return a 64-bit integer constant."""
    return ir.Constant(I64, value)


def function(b: ir.IRBuilder, name: str, result: ir.Type, *arguments: ir.Type) -> ir.Function:
    """Declare an LLVM intrinsic in the builder's module, once."""
    return b.module.globals.get(name) or ir.Function(
        b.module, ir.FunctionType(result, arguments), name
    )


def load(b: ir.IRBuilder, pointer: Value, kind: ir.Type, align: int) -> Value:
    """Load a value of type `kind` from `pointer`, which is aligned to `align` bytes only."""
    value: Any = b.load(b.bitcast(pointer, kind.as_pointer()))  # llvmlite states no types
    value.align = align
    return value


def store(b: ir.IRBuilder, value: Value, pointer: Value, align: int) -> None:
    """Store `value` at `pointer`, which is aligned to `align` bytes only."""
    stored: Any = b.store(value, b.bitcast(pointer, value.type.as_pointer()))
    stored.align = align


def splat(b: ir.IRBuilder, value: Value, width: int) -> Value:
    """Return a vector of `width` copies of a scalar."""
    kind = ir.VectorType(value.type, width)
    one = b.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(I32, 0))
    return b.shuffle_vector(
        one, ir.Constant(kind, ir.Undefined), ir.Constant(ir.VectorType(I32, width), [0] * width)
    )


def fma(b: ir.IRBuilder, x: Value, y: Value, z: Value) -> Value:
    """Return x·y + z, fused where the processor can."""
    kind = x.type
    if isinstance(kind, ir.VectorType):
        name = f"llvm.fmuladd.v{kind.count}{'f32' if kind.element == F32 else 'f64'}"
    else:
        name = f"llvm.fmuladd.{'f32' if kind == F32 else 'f64'}"
    return b.call(function(b, name, kind, kind, kind, kind), [x, y, z])


def fold(b: ir.IRBuilder, vectors: list[Value]) -> Value:
    """Return the sums of 1, 2, 4 … vectors' lanes, side by side in one vector (a plain number where there is one).

    Halves are added onto halves, two vectors at a time while there are several, so the order never changes and
    eight vectors cost 24 instructions, not 64.
    """
    add = b.fadd if vectors[0].type.element in (F32, F64) else b.add
    width, groups = vectors[0].type.count, 1
    part = width
    while part > 1:
        low = [g * part + i for g in range(groups) for i in range(part // 2)]
        pairs = list(zip(vectors[::2], vectors[1::2]))
        if pairs:
            low += [vectors[0].type.count + i for i in low]
            groups *= 2
        else:
            pairs = [(vectors[0], ir.Constant(vectors[0].type, ir.Undefined))]
        halves = [
            ir.Constant(ir.VectorType(I32, len(low)), [i + shift for i in low])
            for shift in (0, part // 2)
        ]
        low_lanes, high_lanes = halves
        vectors = [
            add(b.shuffle_vector(x, y, low_lanes), b.shuffle_vector(x, y, high_lanes))
            for x, y in pairs
        ]
        part //= 2
    return vectors[0] if groups > 1 else b.extract_element(vectors[0], ir.Constant(I32, 0))


class Loop:
    """A counted loop `for i in range(n)` with accumulators held in registers; it may run no time at all.

    After the `with` block the builder stands behind the loop and `results` holds the accumulators.
    """

    def __init__(self, b: ir.IRBuilder, count: Value, initial: list[Value]):
        self.b, self.count, self.initial = b, count, initial

    def __enter__(self) -> Loop:
        b = self.b
        self.before = b.block
        self.body, self.after = b.append_basic_block("loop"), b.append_basic_block("after")
        b.cbranch(b.icmp_signed(">", self.count, c64(0)), self.body, self.after)
        b.position_at_end(self.body)
        self.i = b.phi(I64)
        self.i.add_incoming(c64(0), self.before)
        self.values = [b.phi(v.type) for v in self.initial]
        for phi, v in zip(self.values, self.initial):
            phi.add_incoming(v, self.before)
        self.next: list[Value] = []
        return self

    def __exit__(self, *exception: Any) -> None:
        if exception[0] is not None:
            return
        b, end = self.b, self.b.block
        i = b.add(self.i, c64(1))
        self.i.add_incoming(i, end)
        for phi, v in zip(self.values, self.next):
            phi.add_incoming(v, end)
        b.cbranch(b.icmp_signed("<", i, self.count), self.body, self.after)
        b.position_at_end(self.after)
        self.results: list[Value] = []
        for first, last in zip(self.initial, self.next):
            phi = b.phi(first.type)
            phi.add_incoming(first, self.before)
            phi.add_incoming(last, end)
            self.results.append(phi)


def zeros(kind: ir.VectorType) -> ir.Constant:
    """Return the zero vector of a type."""
    return ir.Constant(kind, [0 if isinstance(kind.element, ir.IntType) else 0.0] * kind.count)


def _panel(
    b: ir.IRBuilder, base: Value, step: Value, kind: ir.VectorType, vectors: int
) -> list[Value]:
    first = b.mul(step, c64(kind.count * vectors))
    return [
        load(b, b.gep(base, [b.add(first, c64(v * kind.count))]), kind, 4) for v in range(vectors)
    ]


def tile_f32(
    b: ir.IRBuilder,
    panel: Value,
    rows: Value,
    stride: Value,
    count: Value,
    tile: Value,
    first: Value,
    *,
    width: int,
    vectors: int,
    height: int,
    diff: bool,
) -> None:
    """Emit `tile (+)= rows · panel` or, with `diff`, `tile (+)= Σ (row - panel)²`, all sums in registers.

    `rows` points at `height` rows, `stride` float32 apart; `panel` holds, for each of `count` dimensions,
    width·vectors lanes side by side. `tile` (height × lanes) is overwritten where `first` is true, else added to.
    """
    kind = ir.VectorType(F32, width)
    lanes, base, out = (b.inttoptr(p, F32.as_pointer()) for p in (panel, rows, tile))
    row = [b.gep(base, [b.mul(stride, c64(i))]) for i in range(height)]
    with Loop(b, count, [zeros(kind)] * (height * vectors)) as loop:
        columns = _panel(b, lanes, loop.i, kind, vectors)
        for r in range(height):
            element = splat(b, load(b, b.gep(row[r], [loop.i]), F32, 4), width)
            for v in range(vectors):
                acc = loop.values[r * vectors + v]
                if diff:
                    delta = b.fsub(columns[v], element)
                    loop.next.append(fma(b, delta, delta, acc))
                else:
                    loop.next.append(fma(b, columns[v], element, acc))
    with b.if_else(first) as (fresh, more):
        for branch, adds in ((fresh, False), (more, True)):
            with branch:
                for n, acc in enumerate(loop.results):
                    place = b.gep(out, [c64(n * width)])
                    store(b, b.fadd(load(b, place, kind, 4), acc) if adds else acc, place, 4)


def multiply_add_i8(b: ir.IRBuilder, dot: str, acc: Any, panel: Value, row: Value) -> Any:
    """Emit acc + Σ₄ panel·row over groups of four bytes; `panel` unsigned for vnni and maddubs, signed otherwise."""
    width = acc.type.count
    words, halves, octets = acc.type, ir.VectorType(I16, 2 * width), ir.VectorType(I8, 4 * width)
    if dot in ("vnni512", "vnni256"):
        # LLVM 22 gave the byte operands their own type
        operand = octets if binding.llvm_version_info[0] >= 22 else words
        f = function(b, f"llvm.x86.avx512.vpdpbusd.{32 * width}", words, words, operand, operand)
        return b.call(f, [acc, b.bitcast(panel, operand), b.bitcast(row, operand)])
    if dot == "maddubs":
        byte_name, word_name = {
            8: ("avx2.pmadd.ub.sw", "avx2.pmadd.wd"),
            16: ("avx512.pmaddubs.w.512", "avx512.pmaddw.d.512"),
        }[width]
        pairs = b.call(
            function(b, "llvm.x86." + byte_name, halves, octets, octets),
            [b.bitcast(panel, octets), b.bitcast(row, octets)],
        )
        ones = ir.Constant(halves, [1] * (2 * width))
        return b.add(
            acc, b.call(function(b, "llvm.x86." + word_name, words, halves, halves), [pairs, ones])
        )
    if dot == "sdot":
        f = function(b, "llvm.aarch64.neon.sdot.v4i32.v16i8", words, words, octets, octets)
        return b.call(f, [acc, b.bitcast(panel, octets), b.bitcast(row, octets)])
    low = ir.Constant(words, [24] * width)
    for byte in range(4):
        up = ir.Constant(words, [24 - 8 * byte] * width)
        x, y = (b.ashr(b.shl(v, up), low) for v in (panel, row))
        acc = b.add(acc, b.mul(x, y))
    return acc


def tile_i8(
    b: ir.IRBuilder,
    panel: Value,
    rows: Value,
    stride: Value,
    count: Value,
    tile: Value,
    *,
    dot: str,
    width: int,
    vectors: int,
    height: int,
) -> None:
    """Emit `tile = rows · panel` for int8 codes, four dimensions a step; `stride` in bytes, `count` in steps."""
    kind = ir.VectorType(I32, width)
    lanes, base, out = (
        b.inttoptr(p, k.as_pointer()) for p, k in ((panel, I32), (rows, I8), (tile, I32))
    )
    row = [b.bitcast(b.gep(base, [b.mul(stride, c64(i))]), I32.as_pointer()) for i in range(height)]
    with Loop(b, count, [zeros(kind)] * (height * vectors)) as loop:
        columns = _panel(b, lanes, loop.i, kind, vectors)
        for r in range(height):
            four = splat(b, load(b, b.gep(row[r], [loop.i]), I32, 1), width)
            loop.next += [
                multiply_add_i8(b, dot, loop.values[r * vectors + v], columns[v], four)
                for v in range(vectors)
            ]
    for n, acc in enumerate(loop.results):
        store(b, acc, b.gep(out, [c64(n * width)]), 4)


def row_dots(
    b: ir.IRBuilder,
    query: Value,
    rows: Value,
    stride: Value,
    count: Value,
    out: Value,
    *,
    dot: str,
    width: int,
    height: int,
) -> None:
    """Emit `height` inner products of one query with as many rows, `count` whole vectors each (dot "": float32).

    `stride` is in elements; the results go to `out`, one 32-bit number per row; `height` is at most `width`.
    """
    element = I8 if dot else F32
    word, per_step = (I32, 4 * width) if dot else (F32, width)
    kind = ir.VectorType(word, width)
    q, base = (b.inttoptr(p, element.as_pointer()) for p in (query, rows))
    place = b.inttoptr(out, word.as_pointer())
    row = [b.gep(base, [b.mul(stride, c64(i))]) for i in range(height)]
    with Loop(b, count, [zeros(kind)] * height) as loop:
        at = b.mul(loop.i, c64(per_step))
        x = load(b, b.gep(q, [at]), kind, 1 if dot else 4)
        for r in range(height):
            y = load(b, b.gep(row[r], [at]), kind, 1 if dot else 4)
            loop.next.append(
                multiply_add_i8(b, dot, loop.values[r], x, y)
                if dot
                else fma(b, x, y, loop.values[r])
            )
    store(b, fold(b, loop.results), place, 4)


def pair_block(
    b: ir.IRBuilder,
    left: Value,
    left_stride: Value,
    right: Value,
    stride: Value,
    count: Value,
    out: Value,
    *,
    width: int,
    queries: int,
    height: int,
    diff: bool,
) -> None:
    """Emit the sums of `queries` × `height` pairs over `count` whole vectors: Σ(x-y)² with `diff`, else Σxy.

    Every vector loaded serves several pairs, every pair has its own register of sums; each is folded once, to
    out[row · queries + query]. Strides are in elements.
    """
    kind = ir.VectorType(F32, width)
    first, second, place = (b.inttoptr(p, F32.as_pointer()) for p in (left, right, out))
    x_at = [b.gep(first, [b.mul(left_stride, c64(i))]) for i in range(queries)]
    y_at = [b.gep(second, [b.mul(stride, c64(i))]) for i in range(height)]
    with Loop(b, count, [zeros(kind)] * (queries * height)) as loop:
        at = b.mul(loop.i, c64(width))
        xs = [load(b, b.gep(p, [at]), kind, 4) for p in x_at]
        for r in range(height):
            y = load(b, b.gep(y_at[r], [at]), kind, 4)
            for q in range(queries):
                acc = loop.values[r * queries + q]
                delta = b.fsub(xs[q], y) if diff else None
                loop.next.append(fma(b, delta, delta, acc) if diff else fma(b, xs[q], y, acc))
    for n, acc in enumerate(loop.results):
        store(b, fold(b, [acc]), b.gep(place, [c64(n)]), 4)


def exact_sums(
    b: ir.IRBuilder, query: Value, row: Value, count: Value, *, element: ir.Type, mode: str
) -> list[Value]:
    """Emit two float64 sums over count·8 dimensions: Σ(q-g)² ("l2") or Σqg ("both"), and Σg² ("both" only).

    `query` is float32. Eight lanes whatever the processor, so the order of the additions never changes.
    """
    kind, words = ir.VectorType(F64, 8), ir.VectorType(element, 8)
    q, g = (b.inttoptr(p, k.as_pointer()) for p, k in ((query, F32), (row, element)))
    with Loop(b, count, [zeros(kind)] * 2) as loop:
        at = b.mul(loop.i, c64(8))
        x = b.fpext(load(b, b.gep(q, [at]), ir.VectorType(F32, 8), 4), kind)
        y = load(b, b.gep(g, [at]), words, 1)
        y = b.sitofp(y, kind) if isinstance(element, ir.IntType) else b.fpext(y, kind)
        if mode == "l2":
            delta = b.fsub(x, y)
            loop.next = [fma(b, delta, delta, loop.values[0]), loop.values[1]]
        else:
            loop.next = [fma(b, x, y, loop.values[0]), fma(b, y, y, loop.values[1])]
    return [fold(b, [acc]) for acc in loop.results]


def prefetch(b: ir.IRBuilder, address: Value) -> None:
    """Ask for the cache line at an address, to be read soon and often; an address that is not mapped does no harm."""
    fetch = function(b, "llvm.prefetch.p0", ir.VoidType(), I8.as_pointer(), I32, I32, I32)
    to_read, to_stay, data = (ir.Constant(I32, value) for value in (0, 3, 1))
    b.call(fetch, [b.inttoptr(address, I8.as_pointer()), to_read, to_stay, data])


def barrier(b: ir.IRBuilder) -> None:
    """Emit an empty piece of assembly that costs nothing and that no loop with it can be vectorised across."""
    b.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], side_effect=True)
