"""The emitted loops as functions that numba code can call; what is literal chooses the code, what is not is passed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from llvmlite.ir import IRBuilder as Builder
from numba import types
from numba.extending import intrinsic

from facelab.matching.kernels import _llvm_emit as emit
from facelab.matching.kernels import _llvm_screen as screen

Generated: TypeAlias = "tuple[Any, Callable[..., Any]]"
"""What numba takes from an intrinsic: the signature, and the function that emits its code."""
_literal: Any = intrinsic(prefer_literal=True)
_plain: Any = intrinsic
INT, F32, F64 = types.intp, types.float32, types.float64
ELEMENTS = {"f4": emit.F32, "f2": emit.F16, "i1": emit.I8}


def _literals(**arguments: Any) -> dict[str, Any]:
    """Return what each literal argument stands for: numbers, names and truth values that the code is emitted for."""
    return {name: argument.literal_value for name, argument in arguments.items()}


@_literal
def tile_f32(
    typing: Any,
    panel: types.Type,
    rows: types.Type,
    stride: types.Type,
    count: types.Type,
    tile: types.Type,
    first: types.Type,
    width: types.Type,
    vectors: types.Type,
    height: types.Type,
    diff: types.Type,
) -> Generated:
    """Call `_llvm_emit.tile_f32`."""
    signature = types.void(INT, INT, INT, INT, INT, types.boolean, width, vectors, height, diff)
    sizes = _literals(width=width, vectors=vectors, height=height, diff=diff)

    def generate(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        emit.tile_f32(builder, *args[:6], **sizes)
        return context.get_dummy_value()

    return signature, generate


@_literal
def tile_i8(
    typing: Any,
    panel: types.Type,
    rows: types.Type,
    stride: types.Type,
    count: types.Type,
    tile: types.Type,
    dot: types.Type,
    width: types.Type,
    vectors: types.Type,
    height: types.Type,
) -> Generated:
    """Call `_llvm_emit.tile_i8`."""
    signature = types.void(INT, INT, INT, INT, INT, dot, width, vectors, height)
    sizes = _literals(dot=dot, width=width, vectors=vectors, height=height)

    def generate(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        emit.tile_i8(builder, *args[:5], **sizes)
        return context.get_dummy_value()

    return signature, generate


@_literal
def row_dots(
    typing: Any,
    query: types.Type,
    rows: types.Type,
    stride: types.Type,
    count: types.Type,
    out: types.Type,
    dot: types.Type,
    width: types.Type,
    height: types.Type,
) -> Generated:
    """Call `_llvm_emit.row_dots`."""
    signature = types.void(INT, INT, INT, INT, INT, dot, width, height)
    sizes = _literals(dot=dot, width=width, height=height)

    def generate(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        emit.row_dots(builder, *args[:5], **sizes)
        return context.get_dummy_value()

    return signature, generate


@_literal
def pair_block(
    typing: Any,
    left: types.Type,
    left_stride: types.Type,
    right: types.Type,
    stride: types.Type,
    count: types.Type,
    out: types.Type,
    width: types.Type,
    queries: types.Type,
    height: types.Type,
    diff: types.Type,
) -> Generated:
    """Call `_llvm_emit.pair_block`."""
    signature = types.void(*[INT] * 6, width, queries, height, diff)
    sizes = _literals(width=width, queries=queries, height=height, diff=diff)

    def generate(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        emit.pair_block(builder, *args[:6], **sizes)
        return context.get_dummy_value()

    return signature, generate


@_literal
def exact_sums(
    typing: Any,
    query: types.Type,
    row: types.Type,
    count: types.Type,
    element: types.Type,
    mode: types.Type,
) -> tuple[Any, Callable[..., Any]]:
    """Return the two sums of `_llvm_emit.exact_sums`; `element` is "f4", "f2" or "i1"."""
    signature = types.UniTuple(F64, 2)(INT, INT, INT, element, mode)
    choice = _literals(element=element, mode=mode)
    choice["element"] = ELEMENTS[choice["element"]]

    def generate(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        return context.make_tuple(
            builder, sig.return_type, emit.exact_sums(builder, *args[:3], **choice)
        )

    return signature, generate


@_literal
def hit_masks(
    typing: Any,
    tile: types.Type,
    params: Any,
    step: types.Type,
    corrections: types.Type,
    lane: Any,
    lane_step: types.Type,
    masks: types.Type,
    width: types.Type,
    vectors: types.Type,
    height: types.Type,
    int8: types.Type,
) -> Generated:
    """Call `_llvm_screen.hit_masks`; `step` and `lane_step` are the bytes between S, E, G, H and t, A, F, T."""
    signature = types.int64(*[INT] * 7, width, vectors, height, int8)
    sizes = _literals(width=width, vectors=vectors, height=height, int8=int8)

    def generate(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        at, params, step, corrections, lane, lane_step, masks = args[:7]
        rows = screen.pointers(builder, params, step, 4)
        queries = screen.pointers(builder, lane, lane_step, 4)
        return screen.hit_masks(builder, at, rows, corrections, queries, masks, **sizes)

    return signature, generate


@_literal
def upper_bounds(
    typing: Any,
    tile: types.Type,
    params: Any,
    step: types.Type,
    corrections: types.Type,
    lane: Any,
    lane_step: types.Type,
    out: types.Type,
    width: types.Type,
    vectors: types.Type,
    height: types.Type,
    int8: types.Type,
) -> Generated:
    """Call `_llvm_screen.upper_bounds`."""
    signature = types.void(*[INT] * 7, width, vectors, height, int8)
    sizes = _literals(width=width, vectors=vectors, height=height, int8=int8)

    def generate(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        at, params, step, corrections, lane, lane_step, out = args[:7]
        rows = screen.pointers(builder, params, step, 4)
        queries = screen.pointers(builder, lane, lane_step, 3)
        screen.upper_bounds(builder, at, rows, corrections, queries, out, **sizes)
        return context.get_dummy_value()

    return signature, generate


@_literal
def lower_rows(
    typing: Any,
    dots: types.Type,
    params: Any,
    step: types.Type,
    corrections: types.Type,
    t: types.Type,
    a: types.Type,
    f: types.Type,
    best: types.Type,
    width: types.Type,
    int8: types.Type,
) -> Generated:
    """Call `_llvm_screen.lower_rows`."""
    signature = types.void(*[INT] * 4, F32, F32, F32, INT, width, int8)
    sizes = _literals(width=width, int8=int8)

    def generate(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        rows = screen.pointers(builder, args[1], args[2], 4)
        screen.lower_rows(builder, args[0], rows, args[3], args[4:7], args[7], **sizes)
        return context.get_dummy_value()

    return signature, generate


@_literal
def hit_mask_rows(
    typing: Any,
    dots: types.Type,
    params: Any,
    step: types.Type,
    corrections: types.Type,
    t: types.Type,
    a: types.Type,
    f: types.Type,
    threshold: types.Type,
    width: types.Type,
    int8: types.Type,
) -> Generated:
    """Call `_llvm_screen.hit_mask_rows`."""
    signature = types.int64(*[INT] * 4, F32, F32, F32, F32, width, int8)
    sizes = _literals(width=width, int8=int8)

    def generate(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        rows = screen.pointers(builder, args[1], args[2], 4)
        return screen.hit_mask_rows(builder, args[0], rows, args[3], args[4:8], **sizes)

    return signature, generate


@_plain
def half_at(typing: Any, address: types.Type) -> Generated:
    """Return the float16 at an address as float64 (numba has no float16 on the CPU)."""

    def generate(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        half = emit.load(builder, builder.inttoptr(args[0], emit.F16.as_pointer()), emit.F16, 1)
        return builder.fpext(builder.fpext(half, emit.F32), emit.F64)

    return F64(INT), generate


@_plain
def float_at(typing: Any, address: types.Type) -> Generated:
    """Return the float32 at an address as float64."""

    def generate(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        value = emit.load(builder, builder.inttoptr(args[0], emit.F32.as_pointer()), emit.F32, 1)
        return builder.fpext(value, emit.F64)

    return F64(INT), generate


@_plain
def byte_at(typing: Any, address: types.Type) -> Generated:
    """Return the int8 at an address as float64."""

    def generate(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        value = emit.load(builder, builder.inttoptr(args[0], emit.I8.as_pointer()), emit.I8, 1)
        return builder.sitofp(value, emit.F64)

    return F64(INT), generate


@_plain
def multiply_add(typing: Any, x: types.Type, y: types.Type, z: types.Type) -> Generated:
    """Return x·y + z of float32 numbers, rounded once where the processor can (LLVM's fmuladd)."""

    def generate(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        return emit.fma(builder, *args)

    return F32(F32, F32, F32), generate


@_plain
def trailing_zeros(typing: Any, mask: types.Type) -> Generated:
    """Return the index of the lowest set bit of a mask that is not zero."""

    def generate(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], emit.ir.Constant(emit.I1, 1))

    return types.int64(types.int64), generate


@_plain
def prefetch(typing: Any, address: types.Type) -> Generated:
    """Call `_llvm_emit.prefetch`."""

    def generate(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        emit.prefetch(builder, args[0])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@_plain
def barrier(typing: Any) -> Generated:
    """Keep LLVM from vectorising the loop this is in; emits no instruction."""

    def generate(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        emit.barrier(builder)
        return context.get_dummy_value()

    return types.void(), generate
