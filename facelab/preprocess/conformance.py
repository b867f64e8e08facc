"""The conformance table: each op, as it can be written, on each backend, measured against the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from facelab.core.errors import FacelabError, UnsupportedError
from facelab.preprocess._run import apply
from facelab.preprocess.spec import PreprocessSpec

COLUMNS = ("opencv", "pillow", "tensorflow", "onnx")
EXACT, NEAR, NONE = "exact", "≤ 1 LSB", "not offered"
FLOAT_NOISE = 1e-4
"""Levels of 255 within which a float result counts as exact: float32 keeps 24 bits, sums a few less."""
LANDMARKS = ((31.2, 40.3), (71.9, 33.8), (55.5, 61.0), (42.7, 83.1), (78.4, 77.6))


def pictures() -> list[np.ndarray]:
    """Return test pictures, uint8 height × width × 3: noise, sharp edges, slopes; odd and even, wide and tall."""
    y, x = np.mgrid[:128, :144].astype(np.uint64)
    noise = [
        ((x * 374761393 + y * 668265263 + k * 2246822519) * 1274126177 >> 13) % 256
        for k in (1, 2, 3)
    ]
    edges = [((x // 3 + y // 5 + k) % 2) * 255 for k in range(3)]
    slopes = [x * 255 // 143, y * 2, (x + y) * 255 // 270]
    stacked = [np.stack(p, axis=-1).astype(np.uint8) for p in (noise, edges, slopes)]
    return [
        np.ascontiguousarray(p) for p in (stacked[0], stacked[1][:97, :131], stacked[2][:, :90])
    ]


def _decode(order: str = "rgb", idct: str = "accurate") -> dict[str, str]:
    return {"op": "decode", "format": "encoded", "order": order, "idct": idct, "alpha": "drop"}


def _resize(
    kernel: str,
    *,
    antialias: bool = False,
    centers: str = "half",
    rounding: str = "half_up",
    size: tuple[int, int] = (64, 48),
    mode: str = "stretch",
    **more: Any,
) -> dict[str, Any]:
    return {
        "op": "resize",
        "size": list(size),
        "mode": mode,
        "kernel": kernel,
        "antialias": antialias,
        "pixel_centers": centers,
        "rounding": rounding,
        **more,
    }


def _antialiased(
    both: tuple[tuple[str, str], ...],
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the kernels that widen when they shrink, in `both` roundings and with 8-bit passes."""
    for text, rounding in both:
        wide: dict[str, Any] = {"antialias": True, "edge": "renormalize", "rounding": rounding}
        yield f"bilinear, antialias{text}", [_resize("bilinear", **wide)]
        yield f"bicubic a=-0.5, antialias{text}", [_resize("bicubic", cubic_a=-0.5, **wide)]
        yield f"lanczos3, antialias{text}", [_resize("lanczos", lobes=3, **wide)]
    wide = {"antialias": True, "edge": "renormalize", "passes": "uint8_horizontal_first"}
    yield "bicubic a=-0.5, antialias, 8-bit passes", [_resize("bicubic", cubic_a=-0.5, **wide)]
    yield "lanczos3, antialias, 8-bit passes", [_resize("lanczos", lobes=3, **wide)]


def _resizes() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    both = (("", "half_up"), (", float", "none"))
    for centers in ("half", "legacy", "corner"):
        yield f"nearest, {centers}", [_resize("nearest", centers=centers)]
        for text, rounding in both:
            yield (
                f"bilinear, {centers}{text}",
                [_resize("bilinear", centers=centers, rounding=rounding)],
            )
    for a, edge, centers in (
        (-0.75, "replicate", "half"),
        (-0.5, "renormalize", "half"),
        (-0.75, "replicate", "legacy"),
        (-0.75, "replicate", "corner"),
    ):
        yield (
            f"bicubic a={a}, {edge}, {centers}",
            [_resize("bicubic", centers=centers, cubic_a=a, edge=edge)],
        )
    crop = {"op": "crop", "region": "center", "size": [80, 64], "outside": "clip"}
    yield "nearest, half, 80×64 to 64×32", [crop, _resize("nearest", size=(64, 32))]
    yield "bilinear, enlarging", [_resize("bilinear", size=(200, 180))]
    for text, rounding in both:
        yield f"area{text}", [_resize("area", antialias=True, rounding=rounding)]
    yield "area, whole ratio", [crop, _resize("area", antialias=True, size=(40, 16))]
    yield from _antialiased(both)
    yield "lanczos4, replicate", [_resize("lanczos", lobes=4, edge="replicate")]
    yield "bilinear, truncated", [_resize("bilinear", rounding="truncate")]
    for anchor in ("top_left", "center"):
        yield (
            f"bilinear, letterbox {anchor}",
            [
                _resize(
                    "bilinear", mode="letterbox", size_rounding="floor", anchor=anchor, value=[114]
                )
            ],
        )


