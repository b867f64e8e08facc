"""From a spec to a program: each stage as lines over plain arrays, in the kernel language."""

from __future__ import annotations

from facelab.preprocess import ops as st
from facelab.preprocess.emit.lowering._base import indented
from facelab.preprocess.emit.lowering._pixels import colour_terms
from facelab.preprocess.emit.lowering._program import BOX, ERRORS, MARKS, Buffer, Program, View
from facelab.preprocess.emit.lowering._values import ELEMENTWISE, Values
from facelab.preprocess.spec import PreprocessSpec

__all__ = ["BOX", "ERRORS", "MARKS", "Buffer", "Program", "colour_terms", "lower"]


def lower(spec: PreprocessSpec, target: str, *, vectors: bool = False) -> Program:
    """Return the program of a spec; raise UnsupportedError naming the stage that `target` cannot do exactly.

    `vectors`: the target's compilers turn simple loops into vector instructions, so these are preferred to tables.
    """
    return _Lowering(spec, target, vectors).run()


class _Lowering(Values):
    """The whole walk: decode, the stages, the tensor."""

    # -- the walk -----------------------------------------------------------------------------------------------------

    def run(self) -> Program:
        self._decode(self.spec.decoding)
        count = len(self.spec.stages)
        tail = count
        while tail > 1 and self.spec.stages[tail - 1].op in ELEMENTWISE:
            tail -= 1
        self.index = 1
        while self.index < tail:
            s = self.stage
            if s.op in ELEMENTWISE:
                self._map(tail)
                continue
            self.process.append(f'"{self.remark()}"')
            self.plan.append(f'"{self.remark()}"')
            getattr(self, f"_{s.op}")(s)
            self.index += 1
        self._tensor(tail)
        return self._program()

    def _program(self) -> Program:
        needs = ("width", "height")
        face = [s for s in self.spec.stages if isinstance(s, st.Crop) and s.region == "face"]
        if "exif" in self.fields:
            del self.fields["exif"]
            needs = (*needs, "orientation")
        needs = (*needs, "box") if face else needs
        needs = (*needs, "marks") if self.spec.find("align") else needs
        kinds = {"width": "Int", "height": "Int", "orientation": "Int", "box": "Reals"}
        args = ", ".join(f"{n}: {kinds.get(n, 'Reals')}" for n in needs)
        args += ", p: Reals, t: Reals" if "marks" in needs else ""
        body = [*self.plan, "return OK"]
        doc = '"""Find sizes and places for one picture; 0, or the code of what is wrong."""'
        self.functions.parse(f"def plan(g: Geometry, {args}) -> Int:\n" + indented([doc, *body]))
        args = "".join(f", {b.name}: {b.kind}" for b in self.buffers)
        doc = '"""Carry the stages out on one frame."""'
        self.functions.parse(
            f"def process(g: Geometry, frame: Bytes{args}, tensor: Out) -> None:\n"
            + indented([doc, *self.process])
        )
        used = self.functions.used("plan", "process")
        self.constants = {n: v for n, v in self.constants.items() if n in used}
        state = self.spec.states[-1]
        axes = {"n": "1", "h": self.view.h, "w": self.view.w, "c": str(self.view.c)}
        dtype = "float32" if state.dtype == "float" else state.dtype
        return Program(
            spec=self.spec,
            functions=self.functions,
            fields=self.fields,
            buffers=self.buffers,
            constants=self.constants,
            needs=needs,
            shape=[axes[a] for a in state.layout],
            count="g.tensor_length",
            frame_length="g.frame_length",
            out=dtype,
            out_doc=f"{dtype}, axes {state.layout}, channels {state.order}",
        )

    def _decode(self, s: st.Decode) -> None:
        c = 1 if s.order == "gray" else 3
        self.plan.append(f'"{self.remark()}"')
        if s.size:
            w, h = (str(v) for v in s.size)
            self.plan += [f"if width != {w} or height != {h}:", "    return SIZE"]
        else:
            self.plan += ["if too_large(long(width), long(height)):", "    return SIZE"]
            w, h = self.field("width", "Int", "width"), self.field("height", "Int", "height")
        length = f"long({w}) * long({h}) * {c}"
        if s.format in ("yuyv", "nv12"):
            length = f"long({w}) * long({h}) * {'2' if s.format == 'yuyv' else '3 // 2'}"
        self.field("frame_length", "Long", length)
        view = View("frame", "Bytes", "0", str(c), f"{w} * {c}", 1, c, w, h)
        if s.format in ("yuyv", "nv12"):
            self.process.append(f'"{self.remark()}"')
            name = self.kernel(f"{s.format}_row", {})
            more = f"{w}, {h}" if s.format == "nv12" else w
            self.give([f"{name}(frame, y, {more}, {{dst}}, {{o}})"], view)
        else:
            self.view = view
