"""A spec is complete, canonical and consistent, or it is refused with the name of the stage and a near name."""

import contextlib
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as hs
from spec_strategies import ALIGN

from facelab.core.errors import BadInputError
from facelab.preprocess import PreprocessSpec, apply
from facelab.preprocess.ops import RESIZE_PLAIN, STAGES
from facelab.preprocess.sizes import fitted

DECODE = {"op": "decode", "format": "encoded", "order": "rgb", "idct": "accurate", "alpha": "drop"}
RESIZE = {**RESIZE_PLAIN, "size": [64, 48]}
NORMALIZE = {"op": "normalize", "mean": [127.5], "scale": [128], "units": "0-255"}
CAST = {"op": "cast", "dtype": "float32"}


def spec(*stages, name="test"):
    return PreprocessSpec(name, [DECODE, *stages])


def test_a_spec_survives_file_and_pickle(tmp_path):
    one = spec(RESIZE, NORMALIZE, {"op": "layout", "to": "nchw"}, CAST)
    path = one.save(tmp_path / "m.preprocess.json")
    again = PreprocessSpec.load(path)
    assert again == one and again.hash == one.hash and again.stage_hashes == one.stage_hashes
    assert (
        json.loads(path.read_text()) == one.to_dict()
        and one.to_dict()["schema"] == "facelab.preprocess/1"
    )
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(AttributeError):
        one.name = "other"


def test_the_hash_is_of_what_is_done_not_of_how_it_is_written():
    one = spec(RESIZE, NORMALIZE, CAST)
    same = spec(
        dict(reversed(RESIZE.items())),
        {**NORMALIZE, "mean": [127.5, 127.5, 127.5], "scale": [128.0]},
        CAST,
        name="another name",
    )
    assert one.hash == same.hash and one.stage_hashes == same.stage_hashes
    assert one.hash != one.replace(1, kernel="area", antialias=True).hash
    assert one.stage_hashes[0] == one.replace(1, size=[64, 64]).stage_hashes[0]


def test_hashes_do_not_drift():
    """A changed hash makes stored fingerprints incomparable: it may change with the schema's version only."""
    assert spec(RESIZE, NORMALIZE, CAST).hash[:16] == "78500e17beeb2035"


def test_what_comes_out_is_known_before_anything_runs():
    s = spec(
        {"op": "orient", "exif": "apply", "transform": "none"},
        {"op": "pad", "multiple": 32, "anchor": "top_left", "border": "constant", "value": [0]},
        {"op": "layout", "to": "nchw"},
        CAST,
    )
    assert s.output_shape() == (1, 3, None, None) and s.output_dtype == "float32"
    gray = spec(
        {"op": "color", "from": "rgb", "to": "gray", "weights": "bt601", "rounding": "half_up"},
        RESIZE,
        {"op": "layout", "to": "nhw"},
    )
    assert gray.output_shape() == (1, 48, 64) and gray.output_dtype == "uint8"
    assert spec({**RESIZE, "mode": "inside", "size_rounding": "half_up"}).output_shape(
        (640, 480)
    ) == (48, 64, 3)


