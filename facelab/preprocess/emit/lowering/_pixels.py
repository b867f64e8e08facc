"""Stages that move or mix whole pixels: orient, color, crop, pad."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any

from facelab.preprocess import ops as st
from facelab.preprocess.colour import KR_KB, yuv_to_rgb_terms
from facelab.preprocess.emit.lowering._base import Base
from facelab.preprocess.emit.lowering._program import View
from facelab.preprocess.sizes import whole_box


class Pixels(Base):
    """Lowers orient, color, crop and pad."""

    # -- orient -------------------------------------------------------------------------------------------------------

    def _orient(self, s: st.Orient) -> None:
        encoded = self.spec.decoding.format == "encoded"
        exif = s.exif == "apply" and encoded
        if not exif and s.transform == "none":
            return
        leading = self.index == 1
        if exif and not leading and self.index < self.last_face:
            self.refuse(
                "an EXIF orientation behind other stages before the face is used",
                "put the orient stage directly behind decode",
            )
        v = self.settle()
        k = self.index + 1
        g = {
            name: self.field(f"{name}{k}", "Int", value)
            for name, value in (("at", v.at), ("sx", v.sx), ("sy", v.sy), ("w", v.w), ("h", v.h))
        }
        if exif:
            self.fields["exif"] = ""
            self.plan += ["if orientation < 1 or orientation > 8:", "    return ORIENTATION"]
            for test, what in (
                ("orientation >= 5", "transpose"),
                (_any("orientation", (2, 3, 6, 7)), "flip_horizontal"),
                (_any("orientation", (3, 4, 7, 8)), "flip_vertical"),
            ):
                self.plan.append(f"if {test}:")
                self.plan += ["    " + x for x in _turn(what, k, f"exif{k}")]
        for what in _PARTS[s.transform]:
            self.plan += _turn(what, k, f"fixed{k}")
        if not leading:
            self._move(*_TRANSFORMS[s.transform], w=v.w, h=v.h)
        self.view = dataclasses.replace(v, at=g["at"], sx=g["sx"], sy=g["sy"], w=g["w"], h=g["h"])

    # -- color --------------------------------------------------------------------------------------------------------

    def _color(self, s: st.Color) -> None:
        source, target, v = s.source, s.target, self.view
        if source == target:
            return
        if source == "gray":
            self.view = dataclasses.replace(v, sc=0, c=3)
            return
        if {source, target} == {"rgb", "bgr"}:
            at = f"{v.at} + {2 * v.sc}" if v.sc >= 0 else f"{v.at} - {-2 * v.sc}"
            self.view = dataclasses.replace(v, at=at, sc=-v.sc)
            return
        before, after = self.spec.states[self.index - 1], self.spec.states[self.index]
        v = self.settle()
        c = 1 if target == "gray" else 3
        out = dataclasses.replace(v, src="row", kind=self.kind(after), at="0", sx=str(c), sc=1, c=c)
        places = {"R": 0, "G": 1, "B": 2}
        if "bgr" in (source, target):
            places = {"R": 2, "G": 1, "B": 0}
        words: dict[str, Any] = {
            "SC": v.sc,
            "store": self.rounding(before, after, s.rounding),
            **places,
        }
        name, more = colour_terms(s)
        if target == "gray" and v.kind == out.kind == "Bytes":
            name, more = _whole_gray(s) or (name, more)
        call = self.kernel(name, words | more, Src=v.kind, Dst=out.kind)
        self.give([f"{call}({self.source(v)}, y, {v.w}, {{dst}}, {{o}})"], out)

    # -- crop and pad -------------------------------------------------------------------------------------------------

    def _crop(self, s: st.Crop) -> None:
        if s.region == "full":
            return
        v = self.settle()
        k = self.index + 1
        for name, value in zip(("left", "top", "right", "bottom"), self._edges(s, v, k)):
            self.plan.append(f"{name}{k}: Long = {value}")
        outside = s.outside or "clip"
        if outside == "clip":
            self.plan += [
                f"left{k} = left{k} if left{k} > 0 else 0",
                f"top{k} = top{k} if top{k} > 0 else 0",
                f"right{k} = right{k} if right{k} < long({v.w}) else long({v.w})",
                f"bottom{k} = bottom{k} if bottom{k} < long({v.h}) else long({v.h})",
            ]
        if outside == "replicate":
            self.plan += [
                f"if left{k} >= long({v.w}) or top{k} >= long({v.h}) or right{k} <= 0 or bottom{k} <= 0:",
                "    return CROP",
            ]
        self.plan += [f"if too_large(right{k} - left{k}, bottom{k} - top{k}):", "    return CROP"]
        x = self.field(f"x{k}", "Int", f"whole(left{k})")
        y = self.field(f"y{k}", "Int", f"whole(top{k})")
        w = self.field(f"w{k}", "Int", f"whole(right{k} - left{k})")
        h = self.field(f"h{k}", "Int", f"whole(bottom{k} - top{k})")
        self._move("1.0", "0.0", f"-real({x})", "0.0", "1.0", f"-real({y})")
        if outside == "clip":
            at = self.field(f"at{k}", "Int", f"{v.at} + {y} * ({v.sy}) + {x} * ({v.sx})")
            self.view = dataclasses.replace(v, at=at, w=w, h=h)
            return
        self._place(v, x, f"{y} + y", outside, s.value, w, h)

    def _place(self, v: View, x: str, row: str, outside: str, value: Any, w: str, h: str) -> None:
        fill = self.border(value, v) if value is not None else 0
        words = {"OUTSIDE": outside, "VALUE": fill, "SC": v.sc, "C": v.c}
        name = self.kernel("place_row", words, Src=v.kind, Dst=v.kind)
        out = View("row", v.kind, "0", str(v.c), "", 1, v.c, w, h)
        call = f"{name}({self.source(v)}, {v.w}, {v.h}, {x}, {row}, {w}, {{dst}}, {{o}})"
        self.give([call], out)

    def _edges(self, s: st.Crop, v: View, k: int) -> list[str]:
        if s.region == "box":
            assert s.box is not None and s.box_rounding is not None
            return [str(max(-(10**9), min(10**9, n))) for n in whole_box(s.box, s.box_rounding)]
        if s.region in ("square", "center"):
            if s.region == "square":
                self.plan.append(f"side{k}: Long = long({v.w}) if {v.w} < {v.h} else long({v.h})")
                sides = (f"side{k}", f"side{k}")
            else:
                assert s.size is not None
                sides = (str(s.size[0]), str(s.size[1]))
            x, y = (
                f"(long({n}) - {side} + 131072) // 2 - 65536" for n, side in zip((v.w, v.h), sides)
            )
            return [x, y, f"left{k} + {sides[0]}", f"top{k} + {sides[1]}"]
        return self._face_edges(s, k)

    def _face_edges(self, s: st.Crop, k: int) -> list[str]:
        add = self.plan.append
        for i in range(4):
            add(f"if not (fabs(box[{i}]) < 1e300):")
            add("    return FACE")
        add("if box[2] <= box[0] or box[3] <= box[1]:")
        add("    return FACE")
        names = [f"{n}{k}" for n in ("a", "b", "c", "d")]
        if not self.moved:
            for name, i in zip(names, range(4)):
                add(f"{name}: Real = box[{i}]")
        else:
            for axis, (low, high) in enumerate((("a", "c"), ("b", "d"))):
                m = [f"g.m{3 * axis + i}" for i in range(3)]
                for side, i in (("from", 0), ("to", 2)):
                    add(
                        f"{side}{axis}_{k}: Real = {m[0]} * box[{i}] + {m[1]} * box[{i + 1}] + {m[2]}"
                    )
                first, second = f"from{axis}_{k}", f"to{axis}_{k}"
                add(f"{low}{k}: Real = {first} if {first} < {second} else {second}")
                add(f"{high}{k}: Real = {second} if {first} < {second} else {first}")
        a, b, c, d = names
        margin = repr(float(s.margin or 0.0))
        add(f"across{k}: Real = {c} - {a}")
        add(f"down{k}: Real = {d} - {b}")
        for name, sign, side in (
            (a, "-", "across"),
            (b, "-", "down"),
            (c, "+", "across"),
            (d, "+", "down"),
        ):
            add(f"{name} = {name} {sign} {margin} * {side}{k}")
        if s.aspect != "keep":
            longer = ">" if s.aspect == "square_longer" else "<"
            add(f"across{k} = {c} - {a}")
            add(f"down{k} = {d} - {b}")
            add(f"side{k}: Real = across{k} if across{k} {longer} down{k} else down{k}")
            add(f"x{k}: Real = ({a} + {c}) / 2.0")
            add(f"y{k}: Real = ({b} + {d}) / 2.0")
            for name, centre, sign in ((a, "x", "-"), (b, "y", "-"), (c, "x", "+"), (d, "y", "+")):
                add(f"{name} = {centre}{k} {sign} side{k} / 2.0")
        edges = [_edge(n, s.box_rounding, i >= 2) for i, n in enumerate(names)]
        if s.aspect != "keep":  # the rounded sides are made equal
            edges[3] = f"top{k} + (right{k} - left{k})"
        return edges

    def _pad(self, s: st.Pad) -> None:
        v = self.settle()
        k = self.index + 1
        if s.to:
            w, h = str(s.to[0]), str(s.to[1])
            self.plan += [f"if {v.w} > {w} or {v.h} > {h}:", "    return SIZE"]
        else:
            m = s.multiple
            w = self.field(f"w{k}", "Int", f"({v.w} + {m} - 1) // {m} * {m}")
            h = self.field(f"h{k}", "Int", f"({v.h} + {m} - 1) // {m} * {m}")
            self.plan += [f"if too_large(long({w}), long({h})):", "    return SIZE"]
        left, top = self._anchor(s.anchor, (v.w, v.h), (w, h), k)
        self._move("1.0", "0.0", f"real({left})", "0.0", "1.0", f"real({top})")
        self._place(v, f"-{left}", f"y - {top}", s.border, s.value, w, h)

    def _anchor(
        self, anchor: str, inner: tuple[str, str], outer: tuple[str, str], k: int
    ) -> tuple[Any, ...]:
        if anchor == "top_left":
            return "0", "0"
        left = self.field(f"left{k}", "Int", f"({outer[0]} - {inner[0]}) // 2")
        return left, self.field(f"top{k}", "Int", f"({outer[1]} - {inner[1]}) // 2")


_PARTS = {
    "none": (),
    "transpose": ("transpose",),
    "transverse": ("transpose", "flip_horizontal", "flip_vertical"),
    "rotate90": ("transpose", "flip_horizontal"),
    "rotate270": ("transpose", "flip_vertical"),
    "rotate180": ("flip_horizontal", "flip_vertical"),
    "flip_horizontal": ("flip_horizontal",),
    "flip_vertical": ("flip_vertical",),
}
_TRANSFORMS = {
    "none": ("1.0", "0.0", "0.0", "0.0", "1.0", "0.0"),
    "flip_horizontal": ("-1.0", "0.0", "real({w})", "0.0", "1.0", "0.0"),
    "flip_vertical": ("1.0", "0.0", "0.0", "0.0", "-1.0", "real({h})"),
    "rotate180": ("-1.0", "0.0", "real({w})", "0.0", "-1.0", "real({h})"),
    "transpose": ("0.0", "1.0", "0.0", "1.0", "0.0", "0.0"),
    "transverse": ("0.0", "-1.0", "real({h})", "-1.0", "0.0", "real({w})"),
    "rotate90": ("0.0", "-1.0", "real({h})", "1.0", "0.0", "0.0"),
    "rotate270": ("0.0", "1.0", "0.0", "-1.0", "0.0", "real({w})"),
}


def _turn(what: str, k: int, name: str) -> list[str]:
    """Return the lines that turn a view: exchange the axes, or walk one of them backwards."""
    if what == "transpose":
        return [
            f"{name}: Int = g.sx{k}",
            f"g.sx{k} = g.sy{k}",
            f"g.sy{k} = {name}",
            f"{name} = g.w{k}",
            f"g.w{k} = g.h{k}",
            f"g.h{k} = {name}",
        ]
    side, step = ("w", "sx") if what == "flip_horizontal" else ("h", "sy")
    return [f"g.at{k} = g.at{k} + (g.{side}{k} - 1) * g.{step}{k}", f"g.{step}{k} = -g.{step}{k}"]


def _any(name: str, values: tuple[int, ...]) -> str:
    return " or ".join(f"{name} == {v}" for v in values)


def _edge(name: str, rounding: str | None, far: bool) -> str:
    if rounding == "outward" and far:
        return f"long(ceil(limited({name}, -1000000000.0, 1000000000.0)))"
    return f"edge_nearest({name})" if rounding == "nearest" else f"long_floor({name})"


def _whole_gray(s: st.Color) -> tuple[str, dict[str, Any]] | None:
    """Return weights as whole numbers over a common one, where float32 tells their sums from a rounding's tie."""
    if s.rounding == "half_even":
        return None
    thirds = s.weights == "average"
    parts = [Fraction(1, 3) if thirds else Fraction(str(w)) for w in s.gray_weights()]
    below = math.lcm(*(p.denominator for p in parts))
    top = below * max(1, math.ceil(sum(parts))) * 256
    half = s.rounding == "half_up"
    apart = 0.25 if half and below % 2 else 0.5  # sums are 1 apart, ties of odd ones 1/2
    if min(parts) < 0 or top >= 2**22 or top * 2.0**-23 >= apart:
        return None
    r, g, b = (int(p * below) for p in parts)
    words = {"IR": r, "IG": g, "IB": b, "OVER": sum(parts) > 1}
    return "whole_gray_row", words | {"YO": half * below / 2 + apart, "SU": 1.0 / below}


def colour_terms(s: st.Color) -> tuple[str, dict[str, Any]]:
    """Return the kernel of a color stage and its numbers."""
    if s.target == "gray":
        r, g, b = s.gray_weights()
        return "gray_row", {"WR": float(r), "WG": float(g), "WB": float(b)}
    assert s.matrix is not None and s.range is not None
    if s.source == "yuv":
        t = yuv_to_rgb_terms(s.matrix, s.range)
        names = {"Y0": "y0", "GAIN": "y", "RV": "rv", "GU": "gu", "GV": "gv", "BU": "bu"}
        return "yuv_to_rgb_row", {k: t[v] for k, v in names.items()}
    kr, kb = KR_KB[s.matrix]
    limited = s.range == "limited"
    return "rgb_to_yuv_row", {
        "WR": kr,
        "WG": 1 - kr - kb,
        "WB": kb,
        "SU": 2 * (1 - kb),
        "SV": 2 * (1 - kr),
        "YO": 16.0 if limited else 0.0,
        "GAIN": 219 / 255,
        "CG": 224 / 255,
    }
