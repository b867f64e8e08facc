"""Random specifications for hypothesis: every op, in every order that the flow of states allows."""

from hypothesis import strategies as st

from facelab.core.errors import BadInputError
from facelab.preprocess import PreprocessSpec

ROUNDINGS = ("none", "half_even", "half_up", "truncate")
FORMATS = ("encoded", "encoded", "encoded", "rgb24", "bgr24", "gray8", "yuyv", "nv12")
ALIGN = {
    "op": "align",
    "template": "arcface",
    "size": [112, 112],
    "estimator": "umeyama",
    "kernel": "bilinear",
    "coordinates": "exact",
    "border": [0],
    "rounding": "half_up",
}
numbers = st.floats(-300, 300, allow_nan=False).map(lambda v: round(v, 3))
sides = st.integers(1, 40)


@st.composite
def _decode(draw):
    fmt = draw(st.sampled_from(FORMATS))
    if fmt == "encoded":
        order = draw(st.sampled_from(("rgb", "bgr", "gray")))
        return {"op": "decode", "format": fmt, "order": order, "idct": "accurate", "alpha": "drop"}
    order = {"rgb24": "rgb", "bgr24": "bgr", "gray8": "gray"}.get(fmt, "yuv")
    stage = {"op": "decode", "format": fmt, "order": order}
    stage["size"] = [2 * draw(st.integers(4, 20)), 2 * draw(st.integers(4, 20))]
    return stage | ({"chroma": "replicate"} if order == "yuv" else {})


def _values(draw, state, pixels):
    count = draw(st.sampled_from((1, state.channels)))
    one = st.integers(0, 255) if state.dtype == "uint8" and pixels else numbers
    return [draw(one) for _ in range(count)]


def _rounding(draw, state):
    return "none" if state.dtype == "float" else draw(st.sampled_from(ROUNDINGS))


def _orient(draw, state):
    names = ("none", "rotate90", "rotate180", "rotate270", "flip_horizontal", "flip_vertical")
    transform = draw(st.sampled_from((*names, "transpose", "transverse")))
    return {
        "op": "orient",
        "exif": draw(st.sampled_from(("apply", "ignore"))),
        "transform": transform,
    }


def _color(draw, state):
    options = {"rgb": ("bgr", "gray", "yuv"), "bgr": ("rgb", "gray", "yuv"), "gray": ("rgb", "bgr")}
    target = draw(st.sampled_from(options.get(state.order, ("rgb", "bgr"))))
    stage = {"op": "color", "from": state.order, "to": target}
    if target == "gray":
        stage["weights"] = draw(st.sampled_from(("bt601", "bt709", "tensorflow", "average")))
    if "yuv" in (state.order, target):
        stage["matrix"] = draw(st.sampled_from(("bt601", "bt709")))
        stage["range"] = draw(st.sampled_from(("full", "limited")))
    if target == "gray" or "yuv" in (state.order, target):
        stage["rounding"] = _rounding(draw, state)
    return stage


def _crop(draw, state):
    region = draw(st.sampled_from(("full", "box", "center", "square", "face")))
    stage = {"op": "crop", "region": region}
    if region == "box":
        x, y = draw(st.floats(-9, 20)), draw(st.floats(-9, 20))
        stage["box"] = [x, y, x + draw(st.floats(2, 30)), y + draw(st.floats(2, 30))]
    if region == "center":
        stage["size"] = [draw(sides), draw(sides)]
    if region == "face":
        stage["margin"] = draw(st.floats(-0.3, 1).map(lambda v: round(v, 2)))
        stage["aspect"] = draw(st.sampled_from(("keep", "square_longer", "square_shorter")))
    if region in ("box", "face"):
        stage["box_rounding"] = draw(st.sampled_from(("nearest", "floor", "outward")))
    if region in ("box", "face", "center"):
        stage["outside"] = draw(st.sampled_from(("clip", "constant", "replicate")))
        if stage["outside"] == "constant":
            stage["value"] = _values(draw, state, True)
    return stage


def _align(draw, state):
    template = draw(st.sampled_from(("arcface", "dlib5", "points")))
    side = draw(st.integers(4, 40))
    stage = {"op": "align", "template": template, "size": [side, side]}
    if template == "points":
        stage["template"] = [[8, 9], [22.5, 8.25], [15, 17], [9.5, 24], [21, 23.5]]
    if template == "dlib5":
        stage["padding"] = draw(st.floats(0, 1).map(lambda v: round(v, 2)))
    stage["estimator"] = draw(st.sampled_from(("umeyama", "affine3")))
    stage["kernel"] = draw(st.sampled_from(("nearest", "bilinear")))
    stage["coordinates"] = draw(st.sampled_from(("exact", "1/32")))
    stage["border"] = _values(draw, state, True)
    return stage | {"rounding": _rounding(draw, state)}