BAD = [
    ([{**RESIZE, "kernal": "area"}], "did you mean 'kernel'", "stage 2 (resize)"),
    ([{**RESIZE, "kernel": "bilinaer"}], "did you mean 'bilinear'", "stage 2 (resize)"),
    ([{"op": "rezise"}], "did you mean 'resize'", "stage 2"),
    (
        [{k: v for k, v in RESIZE.items() if k != "pixel_centers"}],
        "'pixel_centers' is missing",
        "stage 2 (resize)",
    ),
    ([{**RESIZE, "kernel": "bicubic"}], "must state 'cubic_a'", "stage 2"),
    ([{**RESIZE, "cubic_a": -0.5}], "'cubic_a' has no meaning", "stage 2"),
    ([{**RESIZE, "size": [0, 4]}], "'size", "stage 2"),
    ([{**RESIZE, "size": [64.5, 4]}], "'size", "stage 2"),
    ([{**RESIZE, "size": [64]}], "'size", "stage 2"),
    ([{**RESIZE, "antialias": "yes"}], "'antialias'", "stage 2"),
    ([{**RESIZE, "antialias": True, "edge": "replicate"}], "edge 'renormalize'", "stage 2"),
    ([{**RESIZE, "kernel": "area"}], "antialias true", "stage 2"),
    ([{**NORMALIZE, "mean": [1, 2]}], "another number of channels", "stage 2 (normalize)"),
    ([{**NORMALIZE, "scale": [0]}], "divides by zero", "stage 2"),
    ([{**NORMALIZE, "mean": [float("nan")]}], "'mean", "stage 2"),
    ([{**NORMALIZE, "mean": [True]}], "'mean", "stage 2"),
    ([NORMALIZE, RESIZE], "already a float", "stage 3 (resize)"),
    ([{"op": "layout", "to": "nchw"}, RESIZE], "not an image any more", "stage 3 (resize)"),
    ([CAST, RESIZE], "not an image any more", "stage 3"),
    ([DECODE], "only be the first", "stage 2 (decode)"),
    (
        [{"op": "color", "from": "bgr", "to": "rgb"}],
        "does not start from the order",
        "stage 2 (color)",
    ),
    ([{"op": "color", "from": "rgb", "to": "gray"}], "must state 'weights'", "stage 2"),
    ([{"op": "color", "from": "rgb", "to": "bgr", "weights": "bt601"}], "no meaning", "stage 2"),
    ([{"op": "layout", "to": "hw"}], "no channel axis", "stage 2 (layout)"),
    ([{"op": "cast", "dtype": "int8"}], "must state 'rounding'", "stage 2 (cast)"),
    (
        [
            {
                "op": "quantize",
                "scale": 0.1,
                "zero_point": 300,
                "dtype": "int8",
                "rounding": "half_even",
                "saturate": True,
            }
        ],
        "outside int8",
        "stage 2",
    ),
    (
        [
            {
                "op": "crop",
                "region": "box",
                "box": [5, 5, 5, 9],
                "box_rounding": "floor",
                "outside": "clip",
            }
        ],
        "empty",
        "stage 2 (crop)",
    ),
    ([{"op": "crop", "region": "face"}], "must state 'margin'", "stage 2 (crop)"),
    (
        [{"op": "pad", "anchor": "center", "border": "constant", "value": [0]}],
        "either 'to'",
        "stage 2 (pad)",
    ),
    ([{**ALIGN, "template": "arcfacee"}], "did you mean 'arcface'", "stage 2 (align)"),
    ([{**ALIGN, "template": [[1, 2]] * 4}], "'template'", "stage 2 (align)"),
    ([{**ALIGN, "size": [112, 96]}], "square", "stage 2"),
    (["resize"], "JSON object", "stage 2"),
    ([{**RESIZE, "op": ["resize"]}], "unknown op", "stage 2"),
]


@pytest.mark.parametrize(
    ("stages", "message", "where"), BAD, ids=lambda v: v if isinstance(v, str) else None
)
def test_a_wrong_stage_is_named(stages, message, where):
    with pytest.raises(BadInputError) as caught:
        spec(*stages)
    assert message in str(caught.value) and where in caught.value.where
    assert "\n\n" not in str(caught.value)


@pytest.mark.parametrize(
    "document",
    [
        [],
        "x",
        None,
        {},
        {"schema": "facelab.preprocess/2", "name": "x", "stages": [DECODE]},
        {"schema": "facelab.preprocess/1", "name": "x", "stages": []},
        {"schema": "facelab.preprocess/1", "name": "", "stages": [DECODE]},
        {"schema": "facelab.preprocess/1", "name": "x", "stages": {"op": "decode"}},
        {"schema": "facelab.preprocess/1", "name": "x", "stage": [DECODE]},
        {"schema": "facelab.preprocess/1", "name": "x", "stages": [RESIZE]},
        {"schema": "facelab.preprocess/1", "name": "x", "stages": [DECODE] + [NORMALIZE] * 80},
        {"schema": "facelab.preprocess/1", "name": 7, "stages": [DECODE]},
    ],
)
def test_a_document_that_is_not_a_spec_is_refused(document):
    with pytest.raises(BadInputError):
        PreprocessSpec.from_dict(document, where="x.json")


