"""What the last stages make of a byte, as arithmetic that compilers turn into vectors; tables of 256 do not allow that.

Three ways are tried, the quickest first: float32, a product and a sum in float64, whole numbers. Each is carried out on
all 256 bytes of every channel, and taken only where every result is the stages' own.
"""

from __future__ import annotations

import ast
from typing import Any

import numpy as np

from facelab.preprocess import ops as st
from facelab.preprocess.backends import make
from facelab.preprocess.emit.lowering._base import Base, indented

BYTES = np.arange(256)
SHIFT = 16


def arithmetic(self: Base, first: int, last: int) -> str | None:
    """Write stages first…last on a byte as the kernel `value`; return the word that a byte goes through first.

    None, and nothing is written, where only a table gives the same results.
    """
    table = _table(self, first, last)
    for way in (_single, _product, _whole):
        node = way(self, first, last, table)
        self.index = len(self.spec.stages)
        if node is not None:
            self.functions.define(node)
            return {"Single": "@narrow", "Int": "@whole"}.get(_kind(node), "@real")
    return None


def _table(self: Base, first: int, last: int) -> np.ndarray:
    """Return what the reference makes of each byte, (channel, 256)."""
    engine = make("reference")
    x = BYTES.astype(np.uint8)[:, None].repeat(self.spec.states[first - 1].channels, 1)
    for s in self.spec.stages[first:last]:
        x = x if isinstance(s, st.Layout) else getattr(engine, s.op)(x, s)
    return (x.astype(np.float32) if self.spec.states[last - 1].dtype == "float" else x).T


def _kind(node: ast.FunctionDef) -> str:
    return getattr(node.returns, "id", "")


def _function(kind: str, doc: str, lines: list[str]) -> ast.FunctionDef:
    text = f'def value(x: {kind}, c: Int) -> {kind}:\n    """{doc}"""\n' + indented(lines)
    node = ast.parse(text).body[0]
    assert isinstance(node, ast.FunctionDef)
    return node


def _stages(self: Base, first: int, last: int) -> str:
    word = "Stages" if last - first > 1 else "Stage"
    ops = [f"{i + 1} ({self.spec.stages[i].op})" for i in range(first, last)]
    return f"{word} {', '.join(ops)}"


# -- float32 ----------------------------------------------------------------------------------------------------------


def _single(self: Base, first: int, last: int, table: np.ndarray) -> ast.FunctionDef | None:
    """Return the stages one by one in float32."""
    x = BYTES.astype(np.float32)[None].repeat(len(table), 0)
    lines: list[str] = []
    for i in range(first, last):
        self.index = i
        s = self.stage
        if isinstance(s, st.Normalize):
            steps = [(s.mean, "-", "mean")] if set(s.mean) != {0.0} else []
            steps += [(s.scale, "/", "scale")] if set(s.scale) != {1.0} else []
            steps = [((255.0,), "/", "255"), *steps] if s.units == "0-1" else steps
            lines.append(f'"{self.remark()}"')
            for values, sign, name in steps:
                number = np.array(values, np.float32)[:, None]
                x = x - number if sign == "-" else x / number
                every = f"{self.tag}_{name}[c]"
                shown = repr(float(number[0, 0])) if len(set(values)) == 1 else every
                lines.append(f"v = v {sign} narrow({shown})")
        elif not isinstance(s, st.Layout) and getattr(s, "dtype", "") != "float32":
            return None
    if table.dtype != np.float32 or not np.array_equal(x, table):
        return None
    doc = "One value of channel c, in float32: for each of the 256 bytes the float that float64 gives."
    return _function("Single", doc, ["v: Single = x", *lines, "return v"])


# -- a product and a sum ----------------------------------------------------------------------------------------------


def _product(self: Base, first: int, last: int, table: np.ndarray) -> ast.FunctionDef | None:
    """Return the stages as one product and one sum in float64."""
    normal = next((s for s in self.spec.stages[first:last] if isinstance(s, st.Normalize)), None)
    if table.dtype != np.float32 or normal is None:
        return None
    mean, scale = (np.broadcast_to(np.array(v), len(table)) for v in (normal.mean, normal.scale))
    slope, start = 1.0 / (scale * (255.0 if normal.units == "0-1" else 1.0)), -mean / scale
    if not np.array_equal((BYTES * slope[:, None] + start[:, None]).astype(np.float32), table):
        return None
    text = [_number(self, n, v) for n, v in (("slope", slope), ("start", start))]
    doc = "One value of channel c: for each of the 256 bytes the float of the stages one by one."
    note = f'"{_stages(self, first, last)}, as one product and one sum"'
    return _function("Real", doc, [note, f"return x * {text[0]} + {text[1]}"])


def _number(self: Base, name: str, values: np.ndarray, kind: str = "Reals") -> str:
    found = self.constant(f"value_{name}", kind, values.tolist())
    return f"{found[1:]}[c]" if isinstance(found, str) else repr(found)


# -- whole numbers ----------------------------------------------------------------------------------------------------


def _whole(self: Base, first: int, last: int, table: np.ndarray) -> ast.FunctionDef | None:
    """Return the stages as a product, a sum and a shift of whole numbers, limited where they saturate."""
    if table.dtype.name not in ("uint8", "int8", "int16"):
        return None
    info: np.iinfo[Any] = np.iinfo(table.dtype)
    fits = [_line(row.astype(np.int64), info.min, info.max) for row in table]
    if any(f is None for f in fits):
        return None
    slope, start = np.array(fits).T
    up = int(max(0, -(int(start.min()) >> SHIFT)))  # shifted numbers are not negative
    start = start + (up << SHIFT)
    if int((255 * slope + start).max()) >= 2**31:
        return None
    made = ((BYTES * slope[:, None] + start[:, None]) >> SHIFT) - up
    text = [_number(self, n, v, "Ints") for n, v in (("slope", slope), ("start", start))]
    shift = f"shifted(x * {text[0]} + {text[1]}, {SHIFT})"
    lines = [f"v: Int = {shift} - {up}" if up else f"v: Int = {shift}"]
    lines += [f"v = v if v > {info.min} else {info.min}"] if made.min() < info.min else []
    lines += [f"v = v if v < {info.max} else {info.max}"] if made.max() > info.max else []
    if not np.array_equal(np.clip(made, info.min, info.max), table):
        return None
    doc = "One value of channel c: for each of the 256 bytes the number of the stages one by one."
    note = f'"{_stages(self, first, last)}, in 1/{1 << SHIFT}"'
    return _function("Int", doc, [note, *lines, "return v"])


def _line(row: np.ndarray, low: int, high: int) -> tuple[int, int] | None:
    """Return slope and start, in 1/65536, of a line whose whole part is every value, once limited to low…high."""
    at = np.flatnonzero((row > low) & (row < high))
    if len(at) < 2 or not 0 < row[at[-1]] - row[at[0]] < 128 * (at[-1] - at[0]):
        return None
    rise, run = int(row[at[-1]] - row[at[0]]), int(at[-1] - at[0])
    low_end, high_end = ((rise + off) * 65536 // run for off in (-1, 1))
    slopes = np.unique(np.linspace(low_end, high_end, 2048).astype(np.int64))[:, None]
    least = (row[at] * 65536 - at * slopes).max(1)
    most = ((row[at] + 1) * 65536 - at * slopes).min(1) - 1
    for k in np.flatnonzero(least <= most):
        slope, start = int(slopes[k, 0]), int(least[k] + most[k]) // 2
        if np.array_equal(np.clip((BYTES * slope + start) >> SHIFT, low, high), row):
            return slope, start
    return None
