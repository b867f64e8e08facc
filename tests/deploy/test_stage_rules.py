"""What a bundle's README says is enough to write the preprocessing in another language: somebody did."""

import json

import numpy as np
import pytest
import reader_by_the_rules as reader

from facelab.deploy import _stage_rules as stage_rules
from facelab.emotion import emotion_spec
from facelab.emotion.internals import quantized
from facelab.fingerprint.probes import write_probes
from facelab.preprocess import PreprocessSpec, apply

SIZE = [160, 120]
TAIL = [
    {
        "op": "normalize",
        "mean": [0.485, 0.456, 0.406],
        "scale": [0.229, 0.224, 0.225],
        "units": "0-1",
    },
    {"op": "layout", "to": "nchw"},
    {"op": "cast", "dtype": "float32"},
]


def resized(size, kernel, **parameters):
    return {
        "op": "resize",
        "size": size,
        "mode": "stretch",
        "kernel": kernel,
        "antialias": False,
        "pixel_centers": "half",
        "rounding": "half_up",
        **parameters,
    }


def from_yuv(fmt, to, **parameters):
    return [
        {"op": "decode", "format": fmt, "order": "yuv", "size": SIZE, "chroma": "replicate"},
        {"op": "color", "from": "yuv", "to": to, **parameters},
    ]


PIPELINES = {
    "letterboxed bicubic from NV12": [
        *from_yuv("nv12", "bgr", matrix="bt601", range="limited", rounding="half_even"),
        resized(
            [48, 48],
            "bicubic",
            cubic_a=-0.75,
            edge="replicate",
            mode="letterbox",
            size_rounding="floor",
            anchor="center",
            value=[114],
        ),
    ],
    "covered by Lanczos in two passes, cut, corners aligned, padded": [
        *from_yuv("yuyv", "rgb", matrix="bt709", range="full", rounding="half_up"),
        resized(
            [60, 50],
            "lanczos",
            lobes=3,
            antialias=True,
            edge="renormalize",
            mode="cover",
            size_rounding="half_up",
            passes="uint8_horizontal_first",
        ),
        {"op": "crop", "region": "center", "size": [40, 40], "outside": "clip"},
        resized([46, 44], "bilinear", pixel_centers="corner", rounding="none"),
        {"op": "pad", "to": [48, 48], "anchor": "center", "border": "replicate"},
    ],
    "a face aligned": [
        {"op": "decode", "format": "rgb24", "order": "rgb", "size": SIZE},
        {
            "op": "align",
            "template": "arcface",
            "size": [48, 48],
            "estimator": "umeyama",
            "kernel": "bilinear",
            "coordinates": "1/32",
            "border": [0],
            "rounding": "half_up",
        },
    ],
    "gray by truncation, turned, averaged": [
        {"op": "decode", "format": "bgr24", "order": "bgr", "size": SIZE},
        {"op": "color", "from": "bgr", "to": "gray", "weights": "bt601", "rounding": "truncate"},
        {"op": "color", "from": "gray", "to": "rgb"},
        {"op": "orient", "exif": "ignore", "transform": "rotate90"},
        resized([48, 48], "area", antialias=True),
    ],
    "a face cut out, nearest as in TF 1": [
        {"op": "decode", "format": "rgb24", "order": "rgb", "size": SIZE},
        {
            "op": "crop",
            "region": "face",
            "margin": 0.1,
            "aspect": "square_shorter",
            "box_rounding": "outward",
            "outside": "constant",
            "value": [7],
        },
        resized([48, 48], "nearest", pixel_centers="legacy"),
    ],
}


@pytest.fixture(scope="module")
def probes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probes")
    write_probes(folder)
    return folder, json.loads((folder / "probes.json").read_text())["probes"]


@pytest.mark.parametrize("name", PIPELINES)
def test_a_program_by_the_rules_gives_the_reference_tensor(name, probes):
    spec = PreprocessSpec(name, [*PIPELINES[name], *TAIL])
    stages, (folder, known) = spec.to_dict()["stages"], probes
    chosen = [
        p
        for p in known
        if p["format"] == stages[0]["format"] and p["name"].startswith(("bars", "face"))
    ]
    assert len(chosen) >= 2
    for probe in chosen:
        path = folder / probe["file"]
        mine = reader.tensor(stages, path.read_bytes(), probe["face"])
        golden = apply(spec, path, face=probe["face"])
        # float32 holds 1e-4 of a level; any other pixel would be a whole one away
        assert np.abs(np.array(mine, np.float32) - golden.ravel()).max() < 1e-4, probe["name"]


@pytest.mark.parametrize("rounding", ["half_even", "truncate"])
@pytest.mark.parametrize("scale", [0.007843137718737125, 0.0186])
def test_integers_by_the_rules_are_the_golden_bytes(probes, scale, rounding):
    """The documents did not say that quantize divides in float32: a quarter of the bytes came out one step off."""
    quantize = {
        "op": "quantize",
        "scale": scale,
        "zero_point": -1,
        "dtype": "int8",
        "saturate": True,
    }
    stages = [
        {"op": "decode", "format": "rgb24", "order": "rgb", "size": SIZE},
        {"op": "crop", "region": "center", "size": [96, 96], "outside": "clip"},
        {"op": "normalize", "mean": [127.5], "scale": [127.5], "units": "0-255"},
        *TAIL[1:],
        {**quantize, "rounding": rounding},
    ]
    spec = PreprocessSpec("integers", stages)
    stages, (folder, known) = spec.to_dict()["stages"], probes
    chosen = [p for p in known if p["format"] == "rgb24"][:3]
    assert len(chosen) == 3
    off = []
    for probe in chosen:
        path = folder / probe["file"]
        golden = apply(spec, path, face=probe["face"]).ravel()
        mine = reader.tensor(stages, path.read_bytes(), probe["face"])
        assert np.array_equal(mine, golden), probe["name"]
        if rounding == "half_even":
            old = reader.tensor(
                stages, path.read_bytes(), probe["face"], reader.quantize_in_float64
            )
            off.append(np.mean(old != golden))
    ties = scale < 0.01  # a scale near 2/255 puts every quotient at half a step
    assert not off or (max(off) > 0.1) == ties, off


def test_a_bundles_page_states_the_quantize_rule_to_the_bit():
    spec = quantized(emotion_spec(), scale=0.007843137718737125, zero_point=-1, dtype="int8")
    page = " ".join(stage_rules.for_spec(spec).split())
    for words in ("v and scale as float32", "divided in float32", "`zero_point` added in integers"):
        assert words in page
    assert "a quarter of all values are one step off" in page  # ties are everywhere at this scale