def _colors() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for name in ("bt601", "bt709", "tensorflow"):
        for text, rounding in (("", "half_up"), (", float", "none")):
            stage = {
                "op": "color",
                "from": "rgb",
                "to": "gray",
                "weights": name,
                "rounding": rounding,
            }
            yield f"RGB to gray, {name}{text}", [stage]
    yield "RGB to BGR", [{"op": "color", "from": "rgb", "to": "bgr"}]
    for matrix in ("bt601", "bt709"):
        for range_ in ("limited", "full"):
            how = {"matrix": matrix, "range": range_, "rounding": "half_up"}
            yield (
                f"RGB to YUV, {matrix} {range_}",
                [{"op": "color", "from": "rgb", "to": "yuv", **how}],
            )
            yield (
                f"YUV to RGB, {matrix} {range_}",
                [{"op": "color", "from": "yuv", "to": "rgb", **how}],
            )


def _tensors() -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    half = {"op": "normalize", "mean": [127.5], "scale": [128], "units": "0-255"}
    yield (
        "normalize",
        "per channel, 0-1",
        [
            {
                "op": "normalize",
                "mean": [0.485, 0.456, 0.406],
                "scale": [0.229, 0.224, 0.225],
                "units": "0-1",
            }
        ],
    )
    yield "normalize", "0-255", [half]
    yield "layout", "nchw", [half, {"op": "layout", "to": "nchw"}]
    yield "cast", "float16", [half, {"op": "cast", "dtype": "float16"}]
    yield (
        "cast",
        "int8, half_even, saturating",
        [{"op": "cast", "dtype": "int8", "rounding": "half_even", "saturate": True}],
    )
    yield (
        "cast",
        "int8, wrapping",
        [{"op": "cast", "dtype": "int8", "rounding": "half_even", "saturate": False}],
    )
    eighth = {"op": "quantize", "scale": 1 / 128, "zero_point": -3, "dtype": "int8"}
    for rounding in ("half_even", "half_away", "truncate"):
        stage = eighth | {"rounding": rounding, "saturate": True}
        yield "quantize", f"int8, {rounding}", [half, stage]


def _aligns() -> Iterator[tuple[str, dict[str, Any]]]:
    for text, more in (
        ("bilinear, exact", {"coordinates": "exact"}),
        ("bilinear, 1/32", {"coordinates": "1/32"}),
        ("bilinear, exact, float", {"coordinates": "exact", "rounding": "none"}),
        ("nearest, exact", {"coordinates": "exact", "kernel": "nearest"}),
    ):
        yield (
            text,
            {
                "op": "align",
                "template": "arcface",
                "size": [112, 112],
                "estimator": "umeyama",
                "kernel": "bilinear",
                "border": [0],
                "rounding": "half_up",
                **more,
            },
        )


def cases() -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Return (op, as written, stages after decode) for every row but decode's."""
    rows = [
        ("orient", t, [{"op": "orient", "exif": "ignore", "transform": t}])
        for t in ("rotate90", "rotate180", "flip_horizontal", "transpose", "transverse")
    ]
    rows += [("color", text, stages) for text, stages in _colors()]
    box = {"op": "crop", "region": "box", "box": [-7, 5, 60, 140], "box_rounding": "nearest"}
    rows += [
        ("crop", "clip", [{**box, "outside": "clip"}]),
        ("crop", "replicate", [{**box, "outside": "replicate"}]),
        ("crop", "constant", [{**box, "outside": "constant", "value": [9, 80, 200]}]),
    ]
    rows += [("align", text, [stage]) for text, stage in _aligns()]
    rows += [("resize", text, stages) for text, stages in _resizes()]
    rows += [
        (
            "pad",
            "to a multiple, constant",
            [
                {
                    "op": "pad",
                    "multiple": 32,
                    "anchor": "top_left",
                    "border": "constant",
                    "value": [104, 117, 123],
                }
            ],
        ),
        (
            "pad",
            "to a size, replicate",
            [{"op": "pad", "to": [160, 150], "anchor": "center", "border": "replicate"}],
        ),
    ]
    return rows + list(_tensors())


def _verdict(spec: PreprocessSpec, inputs: Sequence[Any], backend: str) -> str:
    worst, exact = 0.0, True
    stage = spec.stages[-1]
    for image in inputs:
        wanted = apply(spec, image, face=LANDMARKS)
        try:
            got = apply(spec, image, face=LANDMARKS, backend=backend)
        except UnsupportedError:
            return NONE
        if got.shape != wanted.shape:
            return "another shape"
        # one level of the 8-bit input, in the units of the result
        level = 1.0
        if (norm := spec.find("normalize")) and stage.op != "quantize":
            level = 1 / max(norm.scale) / (255 if norm.units == "0-1" else 1)
        off = float(np.abs(got.astype(np.float64) - wanted.astype(np.float64)).max()) / level
        worst, exact = (
            max(worst, off),
            exact and off <= (FLOAT_NOISE if got.dtype.kind == "f" else 0),
        )
    return EXACT if exact else NEAR if worst <= 1 else f"off by {worst:.3g} LSB"


