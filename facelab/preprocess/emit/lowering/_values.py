"""Stages that change one value at a time: normalize, cast, quantize; and the last pass into the tensor."""

from __future__ import annotations

import ast
import dataclasses
from typing import Any

import numpy as np

from facelab.preprocess import ops as st
from facelab.preprocess._flow import State
from facelab.preprocess.emit.lowering._base import Base, indented
from facelab.preprocess.emit.lowering._bytes import arithmetic
from facelab.preprocess.emit.lowering._sampling import Sampling

ELEMENTWISE = ("normalize", "layout", "cast", "quantize")
ROUNDERS = ("half_up", "half_away", "truncated", "wrapped", "limited")


class Values(Sampling):
    """Lowers what works on one value, and writes the tensor."""

    # -- values -------------------------------------------------------------------------------------------------------

    def _element(self, first: int, last: int, name: str) -> str:
        """Write what stages first…last make of one value; return how `element` is written (`@`: nothing to do)."""
        lines: list[str] = []
        for i in range(first, last):
            self.index = i
            before = self.spec.states[i - 1]
            text = _value_lines(self, self.stage, before)
            if text:
                lines += [f'"{self.remark()}"', *text]
        if not lines:
            return "@"
        doc = '"""One value of channel c, through the stages that change values."""'
        source = f"def {name}(x: Real, c: Int) -> Real:\n" + indented(
            [doc, "v: Real = x", *lines, "return v"]
        )
        node = ast.parse(source).body[0]
        assert isinstance(node, ast.FunctionDef)
        for call in ast.walk(node):
            name_of = call.func if isinstance(call, ast.Call) else None
            if isinstance(name_of, ast.Name) and name_of.id in ROUNDERS:
                self.functions.add(name_of.id, "", {}, {})
        self.functions.define(node)
        return f"@{name}"

    def _map(self, tail: int) -> None:
        """A run of stages that change values, before another image stage."""
        first = last = self.index
        while last < tail and self.spec.stages[last].op in ELEMENTWISE:
            last += 1
        v = self.settle()
        tag = self.tag
        self.process.append(f'"{self.remark()}"')
        name = self._element(first, last, f"{tag}_value")
        self.index = last - 1
        after = self.spec.states[last - 1]
        out = dataclasses.replace(v, src="row", kind=self.kind(after), at="0", sx=str(v.c), sc=1)
        words = {
            "SC": v.sc,
            "C": v.c,
            "element": name,
            "store": "@byte" if out.kind == "Bytes" else "@",
        }
        call = self.functions.add("map_row", tag, words, {"Src": v.kind, "Dst": out.kind})
        self.give([f"{call}({self.source(v)}, y, {v.w}, {{dst}}, {{o}})"], out)
        self.index = last

    def _tensor(self, first: int) -> None:
        """The last pass: each row of the last image, through the stages that change values, into the tensor."""
        count = len(self.spec.stages)
        state = self.spec.states[-1]
        layout = "chw" if "chw" in state.layout and self.view.c > 1 else "hwc"
        name = self._element(first, count, "value")
        v = self.view
        words: dict[str, Any] = {"LAYOUT": layout, "SC": v.sc, "C": v.c, "element": name}
        self.index = count
        text = [f'"{self._range(first, count)}"']
        quick = self._quick(first, count, name) if v.kind == "Bytes" and self.vectors else None
        words |= {"real": quick} if quick else {}
        look_up = name != "@" and v.kind == "Bytes" and quick is None
        types = {"Src": v.kind}
        at, sx = (v.at, v.sx) if self.pending else (_plus(v.at, f"y * ({v.sy})"), v.sx)
        src = "row" if self.pending else v.src
        if look_up:
            per_channel = v.c > 1 and len(self.functions.kept["value"]) == 2
            channels = v.c if per_channel else 1
            fill = self.functions.add("table", "value", words, types)
            values = self.buffer("values", "Out", "256", str(channels))
            text.append(f"{fill}({values}, {channels})")
            call = self.functions.add("tensor_row_by_table", "value", words, types)
            apart = 256 if per_channel else 0
            line = f"{call}({src}, {at}, {sx}, y, {v.w}, {v.h}, {values}, {apart}, tensor)"
        else:
            call = self.functions.add("tensor_row", "value", words, types)
            line = f"{call}({src}, {at}, {sx}, y, {v.w}, {v.h}, tensor)"
        text.append(f"for y in range({v.h}):")
        if self.pending:
            lines, c = self.pending
            self.buffer("row", v.kind, v.w, str(c))
            text += ["    " + x.format(dst="row", o="0") for x in lines]
        self.process += [*text, f"    {line}"]
        self.field("tensor_length", "Long", f"long({v.w}) * long({v.h}) * {v.c}")

    def _quick(self, first: int, count: int, name: str) -> str | None:
        """Write the last stages without a table, where no value differs; return how they take a byte."""
        if name != "@":
            return arithmetic(self, first, count)
        return "@narrow" if self.spec.states[-1].dtype in ("float", "float32") else "@"

    def _range(self, first: int, count: int) -> str:
        if first >= count:
            return "The last image, row by row, is the tensor"
        rest = [self.spec.stages[i].op for i in range(first, count)]
        return f"Stages {first + 1} to {count}, row by row: {', '.join(rest)}"


