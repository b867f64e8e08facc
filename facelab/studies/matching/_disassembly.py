"""Proof by disassembly: which instructions a kernel's machine code has, and what its inner loop looks like."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.matching.internals import kernels as loops
from facelab.matching.kernels import choose

_INSTRUCTION = re.compile(r"^\s+([a-z][a-z0-9.]*)\s+(.*)$")
# x86: v?addps, v?mulps, vfmadd231ps … are packed, …ss scalar. AArch64: "fmla v0.4s" is packed, "fmadd s0" scalar.
_X86 = re.compile(r"^v?(?:add|sub|mul|div|fn?m(?:add|sub)\d{3})(ps|pd|ss|sd)$")
_INTEGER = re.compile(r"^v?p(?:dpbusd|maddubsw|maddwd|mulld|mullw)s?$")
_LABEL = re.compile(r"^(\.?L[\w.$]*):")
KERNELS = ("scalar", "scalar-strict", "scalar4", "autovec", "simd", "blocked", "blocked int8")


@dataclass(frozen=True)
class Listing:
    """One kernel's arithmetic: packed and scalar instructions counted, register widths, and its hottest loop."""

    kernel: str
    packed: int
    scalar: int
    widths: tuple[int, ...]
    mnemonics: dict[str, int]
    inner_loop: str


def _function(kernel: str, isa: Any) -> tuple[Any, tuple[Any, ...]]:
    from numba import types

    f2 = types.Array(types.float32, 2, "C")
    index = types.intp
    plain = (f2, f2, f2, index, index)
    if kernel == "blocked":
        return loops.blocked(isa, True), (*plain, index, index)
    if kernel == "blocked int8":
        squares = types.Array(types.float64, 1, "C")
        return loops.blocked_i8(isa), (
            types.Array(types.int8, 2, "C"),
            types.Array(types.uint8, 3, "C"),
            squares,
            squares,
            types.boolean,
            f2,
            index,
            index,
        )
    if kernel == "simd":
        return loops.explicit(isa, True), plain
    return {
        "scalar": loops.scalar_l2,
        "scalar-strict": loops.strict_l2,
        "scalar4": loops.scalar4_l2,
        "autovec": loops.autovec_l2,
    }[kernel], plain


def listing(kernel: str, *, isa: str | None = None) -> Listing:
    """Compile a pairwise kernel afresh for squared L2 and return what its machine code does.

    kernel: one of `KERNELS`. "blas" is not ours to compile.

    >>> found = listing("scalar")
    >>> found.packed, found.scalar > 0
    (0, True)
    """
    if kernel not in KERNELS:
        raise BadInputError(
            f"there is no listing for the kernel {kernel!r}",
            expected=", ".join(KERNELS),
            fix="name one of these kernels",
        )
    from numba import njit

    function, signature = _function(kernel, choose(isa))
    options = {k: v for k, v in function.targetoptions.items() if k in ("fastmath", "nogil")}
    compiled = njit(**options)(
        function.py_func
    )  # not from the cache: a cached kernel has no assembly text
    compiled.compile(signature)
    return read(kernel, "\n".join(compiled.inspect_asm().values()))


def read(kernel: str, assembly: str) -> Listing:
    """Count the arithmetic instructions of an assembly text and find the loop with the most of them per line."""
    lines = assembly.splitlines()
    packed, scalar, widths = Counter(), Counter(), set()
    for line in lines:
        kind = _kind(line)
        if kind:
            (packed if kind[0] else scalar)[kind[1]] += 1
            if kind[0]:
                widths |= {
                    bits
                    for name, bits in (("zmm", 512), ("ymm", 256), ("xmm", 128))
                    if name in line
                }
                widths |= {128} if re.search(r"\bv\d+\.", line) else set()
    return Listing(
        kernel,
        sum(packed.values()),
        sum(scalar.values()),
        tuple(sorted(widths)),
        dict((packed + scalar).most_common()),
        _inner_loop(lines),
    )


def _kind(line: str) -> tuple[bool, str] | None:
    match = _INSTRUCTION.match(line)
    if not match:
        return None
    name, operands = match.groups()
    if x86 := _X86.match(name):
        return x86[1].startswith("p"), name
    if _INTEGER.match(name):
        return True, name
    if re.match(r"^(f(add|sub|mul|mla|mls|madd|msub)|sdot)$", name):
        return bool(re.match(r"v\d+\.", operands)), name
    return None


def _inner_loop(lines: list[str]) -> str:
    """Return the body of the innermost loop with the most arithmetic: from a label to a jump back to it."""
    labels, best, score = {}, "", 0
    for number, line in enumerate(lines):
        if match := _LABEL.match(line):
            labels[match[1]] = number
        jump = re.match(r"^\s+(?:j[a-z]+|b(?:\.[a-z]+)?)\s+(\.?L[\w.$]*)", line)
        if jump and jump[1] in labels:
            body = lines[labels[jump[1]] : number + 1]
            if sum(bool(_LABEL.match(x)) for x in body) > 1:
                continue
            count = sum(_kind(x) is not None for x in body)
            if count > score:
                best, score = (
                    "\n".join(
                        x
                        for x in body
                        if (x.strip() and not x.lstrip().startswith((".", "#"))) or _LABEL.match(x)
                    ),
                    count,
                )
    return best


def fractions(listings: list[Listing]) -> np.ndarray:
    """Return each kernel's share of packed instructions among its arithmetic."""
    return np.array([x.packed / max(1, x.packed + x.scalar) for x in listings])
