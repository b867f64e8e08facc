"""Python: one file, numpy only."""

from __future__ import annotations

import ast
import copy
import functools
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from facelab.preprocess import ops as st
from facelab.preprocess.align import template
from facelab.preprocess.emit import _files as files
from facelab.preprocess.emit._files import Emitted, banner
from facelab.preprocess.emit.lowering import colour_terms
from facelab.preprocess.emit.lowering._sampling import resize_words
from facelab.preprocess.emit.printing._specialise import Fold, drop_dead
from facelab.preprocess.sizes import whole_box
from facelab.preprocess.spec import PreprocessSpec, describe


@functools.cache
def _sources() -> dict[str, ast.FunctionDef]:
    from facelab.preprocess.emit.kernels import arrays

    tree = ast.parse(inspect.getsource(arrays))
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef):
            node.returns = None
    return {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}


class _Writer:
    """Collects specialised functions and the lines of `preprocess`."""

    def __init__(self, spec: PreprocessSpec) -> None:
        self.spec = spec
        self.functions: dict[str, str] = {}
        self.lines: list[str] = []
        self.index = 0
        faces = [i for i, s in enumerate(spec.stages) if _uses_face(s)]
        self.last_face = max(faces, default=-1)

    @property
    def follow(self) -> bool:
        """Whether a later stage uses the face, so that this one's map is needed."""
        return self.index < self.last_face

    def use(self, kernel: str, **words: Any) -> str:
        """Specialise a kernel and what it calls; return its name."""
        tag = f"_{self.index + 1}" if words else ""
        node: ast.FunctionDef = Fold(words).visit(copy.deepcopy(_sources()[kernel]))
        drop_dead(node)
        changed = ast.dump(node) != ast.dump(_sources()[kernel])
        called = [c.func for c in ast.walk(node) if isinstance(c, ast.Call)]
        for function in [f for f in called if isinstance(f, ast.Name)]:
            name = function.id
            if name in _sources() and name != "estimate":
                function.id = self.use(name, **words)
                changed = changed or function.id != name
            elif name == "estimate":
                function.id = self.use(words["ESTIMATOR"])
                changed = True
        node.name = kernel + (tag if changed else "")
        self.functions.setdefault(node.name, ast.unparse(ast.fix_missing_locations(node)))
        return node.name

    def add(self, *lines: str) -> None:
        """Add lines to the body of `preprocess`."""
        self.lines += lines

    def rounded(self, rounding: str | None, text: str) -> None:
        """Set x to a real-valued expression, rounded to bytes where the stage says so."""
        if rounding in (None, "none"):
            self.add(f"x = {text}")
        else:
            self.add(f"x = {self.use('to_pixels', ROUNDING=rounding)}({text})")

    def turned(self, name: str) -> None:
        """Follow the face by the map of a turn."""
        if self.follow:
            self.map(f"{self.use('turn_map')}({name}, x.shape[1], x.shape[0])")

    def map(self, text: str) -> None:
        """Follow the face by a map."""
        if self.follow:
            self.add(f"matrix = {self.use('compose')}({text}, matrix)")


def _uses_face(s: st.Stage) -> bool:
    return isinstance(s, st.Align) or (isinstance(s, st.Crop) and s.region == "face")


