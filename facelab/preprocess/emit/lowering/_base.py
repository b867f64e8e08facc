"""The walk over a spec's stages: where the image is, what has been written so far."""

from __future__ import annotations

import dataclasses
from typing import Any, NoReturn

from facelab.core.errors import UnsupportedError
from facelab.preprocess import ops as st
from facelab.preprocess._flow import State
from facelab.preprocess.emit.lowering._program import Buffer, View
from facelab.preprocess.emit.printing._specialise import Functions
from facelab.preprocess.spec import PreprocessSpec, describe


class Base:
    """State of the walk over a spec's stages, and the words that all of them use."""

    def __init__(self, spec: PreprocessSpec, target: str, vectors: bool) -> None:
        self.spec, self.target, self.vectors = spec, target, vectors
        self.functions = Functions()
        self.fields: dict[str, str] = {}
        self.buffers: list[Buffer] = []
        self.constants: dict[str, tuple[str, list[float]]] = {}
        self.plan: list[str] = []
        self.process: list[str] = []
        self.pending: tuple[list[str], int] | None = None
        self.rows: tuple[list[str], int] | None = None
        self.moved = False
        self.index = 0
        faces = [
            i
            for i, s in enumerate(spec.stages)
            if isinstance(s, st.Align) or (isinstance(s, st.Crop) and s.region == "face")
        ]
        self.last_face = max(faces, default=-1)

    # -- small helpers ------------------------------------------------------------------------------------------------

    @property
    def stage(self) -> st.Stage:
        return self.spec.stages[self.index]

    @property
    def tag(self) -> str:
        return f"stage{self.index + 1}"

    def refuse(self, what: str, fix: str) -> NoReturn:
        raise UnsupportedError(
            f"{self.target} cannot do {what} exactly",
            where=f"{self.spec.name}: stage {self.index + 1} ({self.stage.op})",
            fix=fix,
        )

    def field(self, name: str, kind: str, value: str) -> str:
        """Add a number that is found once per frame and return how it is written."""
        self.fields[name] = kind
        self.plan.append(f"g.{name} = {value}")
        return f"g.{name}"

    def buffer(self, name: str, kind: str, *factors: str) -> str:
        """Add an array as long as the product of `factors` and return its name."""
        length = " * ".join(f if f.isdigit() else f"long({f})" for f in factors)
        whole = f"{name}_length"
        self.fields[whole] = "Long"
        self.plan.append(f"g.{whole} = {length}")
        if any("room" in f or "slots" in f for f in factors) or len(factors) > 2:
            self.plan += [f"if too_many(g.{whole}):", "    return SIZE"]
        self.buffers.append(Buffer(name, kind, f"g.{whole}"))
        return name

    def remark(self) -> str:
        return f"Stage {self.index + 1}, {describe(self.stage)}"

    def kernel(self, name: str, constants: dict[str, Any], **types: str) -> str:
        return self.functions.add(name, self.tag, constants, types)

    def constant(self, name: str, kind: str, values: Any) -> Any:
        """Return a number where all are equal, else the name of a constant array."""
        numbers = [float(v) if kind == "Reals" else int(v) for v in values]
        if len(set(numbers)) == 1:
            return numbers[0]
        self.constants[name] = (kind, numbers)
        return f"@{name}"

    def border(self, value: Any, view: View, *, kind: str | None = None) -> Any:
        """Return a border's value per channel; refuse what a byte cannot hold, as every backend does."""
        whole = all(v == round(v) and 0 <= v <= 255 for v in value)
        if view.kind == "Bytes" and kind is None and not whole:
            self.refuse(
                f"the border value {tuple(value)} in a uint8 image",
                "write whole numbers from 0 to 255, or pad after normalize",
            )
        values = list(value) * (view.c if len(value) == 1 else 1)
        return self.constant(f"{self.tag}_border", kind or view.kind, values)

    # -- producers ----------------------------------------------------------------------------------------------------

    def give(self, lines: list[str], view: View) -> None:
        """Say how a row is made: `lines` write row y to array `{dst}` from element `{o}` on."""
        self.pending = (lines, view.c)
        self.view = view

    def settle(self) -> View:
        """Return the current image as an array, making it where rows were only promised."""
        if self.pending is not None:
            lines, c = self.pending
            v, name = self.view, f"image{self.index}"
            self.buffer(name, v.kind, v.w, v.h, str(c))
            self.process.append(f"for y in range({v.h}):")
            text = [x.format(dst=name, o=f"y * {v.w} * {c}") for x in lines]
            self.process += ["    " + x for x in text]
            self.view = dataclasses.replace(v, src=name, sy=f"{v.w} * {c}")
            self.pending = None
        return self.view

    def source(self, view: View) -> str:
        return f"{view.src}, {view.at}, {view.sx}, {view.sy}"

    def rounding(self, before: State, after: State, rounding: str | None) -> str:
        """Return how `store` is written: a rounding function, or nothing."""
        if after.dtype == "uint8" and rounding:
            return f"@pixel_{rounding}"
        return "@"

    @staticmethod
    def kind(state: State) -> str:
        return "Bytes" if state.dtype == "uint8" else "Reals"

    def _move(self, *entries: str, w: str = "", h: str = "") -> None:
        """Follow the face: put a 2×3 map behind the present one, where a later stage needs it."""
        if self.index >= self.last_face:
            return
        if not self.moved:
            for i, value in enumerate(("1.0", "0.0", "0.0", "0.0", "1.0", "0.0")):
                self.field(f"m{i}", "Real", value)
            self.moved = True
        shown = [e.format(w=w, h=h) for e in entries]
        self.plan.append(f"compose(g, {', '.join(shown)})")


def indented(lines: list[str]) -> str:
    """Return lines as the body of a function."""
    return "\n".join("    " + x for x in lines)