def _decodes() -> list[tuple[str, PreprocessSpec, list[Any]]]:
    from io import BytesIO

    from PIL import Image

    def encode(fmt: str, **more: Any) -> list[bytes]:
        out: list[bytes] = []
        for p in pictures():
            buffer = BytesIO()
            Image.fromarray(p).save(buffer, fmt, **more)
            out.append(buffer.getvalue())
        return out

    rows = [
        ("PNG", _decode(), encode("PNG")),
        ("WebP, lossless", _decode(), encode("WEBP", lossless=True)),
        ("JPEG 4:4:4, accurate IDCT", _decode(), encode("JPEG", quality=90, subsampling=0)),
        ("JPEG 4:2:0, accurate IDCT", _decode(), encode("JPEG", quality=90, subsampling=2)),
        ("JPEG to BGR", _decode("bgr"), encode("JPEG")),
        ("JPEG, its gray plane", _decode("gray"), encode("JPEG")),
    ]
    frame = {"op": "decode", "order": "yuv", "size": [16, 8], "chroma": "replicate"}
    data = bytes((i * 37) % 256 for i in range(512))
    rows += [
        ("YUYV frame", {**frame, "format": "yuyv"}, [data[:256]]),
        ("NV12 frame", {**frame, "format": "nv12"}, [data[:192]]),
    ]
    return [(text, PreprocessSpec(text, [stage]), inputs) for text, stage, inputs in rows]


def measure(columns: Sequence[str] = COLUMNS) -> list[dict[str, Any]]:
    """Run every row on every backend of `columns`; return [{"op", "written", backend: verdict, …}]."""
    rows = [
        {"op": "decode", "written": text} | {c: _verdict(spec, inputs, c) for c in columns}
        for text, spec, inputs in _decodes()
    ]
    rows.append({"op": "decode", "written": "JPEG, fast IDCT"} | {c: _fast(c) for c in columns})
    for op, written, stages in cases():
        order = stages[0]["from"] if stages[0].get("from") == "yuv" else "rgb"
        inputs = pictures()
        first = _decode()
        if order == "yuv":
            first = {
                "op": "decode",
                "format": "yuyv",
                "order": "yuv",
                "size": [16, 8],
                "chroma": "replicate",
            }
        spec = PreprocessSpec(written, [first, *stages])
        rows.append(
            {"op": op, "written": written} | {c: _verdict(spec, inputs, c) for c in columns}
        )
    return rows


def _fast(backend: str) -> str:
    """Say whether a backend runs libjpeg's fast inverse DCT; the reference has none to compare with."""
    spec = PreprocessSpec("fast", [_decode(idct="fast")])
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(pictures()[0]).save(buffer, "JPEG")
    try:
        apply(spec, buffer.getvalue(), backend=backend)
    except FacelabError:
        return NONE
    return "libjpeg's own"


HEAD = """# What each backend does with each op

Generated by `facelab preprocess conformance --out docs/reference/preprocessing-conformance.md`; a test checks it.
The reference (numpy, float64) defines each op. *exact*: the same bytes (floats: within {noise:g} of a level of 255,
what float32 can hold). *≤ 1 LSB*: never more than one level of 8-bit input away. *not offered*: the backend refuses the
stage with a sentence that says why; nothing is approximated silently. Some rows depend on sizes: a backend also
refuses, for instance, a kernel that it has only for enlarging, or a nearest resize for which its own arithmetic would
pick another pixel (Pillow and 128 → 48).
"""


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the table as Markdown."""
    columns = [c for c in rows[0] if c not in ("op", "written")]
    lines = [
        HEAD.format(noise=FLOAT_NOISE),
        f"| op | as written | {' | '.join(columns)} |",
        "|---|---|" + "---|" * len(columns),
    ]
    lines += [f"| {r['op']} | {r['written']} | {' | '.join(r[c] for c in columns)} |" for r in rows]
    return "\n".join(lines) + "\n"


def differences(committed: str, fresh: str) -> list[str]:
    """Return the table rows in which two Markdown tables differ."""
    old, new = (
        [line for line in t.splitlines() if line.startswith("|")] for t in (committed, fresh)
    )
    return [line for line in new if line not in old] + [
        f"gone: {line}" for line in old if line not in new
    ]