def emit(spec: PreprocessSpec, name: str) -> Emitted:
    """Return the Python file of a spec."""
    w = _Writer(spec)
    _decode(w, spec.decoding)
    for i, stage in enumerate(spec.stages[1:], 1):
        w.index = i
        w.add("", f"# Stage {i + 1}, {describe(stage)}")
        _STAGES[type(stage)](w, stage)
    if spec.output_dtype == "float":
        w.add("", "x = x.astype(np.float32)")
    needs = _needs(spec)
    given = "".join(f", {n}={d}" for n, d in needs)
    matrix = ["matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))"] if w.last_face > 0 else []
    body = [
        '"""Return the tensor of one frame."""',
        *matrix,
        *w.lines,
        "return np.ascontiguousarray(x)",
    ]
    text = "\n".join(f"    {line}" if line else "" for line in body)
    functions = "\n\n\n".join(w.functions.values())
    math = ["import math", ""] if "math." in functions + text else []
    head = [
        *banner(spec, "Python with numpy", "", "# ", "")[:-1],
        "",
        *math,
        "import numpy as np",
        "",
    ]
    head += [f'SPEC_HASH = "{spec.hash}"', "", "", ""]
    main = f"def preprocess(frame, *, width, height{given}):\n{text}\n"
    source = "\n".join(head) + functions + ("\n\n\n" if functions else "") + main
    return Emitted("python", {f"{name}.py": source, f"{name}_check.py": _check(spec, name, needs)})


def _needs(spec: PreprocessSpec) -> list[tuple[str, str]]:
    needs: list[tuple[str, str]] = []
    encoded = spec.decoding.format == "encoded"
    if encoded and any(isinstance(s, st.Orient) and s.exif == "apply" for s in spec.stages):
        needs.append(("orientation", "1"))
    if any(isinstance(s, st.Crop) and s.region == "face" for s in spec.stages):
        needs.append(("box", "None"))
    if spec.find("align"):
        needs.append(("landmarks", "None"))
    return needs


def _decode(w: _Writer, s: st.Decode) -> None:
    c = 1 if s.order == "gray" else 3
    w.add(f"# Stage 1, {describe(s)}")
    if s.size:
        w.add(f"if (width, height) != ({s.size[0]}, {s.size[1]}):")
        w.add(f'    raise ValueError("a frame has {s.size[0]} x {s.size[1]} pixels")')
    length = {"yuyv": "2 * width * height", "nv12": "3 * width * height // 2"}.get(
        s.format, f"{c} * width * height"
    )
    w.add("if width < 1 or height < 1:", '    raise ValueError("the picture has no pixels")')
    w.add("x = np.frombuffer(frame, np.uint8) if isinstance(frame, bytes) else np.asarray(frame)")
    w.add(f"if x.dtype != np.uint8 or x.size != {length}:")
    w.add(
        '    raise ValueError("the frame has a different number of bytes than width and height say")'
    )
    if s.format in ("yuyv", "nv12"):
        w.add(f"x = {w.use(s.format)}(x, width, height)")
    else:
        w.add(f"x = x.reshape(height, width, {c})")


def _orient(w: _Writer, s: st.Orient) -> None:
    encoded = w.spec.decoding.format == "encoded"
    names: list[str] = []
    if s.exif == "apply" and encoded:
        names.append("exif")
        w.add("if orientation not in range(1, 9):")
        w.add('    raise ValueError("the EXIF orientation is not 1 to 8")')
        w.add(
            'exif = ("none", "flip_horizontal", "rotate180", "flip_vertical", "transpose", "rotate90", '
            '"transverse", "rotate270")[orientation - 1]'
        )
    if s.transform != "none":
        names.append(repr(s.transform))
    for name in names:
        if w.index > 1:
            w.turned(name)
        w.add(f"x = {w.use('turn')}(x, {name})")


def _color(w: _Writer, s: st.Color) -> None:
    if s.source == s.target:
        return
    if s.source == "gray":
        w.add("x = np.repeat(x, 3, axis=2)")
    elif {s.source, s.target} == {"rgb", "bgr"}:
        w.add("x = x[..., ::-1]")
    else:
        name, words = colour_terms(s)
        places = {"R": 2, "B": 0} if "bgr" in (s.source, s.target) else {"R": 0, "B": 2}
        kernel = {
            "gray_row": "to_gray",
            "yuv_to_rgb_row": "yuv_to_rgb",
            "rgb_to_yuv_row": "rgb_to_yuv",
        }[name]
        w.rounded(s.rounding, f"{w.use(kernel, **words, **places)}(x)")