def test_raw_frames_state_their_size_and_give_their_own_order():
    for bad in (
        {"op": "decode", "format": "yuyv", "order": "yuv", "chroma": "replicate"},
        {"op": "decode", "format": "yuyv", "order": "rgb", "chroma": "replicate", "size": [4, 2]},
        {"op": "decode", "format": "nv12", "order": "yuv", "chroma": "replicate", "size": [4, 3]},
        {"op": "decode", "format": "rgb24", "order": "rgb", "size": [4, 3], "idct": "accurate"},
    ):
        with pytest.raises(BadInputError):
            PreprocessSpec("x", [bad])
    ok = PreprocessSpec("x", [{"op": "decode", "format": "gray8", "order": "gray", "size": [4, 3]}])
    assert ok.output_shape() == (3, 4, 1)


def test_every_op_has_a_line_in_the_text_form():
    s = spec(
        {"op": "orient", "exif": "ignore", "transform": "rotate90"},
        {"op": "crop", "region": "square"},
        ALIGN,
        RESIZE,
        {"op": "pad", "to": [80, 80], "anchor": "center", "border": "replicate"},
        NORMALIZE,
        {"op": "layout", "to": "nchw"},
        CAST,
        {
            "op": "quantize",
            "scale": 0.02,
            "zero_point": 3,
            "dtype": "uint8",
            "rounding": "half_even",
            "saturate": True,
        },
    )
    text = str(s)
    for op in set(STAGES) - {"color"}:
        assert f" {op} " in text
    assert "1×3×80×80 uint8 rgb" in text.splitlines()[-1]


SIDE = hs.integers(1, 4000)


@given(hs.tuples(SIDE, SIDE), hs.tuples(SIDE, SIDE), hs.sampled_from(["floor", "half_up", "ceil"]))
def test_inside_fits_and_cover_covers_and_both_keep_the_aspect(size, target, rounding):
    inside, cover = (fitted(size, target, mode, rounding) for mode in ("inside", "cover"))
    assert all(1 <= a <= b for a, b in zip(inside, target)) and any(
        a == b for a, b in zip(inside, target)
    )
    assert all(a >= b or rounding == "floor" for a, b in zip(cover, target))
    for got in (inside, cover):
        ratio = [g / s for g, s in zip(got, size)]
        # one side is exact, the free one is off by less than a pixel (or is the least there is)
        assert min(abs(ratio[0] - ratio[1]) * s for s in size) < 1 or 1 in got


@given(
    hs.recursive(
        hs.none() | hs.booleans() | hs.floats() | hs.text(max_size=5) | hs.integers(),
        lambda inner: (
            hs.lists(inner, max_size=3) | hs.dictionaries(hs.text(max_size=6), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    hs.sampled_from([*RESIZE, "op", "extra"]),
)
def test_no_value_from_outside_escapes_as_another_exception(value, key):
    with contextlib.suppress(BadInputError):
        spec({**RESIZE, key: value})


def test_apply_wants_a_spec():
    with pytest.raises(BadInputError, match="not a PreprocessSpec"):
        apply({"stages": []}, b"x")


def test_every_error_of_a_file_is_named_at_once():
    stages = [
        {"op": "decode", "format": "encoded", "order": "rgb", "idct": "acurate"},
        {"op": "rezise", "size": [8, 8]},
        {"op": "normalize", "mean": 0, "scale": [0], "units": "255"},
        {"op": "layout"},
        {"op": "resize", "size": [8, 8]},
    ]
    with pytest.raises(BadInputError, match="has 7 errors") as e:
        PreprocessSpec("many", stages, where="own.json")
    text = e.value.where
    for words in (
        "'idct'",
        "did you mean 'resize'",
        "'units'",
        "'to' is missing",
        "stage 4 (layout)",
        "format 'encoded' must state 'alpha'",  # though 'idct' is wrong
        "write a list, such as [0]",
        "'mode', 'kernel', 'antialias', 'pixel_centers', 'rounding' are missing",
    ):
        assert words in text, text
    assert "preprocess new --like" in e.value.fix and text.count("own.json: stage") == 7
    assert "\n  " not in text  # the message itself indents


def test_a_parameter_by_a_wrong_name_is_one_error():
    with pytest.raises(BadInputError, match="unknown parameter 'sizes'"):
        PreprocessSpec(
            "x", [{**DECODE}, {**RESIZE, "size": None, "sizes": [8, 8]} | {"size": [8, 8]}]
        )


def test_all_that_a_stage_must_state_is_named_at_once():
    with pytest.raises(BadInputError, match="must state 'cubic_a', 'edge'"):
        PreprocessSpec("x", [DECODE, {**RESIZE, "kernel": "bicubic"}])