def _plus(at: str, more: str) -> str:
    return more if at == "0" else f"{at} + {more}"


def _value_lines(self: Base, s: st.Stage, before: State) -> list[str]:
    """Return the lines that carry a normalize, cast or quantize out on one value v."""
    if "float16" in (before.dtype, getattr(s, "dtype", "")):
        self.refuse("16-bit floats", "write float32, or emit Python")
    if isinstance(s, st.Normalize):
        return _normalize_lines(self, s, before.dtype == "float32")
    if isinstance(s, st.Cast):
        if s.dtype.startswith("float"):
            wide = before.dtype in ("float", "float64", "int32")
            return ["v = single(v)"] if s.dtype == "float32" and wide else []
        real = before.dtype.startswith("float")
        lines = [_ROUND[s.rounding or "floor"]] if real else []
        return [*lines, *_fit(s.dtype, bool(s.saturate), before.dtype)]
    if isinstance(s, st.Quantize):
        scale = float(np.float32(s.scale))
        lines = [] if before.dtype in ("uint8", "float32") else ["v = single(v)"]
        lines += [f"v = single(v / {scale!r})", _ROUND[s.rounding]]
        lines += [f"v = v + {float(s.zero_point)!r}"] if s.zero_point else []
        return [*lines, *_fit(s.dtype, s.saturate, "float")]
    return []


_ROUND = {
    "half_even": "v = rint(v)",
    "half_up": "v = half_up(v)",
    "half_away": "v = half_away(v)",
    "truncate": "v = truncated(v)",
    "floor": "v = floor(v)",
}


def _normalize_lines(self: Base, s: st.Normalize, single: bool) -> list[str]:
    def number(name: str, values: tuple[float, ...]) -> str:
        real = [float(np.float32(v)) if single else float(v) for v in values]
        found = self.constant(f"{self.tag}_{name}", "Reals", real)
        return f"{found[1:]}[c]" if isinstance(found, str) else repr(found)

    def step(text: str) -> str:
        return f"v = single({text})" if single else f"v = {text}"

    lines = [step("v / 255.0")] if s.units == "0-1" else []
    lines += [] if set(s.mean) == {0.0} else [step(f"v - {number('mean', s.mean)}")]
    lines += [] if set(s.scale) == {1.0} else [step(f"v / {number('scale', s.scale)}")]
    return lines


def _fit(dtype: str, saturate: bool, before: str) -> list[str]:
    info = np.iinfo(dtype)
    low, high = float(info.min), float(info.max)
    if before in ("uint8", "int8", "int16", "int32"):
        old = np.iinfo(before)
        if info.min <= old.min and old.max <= info.max:
            return []
    if saturate:
        return [f"v = limited(v, {low!r}, {high!r})"]
    return [f"v = wrapped(v, {high - low + 1!r}, {high + 1!r})"]