def _crop(w: _Writer, s: st.Crop) -> None:
    if s.region == "full":
        return
    if s.region == "face":
        words = {"MARGIN": s.margin, "ASPECT": s.aspect, "BOX_ROUNDING": s.box_rounding}
        w.add(f"region = {w.use('face_box', **words)}(box, matrix)")
    elif s.region == "box":
        assert s.box is not None and s.box_rounding is not None
        w.add(f"region = {whole_box(s.box, s.box_rounding)}")
    else:
        size = "min(x.shape[:2])," if s.region == "square" else ""
        w.add(f"w, h = ({size} ) * 2" if size else f"w, h = {s.size}")
        w.add("left, top = (x.shape[1] - w) // 2, (x.shape[0] - h) // 2")
        w.add("region = (left, top, left + w, top + h)")
    words = {"OUTSIDE": s.outside or "clip", "VALUE": _tuple(s.value)}
    places = ", left, top" if w.follow else ", *_"
    w.add(f"x{places} = {w.use('crop', **words)}(x, region)")
    w.map("((1.0, 0.0, -left), (0.0, 1.0, -top))")


def _tuple(value: Any) -> Any:
    return tuple(value) if value is not None else 0


def _align(w: _Writer, s: st.Align) -> None:
    points = [tuple(map(float, p)) for p in np.asarray(template(s.template, s.size, s.padding))]
    words = {"ESTIMATOR": s.estimator, "TEMPLATE": tuple(points)}
    w.add(f"fitted = {w.use('fit', **words)}(landmarks, matrix)")
    numbers = {"W": s.size[0], "H": s.size[1], "KERNEL": s.kernel, "COORDINATES": s.coordinates}
    w.rounded(s.rounding, f"{w.use('warp', **numbers, VALUE=tuple(s.border))}(x, fitted)")
    if w.follow:
        w.add("(a, b, c), (d, e, f) = fitted")
    w.map("((a, b, c + 0.5 - 0.5 * (a + b)), (d, e, f + 0.5 - 0.5 * (d + e)))")


def _resize(w: _Writer, s: st.Resize) -> None:
    words: dict[str, Any] = {
        **resize_words(s),
        "SUPPORT": {"bilinear": 1, "bicubic": 2}.get(s.kernel) or s.lobes,
        "WHOLE": s.rounding != "none",
    }
    if s.mode != "stretch" or w.follow:
        w.add("height, width = x.shape[:2]")
    if s.mode == "stretch":
        w.add(f"w, h = {s.size}")
    else:
        more = {"W": s.size[0], "H": s.size[1], "MODE": s.mode, "SIZE_ROUNDING": s.size_rounding}
        w.add(f"w, h = {w.use('inner_size', **more)}(width, height)")
    text = f"{w.use('resample', **words)}(x, w, h)"
    w.rounded(None if s.kernel == "nearest" else s.rounding, text)
    place = _bordered(w, s.mode == "letterbox", s.size, s.anchor, "constant", s.value)
    if w.follow:
        scale = {
            "half": "(w / width, h / height)",
            "legacy": "(w / width, h / height)",
            "corner": "((w - 1) / max(width - 1, 1), (h - 1) / max(height - 1, 1))",
        }[s.pixel_centers]
        shift = "0.0" if s.pixel_centers == "half" else "0.5 - 0.5 * {}"
        w.add(f"sx, sy = {scale}")
        left, top = place
        w.map(
            f"((sx, 0.0, {shift.format('sx')} + {left}), (0.0, sy, {shift.format('sy')} + {top}))"
        )


