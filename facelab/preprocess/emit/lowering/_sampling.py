"""Stages that sample between pixels: align and resize."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np

from facelab.preprocess import ops as st
from facelab.preprocess.align import template
from facelab.preprocess.emit.lowering._pixels import Pixels
from facelab.preprocess.emit.lowering._program import View

LIMIT = 2**31


def resize_words(s: st.Resize) -> dict[str, Any]:
    """Return the words of a resize that every language's kernel is specialised by."""
    return {
        "KERNEL": s.kernel,
        "CENTERS": s.pixel_centers,
        "ANTIALIAS": s.antialias,
        "EDGE": s.edge or "replicate",
        "PASSES": s.passes or "",
        "A": s.cubic_a,
        "LOBES": s.lobes,
    }


class Sampling(Pixels):
    """Lowers align and resize."""

    # -- align --------------------------------------------------------------------------------------------------------

    def _align(self, s: st.Align) -> None:
        before, after = self.spec.states[self.index - 1], self.spec.states[self.index]
        v = self.settle()
        self._landmarks()
        points = np.asarray(template(s.template, s.size, s.padding), dtype=np.float64).ravel()
        self.constants[f"{self.tag}_template"] = ("Reals", [float(p) for p in points])
        fit = self.kernel(s.estimator, {"TEMPLATE": f"@{self.tag}_template"})
        places = {f"r{i}": f"@r{i}_{self.index + 1}" for i in range(6)}
        self.fields |= {name[1:]: "Real" for name in places.values()}
        back = self.kernel("invert", places)
        self.plan += [
            f"if not {fit}(p, t):",
            "    return LANDMARKS",
            f"if not {back}(g, t):",
            "    return LANDMARKS",
        ]
        edge = [f"t[{2 + 3 * i}] + 0.5 - 0.5 * (t[{3 * i}] + t[{3 * i + 1}])" for i in (0, 1)]
        self._move("t[0]", "t[1]", edge[0], "t[3]", "t[4]", edge[1])
        if s.kernel == "nearest":
            self.border(s.border, v)  # refuses what a byte cannot hold
        value = self.border(s.border, v, kind="Reals")
        round_to = s.rounding if s.rounding != "none" else None
        words = {
            "KERNEL": s.kernel,
            "COORDINATES": s.coordinates,
            "VALUE": value,
            "SC": v.sc,
            "C": v.c,
            "store": self.rounding(before, after, round_to),
            **places,
        }
        out = View(
            "row", self.kind(after), "0", str(v.c), "", 1, v.c, str(s.size[0]), str(s.size[1])
        )
        if self._of_32nds(s, v, out):
            self._warp_whole(s, v, out, words)
            return
        name = self.kernel("warp_row", words, Src=v.kind, Dst=out.kind)
        self.give([f"{name}(g, {self.source(v)}, {v.w}, {v.h}, y, {out.w}, {{dst}}, {{o}})"], out)

    @staticmethod
    def _of_32nds(s: st.Align, v: View, out: View) -> bool:
        """Return whether an align of bytes is exact in whole numbers."""
        whole = all(b == round(b) and 0 <= b <= 255 for b in s.border)
        fits = (
            s.kernel == "bilinear"
            and s.coordinates == "1/32"
            and s.rounding in ("half_up", "truncate")
        )
        return whole and fits and v.kind == out.kind == "Bytes"

    def _warp_whole(self, s: st.Align, v: View, out: View, words: dict[str, Any]) -> None:
        k = self.index + 1
        name = f"{self.tag}_whole_border"
        value = self.constant(name, "Ints", list(s.border) * (v.c if len(s.border) == 1 else 1))
        if v.c > 1 and self.spec.states[-1].layout.endswith("chw"):
            out = dataclasses.replace(out, sx="1", sc=s.size[0])
        words |= {
            "VALUE": value,
            "HALF": 512 if s.rounding == "half_up" else 0,
            "PLANE": out.sc if out.sc > 1 else 0,
            **self._lanes(v),
        }
        self.constants.pop(f"{self.tag}_border", None)
        along = [self.buffer(f"{axis}_column{k}", "Ints", out.w) for axis in ("x", "y")]
        far = " or ".join(f"fabs(g.r{i}_{k}) * {out.w}.0 > 300000.0" for i in (0, 3))
        self.plan += [f"if {far}:", "    return LANDMARKS"]  # 32 bits hold any smaller face
        find = self.kernel("columns", words)
        self.process.append(f"{find}(g, {out.w}, {along[0]}, {along[1]})")
        name = "warp_row_in_vectors" if self.vectors else "warp_row_of_32nds"
        call = self.kernel(name, words, Src=v.kind, Dst=out.kind)
        if self.vectors:
            along += [self.buffer(f"{n}{k}", "Ints", out.w) for n in ("place", "across", "down")]
            along.append(self.buffer(f"ends{k}", "Ints", "2"))
            along.append(self.buffer(f"sums{k}", "Ints", out.w, str(words["LANES"])))
        line = f"{call}(g, {self.source(v)}, {v.w}, {v.h}, y, {out.w}, {', '.join(along)}, {{dst}}, {{o}})"
        self.give([line], out)

    def _lanes(self, v: View) -> dict[str, int]:
        """Return how many bytes in a row are weighted at once, and from which one on.

        Vectors take four bytes for three channels; the fourth is another pixel's, so the outermost are left out.
        """
        if not self.vectors:
            return {"LANES": v.c, "SPARE": 0, "FAR": 1, "LOW": 0, "STEP": v.sc}
        packed = abs(v.sc) == 1
        low = -2 if v.c == 3 and v.sc == -1 else 0
        spare = 1 if v.c == 3 and packed else 0
        words = {"LANES": v.c + spare, "SPARE": spare, "FAR": 1 + spare, "LOW": low}
        return words | {"STEP": 1 if packed else v.sc}

    def _landmarks(self) -> None:
        """Bring the landmarks to the present image: pixel centres at whole numbers."""
        add = self.plan.append
        add("for i in range(10):")
        add("    if not (fabs(marks[i]) < 1e300):")
        add("        return LANDMARKS")
        add("for i in range(5):")
        add("    x: Real = marks[2 * i] + 0.5")
        add("    y: Real = marks[2 * i + 1] + 0.5")
        if self.moved:
            add("    p[2 * i] = g.m0 * x + g.m1 * y + g.m2 - 0.5")
            add("    p[2 * i + 1] = g.m3 * x + g.m4 * y + g.m5 - 0.5")
        else:
            add("    p[2 * i] = x - 0.5")
            add("    p[2 * i + 1] = y - 0.5")

    # -- resize -------------------------------------------------------------------------------------------------------

    def _resize(self, s: st.Resize) -> None:
        before, after = self.spec.states[self.index - 1], self.spec.states[self.index]
        v, k = self.view, self.index + 1
        kinds = (v.kind, self.kind(after))
        self.rows, lazy = None, self._whole_numbers(s, kinds)
        if lazy and self.pending is not None:
            self.rows, self.pending = self.pending, None  # rows are made when they are needed
        else:
            v = self.settle()
        inner = self._inner(s, v, k)
        outer, place = inner, ("0", "0")
        if s.mode == "letterbox":
            outer = (str(s.size[0]), str(s.size[1]))
            place = self._anchor(s.anchor or "center", inner, outer, k)
        self._follow(s, v, inner, place)
        out = View("row", self.kind(after), "0", str(v.c), "", 1, v.c, *outer)
        planes = lazy and v.c > 1 and outer[0].isdigit()
        if planes and self.spec.states[-1].layout.endswith("chw"):
            out = dataclasses.replace(out, sx="1", sc=int(outer[0]))
        words: dict[str, Any] = {
            "SC": v.sc,
            "C": v.c,
            **resize_words(s),
            "SUPPORT": {"bilinear": 1, "bicubic": 2}.get(s.kernel) or s.lobes or 1,
            "ROUNDING": s.rounding,
            "PLANE": out.sc if out.sc > 1 else 0,
            "store": self.rounding(before, after, None if s.kernel == "nearest" else s.rounding),
        }
        if s.passes:  # both passes round half up
            words["store"] = "@pixel_half_up"
        if s.kernel == "nearest" and out.kind != v.kind:
            words["store"] = "@real"
        row = "y"
        if s.mode == "letterbox":
            row = f"y - {place[1]}" if place[1] != "0" else "y"
        made = self._resize_call(s, v, inner, words, out, row)
        if s.mode != "letterbox":
            self.give(made, out)
            return
        value = self.border(s.value, out)
        fill = self.kernel(
            "fill_row", {"VALUE": value, "C": v.c, "PLANE": words["PLANE"]}, Dst=out.kind
        )
        if place[0] != "0":
            step = "" if words["PLANE"] else f" * {v.c}"
            made = [line.replace("{o}", f"{{o}} + {place[0]}{step}") for line in made]
        low = f"y >= {place[1]} and " if place[1] != "0" else ""
        high = f"{place[1]} + {inner[1]}" if place[1] != "0" else inner[1]
        lines = [f"{fill}({out.w}, {{dst}}, {{o}})", f"if {low}y < {high}:"]
        lines += ["    " + line for line in made]
        self.give(lines, out)

    def _inner(self, s: st.Resize, v: View, k: int) -> tuple[str, str]:
        tw, th = s.size
        if s.mode == "stretch":
            return str(tw), str(th)
        w = self.field(f"w{k}", "Int", str(tw))
        h = self.field(f"h{k}", "Int", str(th))
        sign = ">" if s.mode == "cover" else "<="
        self.plan.append(f"free{k}: Long = 0")
        self.plan.append(f"if {tw} * long({v.h}) {sign} {th} * long({v.w}):")
        for field, top, bottom in (
            (h, f"long({v.h}) * {tw}", v.w),
            (w, f"long({v.w}) * {th}", v.h),
        ):
            free = {
                "floor": f"{top} // long({bottom})",
                "ceil": f"({top} + long({bottom}) - 1) // long({bottom})",
                "half_up": f"(2 * {top} + long({bottom})) // (2 * long({bottom}))",
            }[s.size_rounding or "floor"]
            self.plan += [
                f"    free{k} = {free}",
                f"    free{k} = free{k} if free{k} > 1 else 1",
                f"    if too_large(free{k}, {tw if field == h else th}):",
                "        return SIZE",
                f"    {field} = whole(free{k})",
                "else:",
            ]
        self.plan.pop()
        return w, h

    def _follow(
        self, s: st.Resize, v: View, inner: tuple[str, str], place: tuple[Any, ...]
    ) -> None:
        if self.index >= self.last_face:
            return
        k = self.index + 1
        entries: list[str] = []
        for axis, (n, m, shift) in enumerate(zip((v.w, v.h), inner, place)):
            scale, move = f"scale{axis}_{k}", "0.0"
            if s.pixel_centers == "corner":
                self.plan.append(f"span{axis}_{k}: Int = {n} - 1 if {n} > 1 else 1")
                self.plan.append(f"{scale}: Real = real({m} - 1) / real(span{axis}_{k})")
            else:
                self.plan.append(f"{scale}: Real = real({m}) / real({n})")
            if s.pixel_centers != "half":
                move = f"0.5 - 0.5 * {scale}"
            move += f" + real({shift})"
            entries += [scale, "0.0", move] if axis == 0 else ["0.0", scale, move]
        self._move(*entries)

    def _resize_call(
        self,
        s: st.Resize,
        v: View,
        inner: tuple[str, str],
        words: dict[str, Any],
        out: View,
        row: str,
    ) -> list[str]:
        k, (w, h) = self.index + 1, inner
        kinds = {"Src": v.kind, "Dst": out.kind}
        if s.kernel == "nearest":
            find = self.kernel("nearest", words)
            call = self.kernel("nearest_row", words, **kinds)
            xi = self.buffer(f"x_index{k}", "Ints", w)
            yi = self.buffer(f"y_index{k}", "Ints", h)
            self.process.append(f"{find}({v.w}, {w}, {v.sx}, {xi})")
            self.process.append(f"{find}({v.h}, {h}, {v.sy}, {yi})")
            return [f"{call}({v.src}, {v.at} + {yi}[{row}], {w}, {xi}, {{dst}}, {{o}})"]
        if self._whole_numbers(s, (v.kind, out.kind)):
            return self._pairs_call(s, v, inner, words, out, row)
        return self._taps_call(s, v, inner, words, out, row)

    def _whole_numbers(self, s: st.Resize, kinds: tuple[str, str]) -> bool:
        """Return whether a bilinear resize of bytes fits into 32-bit integers: then it is exact and fast."""
        if s.kernel != "bilinear" or s.antialias or s.mode == "cover":
            return False
        factor = 4 if s.pixel_centers == "half" else 1
        if max(s.size) > 16383:
            return False
        return kinds == ("Bytes", "Bytes") and 256 * factor * s.size[0] * s.size[1] < LIMIT

    def _pairs_call(
        self,
        s: st.Resize,
        v: View,
        inner: tuple[Any, ...],
        words: dict[str, Any],
        out: View,
        row: str,
    ) -> list[str]:
        k, rows = self.index + 1, self.rows
        words |= self._lanes(v)
        find = self.kernel("pairs", words)
        name = "bilinear_row_in_vectors" if self.vectors else "bilinear_row"
        call = self.kernel(name, words, Src=v.kind, Dst=out.kind)
        below: list[str] = []
        tables: list[list[str]] = []
        for axis, n, m in (("x", v.w, inner[0]), ("y", v.h, inner[1])):
            both, value = (n, m), f"2 * {m}" if s.pixel_centers == "half" else m
            if s.pixel_centers == "corner":
                value = self.field(f"{axis}_span{k}", "Int", f"{m} - 1 if {m} > 1 else 1")
                both = (f"{n} - 1", value)
            common = self.field(f"{axis}_common{k}", "Int", f"common_divisor({', '.join(both)})")
            below.append(self.field(f"{axis}_below{k}", "Int", f"{value} // {common}"))
            parts = ("first", "second", "share")
            tables.append([self.buffer(f"{axis}_{part}{k}", "Ints", m) for part in parts])
            self.process.append(f"{find}({n}, {m}, {common}, {', '.join(tables[-1])})")
        mixed = self.buffer(f"mixed{k}", "Ints", v.w, str(v.c))
        totals = self.buffer(f"totals{k}", "Ints", inner[0], *(() if self.vectors else (str(v.c),)))
        if self.vectors:  # bytes before they are put between each other; rows of planes need none
            whole = v.c == 1 or words["PLANE"]
            totals += (
                f", {totals if whole else self.buffer(f'planes{k}', 'Bytes', inner[0], str(v.c))}"
            )
        first, second, share = (f"{t}[{row}]" for t in tables[1])
        if rows is None:
            lines, src, sy = [], v.src, v.sy
            ends = [f"{v.at} + {n} * ({sy})" for n in (first, second)]
        else:
            lines, src = self._two_rows(rows, v, (first, second)), f"pair{k}"
            ends = [f"{v.at} + {n} % 2 * ({v.w} * {rows[1]})" for n in (first, second)]
        return [
            *lines,
            f"{call}({src}, {ends[0]}, {ends[1]}, {v.sx}, {v.w}, {share}, {below[1]}, {inner[0]}, "
            f"{below[0]}, {', '.join(tables[0])}, {mixed}, {totals}, {{dst}}, {{o}})",
        ]

    def _two_rows(self, rows: tuple[list[str], int], v: View, wanted: tuple[str, str]) -> list[str]:
        """Make the two rows of the stage before that are needed now, each once: only these are computed."""
        k, (made, c) = self.index + 1, rows
        pair = self.buffer(f"pair{k}", "Bytes", "2", v.w, str(c))
        held = self.buffer(f"held{k}", "Ints", "2")
        self.process += ["for i in range(2):", f"    {held}[i] = -1"]
        lines: list[str] = []
        for i, row in enumerate(wanted):
            name = f"row{k}_{i}"
            place = f"{name} % 2 * ({v.w} * {c})"
            lines += [f"{name}: Int = {row}", f"if {held}[{name} % 2] != {name}:"]
            lines.append(f"    {held}[{name} % 2] = {name}")
            text = [re.sub(r"\by\b", name, line) for line in made]
            lines += ["    " + t.format(dst=pair, o=place) for t in text]
        return lines

    def _taps_call(
        self,
        s: st.Resize,
        v: View,
        inner: tuple[Any, ...],
        words: dict[str, Any],
        out: View,
        row: str,
    ) -> list[str]:
        k = self.index + 1
        count = self.kernel("taps_of", words)
        find = self.kernel("taps", words)
        down_first = s.passes == "uint8_vertical_first"
        tables: list[str] = []
        room: list[str] = []
        for axis, n, m, step in (("x", v.w, inner[0], v.sx), ("y", v.h, inner[1], "1")):
            room.append(self.field(f"{axis}_room{k}", "Int", f"{count}({n}, {m})"))
            names = [
                self.buffer(f"{axis}_index{k}", "Ints", m, room[-1]),
                self.buffer(f"{axis}_weight{k}", "Reals", m, room[-1]),
                self.buffer(f"{axis}_count{k}", "Ints", m),
            ]
            tables.append(f"{room[-1]}, {', '.join(names)}")
            # what runs down first reads its own line in the second pass
            step = "1" if down_first and axis == "x" else step
            self.process.append(f"{find}({n}, {m}, {room[-1]}, {step}, {', '.join(names)})")
        same = f"{v.w} == {inner[0]}, {v.h} == {inner[1]}"
        if down_first:
            line = self.buffer(f"line{k}", "Bytes", v.w, str(v.c))
            call = self.kernel("resize_row_down_first", words, Src=v.kind, Dst=out.kind)
            memory = line
        else:
            slots = self.field(f"slots{k}", "Int", f"{room[1]} if {room[1]} < {v.h} else {v.h}")
            kind = "Bytes" if s.passes else "Reals"
            ring = self.buffer(f"ring{k}", kind, slots, inner[0], str(v.c))
            held = self.buffer(f"held{k}", "Ints", slots)
            sums = self.buffer(f"sums{k}", "Reals", inner[0], str(v.c))
            self.process += [f"for i in range({slots}):", f"    {held}[i] = -1"]
            call = self.kernel("resize_row", words, Src=v.kind, Dst=out.kind, Ring=kind)
            memory = f"{slots}, {ring}, {held}, {sums}"
        return [
            f"{call}({self.source(v)}, {v.w}, {row}, {inner[0]}, {tables[0]}, {tables[1]}, {memory}, "
            f"{same}, {{dst}}, {{o}})"
        ]