def _resize(draw, state):
    kernel = draw(
        st.sampled_from(("nearest", "bilinear", "bilinear", "bicubic", "area", "lanczos"))
    )
    mode = draw(st.sampled_from(("stretch", "inside", "cover", "letterbox")))
    antialias = kernel == "area" or (kernel != "nearest" and draw(st.booleans()))
    stage = {"op": "resize", "size": [draw(sides), draw(sides)], "mode": mode, "kernel": kernel}
    centers = "half" if antialias else draw(st.sampled_from(("half", "legacy", "corner")))
    stage |= {"antialias": antialias, "pixel_centers": centers, "rounding": _rounding(draw, state)}
    if kernel == "nearest":
        stage["rounding"] = draw(st.sampled_from(("none", "half_up")))
    wide = kernel in ("bicubic", "lanczos") or (kernel == "bilinear" and antialias)
    if kernel == "bicubic":
        stage["cubic_a"] = draw(st.sampled_from((-0.5, -0.75)))
    if kernel == "lanczos":
        stage["lobes"] = draw(st.sampled_from((3, 4, 5)))
    if wide:
        stage["edge"] = (
            "renormalize" if antialias else draw(st.sampled_from(("replicate", "renormalize")))
        )
        if stage["rounding"] != "none" and draw(st.booleans()):
            first = draw(st.sampled_from(("horizontal", "vertical")))
            stage["passes"] = f"uint8_{first}_first"
    if mode != "stretch":
        stage["size_rounding"] = draw(st.sampled_from(("floor", "half_up", "ceil")))
    if mode == "letterbox":
        stage["anchor"] = draw(st.sampled_from(("center", "top_left")))
        pixels = stage["rounding"] != "none" or kernel == "nearest"
        stage["value"] = _values(draw, state, pixels)
    return stage


def _pad(draw, state):
    stage = {"op": "pad", "anchor": draw(st.sampled_from(("center", "top_left")))}
    stage["border"] = draw(st.sampled_from(("constant", "replicate")))
    if stage["border"] == "constant":
        stage["value"] = _values(draw, state, True)
    if draw(st.booleans()):
        return stage | {"multiple": draw(st.integers(1, 17))}
    return stage | {"to": [draw(st.integers(40, 60)), draw(st.integers(40, 60))]}


def _normalize(draw, state):
    scale = st.floats(0.05, 300).map(lambda v: round(v, 3))
    count = draw(st.sampled_from((1, state.channels)))
    return {
        "op": "normalize",
        "mean": _values(draw, state, False),
        "scale": [draw(scale) for _ in range(count)],
        "units": draw(st.sampled_from(("0-255", "0-1"))),
    }


def _cast(draw, state):
    dtype = draw(
        st.sampled_from(("uint8", "int8", "int16", "int32", "float32", "float32", "float64"))
    )
    if dtype.startswith("float"):
        return {"op": "cast", "dtype": dtype}
    how = draw(st.sampled_from(("half_even", "half_up", "half_away", "truncate", "floor")))
    return {"op": "cast", "dtype": dtype, "rounding": how, "saturate": draw(st.booleans())}


def _quantize(draw, state):
    dtype = draw(st.sampled_from(("uint8", "int8", "int16")))
    return {
        "op": "quantize",
        "scale": draw(st.sampled_from((2 / 255, 0.007843137718737125, 1 / 128, 0.5, 1.0, 0.0371))),
        "zero_point": draw(st.integers(*(0, 127) if dtype == "uint8" else (-128, 127))),
        "dtype": dtype,
        "rounding": draw(st.sampled_from(("half_even", "half_away", "truncate"))),
        "saturate": draw(st.booleans()),
    }


def _layout(draw, state):
    names = ("hwc", "chw", "nhwc", "nchw") if state.channels > 1 else ("hw", "nhw", "hwc", "nchw")
    return {"op": "layout", "to": draw(st.sampled_from(names))}


PIXEL = (_orient, _color, _color, _crop, _crop, _align, _resize, _resize, _resize, _pad)
VALUE = (_normalize, _normalize, _cast, _quantize)


@st.composite
def specs(draw):
    """Draw a spec of up to seven stages; one in four has a stage that changes values between images."""
    stages = [draw(_decode())]

    def add(make):
        tried = [*stages, make(draw, PreprocessSpec("random", stages).states[-1])]
        try:
            PreprocessSpec("random", tried)
        except BadInputError:
            return
        stages[:] = tried

    for _ in range(draw(st.integers(0, 3))):
        add(draw(st.sampled_from(PIXEL)))
    if draw(st.integers(0, 3)) == 0:
        add(draw(st.sampled_from((_normalize, _cast))))
        add(draw(st.sampled_from(PIXEL)))
    for _ in range(draw(st.integers(0, 2))):
        add(draw(st.sampled_from(VALUE)))
    if draw(st.booleans()):
        add(_layout)
    for _ in range(draw(st.integers(0, 2))):
        add(draw(st.sampled_from((_cast, _quantize, _normalize))))
    return PreprocessSpec("random", stages)