def _bordered(
    w: _Writer, wanted: bool, size: Any, anchor: str | None, border: str, value: Any
) -> tuple[str, str]:
    """Put a border around x, up to `size` (text or numbers); return where the image is."""
    if not wanted:
        return "0", "0"
    centre = anchor == "center"
    w.add(f"right, below = {size[0]} - x.shape[1], {size[1]} - x.shape[0]")
    w.add("left, top = right // 2, below // 2" if centre else "left, top = 0, 0")
    call = w.use("bordered", OUTSIDE=border, VALUE=_tuple(value))
    w.add(f"x = {call}(x, -left, -top, {size[0]} - left, {size[1]} - top)")
    return "left", "top"


def _pad(w: _Writer, s: st.Pad) -> None:
    if s.to:
        w.add(f"w, h = {s.to}", "if x.shape[1] > w or x.shape[0] > h:")
        w.add('    raise ValueError("the picture is larger than the size it should be padded to")')
    else:
        w.add(f"w, h = (-(-n // {s.multiple}) * {s.multiple} for n in (x.shape[1], x.shape[0]))")
    left, top = _bordered(w, True, ("w", "h"), s.anchor, s.border, s.value)
    w.map(f"((1.0, 0.0, {left}), (0.0, 1.0, {top}))")


def _normalize(w: _Writer, s: st.Normalize) -> None:
    before = w.spec.states[w.index - 1].dtype
    dtype = "float64" if before in ("uint8", "float") else before
    mean, scale = (_of_channels(v, w.spec.states[w.index - 1].layout) for v in (s.mean, s.scale))
    words = {"DTYPE": dtype, "UNITS": s.units, "MEAN": mean, "DIVISOR": scale}
    call = w.use("normalize", **words)
    w.add(f"x = {call}(x)")


def _of_channels(values: Sequence[float], layout: str) -> tuple[Any, ...]:
    """Return numbers per channel so that numpy puts them along the channels' axis."""
    planes = layout.endswith("chw") and len(values) > 1
    return tuple(((v,),) for v in values) if planes else tuple(values)


def _layout(w: _Writer, s: st.Layout) -> None:
    if "c" not in s.to:
        w.add("x = x[..., 0]")
    elif s.to.endswith("chw"):
        w.add("x = np.moveaxis(x, -1, 0)")
    if s.to.startswith("n"):
        w.add("x = x[None]")


def _cast(w: _Writer, s: st.Cast) -> None:
    if s.dtype.startswith("float"):
        w.add(f"x = x.astype(np.{s.dtype})")
        return
    if w.spec.states[w.index - 1].dtype.startswith("float"):
        w.add(f"x = {w.use('rounded', ROUNDING=s.rounding)}(x)")
    w.add(f"x = {w.use('stored', **_range(s.dtype, s.saturate))}(x)")


def _range(dtype: str, saturate: bool | None) -> dict[str, Any]:
    info = np.iinfo(dtype)
    return {"SATURATE": bool(saturate), "LOW": int(info.min), "HIGH": int(info.max), "DTYPE": dtype}


def _quantize(w: _Writer, s: st.Quantize) -> None:
    words = {"ROUNDING": s.rounding, "SCALE": s.scale, "ZERO_POINT": s.zero_point}
    w.add(f"x = {w.use('quantize', **words, **_range(s.dtype, s.saturate))}(x)")


_STAGES: dict[type, Any] = {
    st.Orient: _orient,
    st.Color: _color,
    st.Crop: _crop,
    st.Align: _align,
    st.Resize: _resize,
    st.Pad: _pad,
    st.Normalize: _normalize,
    st.Layout: _layout,
    st.Cast: _cast,
    st.Quantize: _quantize,
}


def _check(spec: PreprocessSpec, name: str, needs: list[tuple[str, str]]) -> str:
    given = {"orientation": "n[2]", "box": "n[3:7]", "landmarks": "n[7:17]"}
    more = "".join(f", {n}={given[n] if n != 'orientation' else 'int(n[2])'}" for n, _ in needs)
    return files.template("check.py.txt", ORIGIN=files.origin(spec), NAME=name, GIVEN=more)
