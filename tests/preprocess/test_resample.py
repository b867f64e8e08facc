"""The reference's resampling against exact fractions, known libraries, and itself on another processor."""

import os
import subprocess
import sys
from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

from facelab.preprocess.internals import resample
from facelab.preprocess.ops import Resize

COMMON = {
    "op": "resize",
    "size": (8, 8),
    "mode": "stretch",
    "rounding": "none",
    "antialias": False,
    "pixel_centers": "half",
}
LENGTH = hs.integers(1, 400)


def stage(kernel, **more):
    return Resize(**{**COMMON, "kernel": kernel, **more})


STAGES = [
    stage("nearest"),
    stage("nearest", pixel_centers="legacy"),
    stage("nearest", pixel_centers="corner"),
    stage("bilinear"),
    stage("bilinear", pixel_centers="legacy"),
    stage("bilinear", pixel_centers="corner"),
    stage("bicubic", cubic_a=-0.5, edge="renormalize"),
    stage("bicubic", cubic_a=-0.75, edge="replicate"),
    stage("area", antialias=True),
    stage("bilinear", antialias=True, edge="renormalize"),
    stage("bicubic", antialias=True, cubic_a=-0.5, edge="renormalize"),
    stage("lanczos", antialias=True, lobes=3, edge="renormalize"),
    stage("lanczos", lobes=4, edge="replicate"),
]


@given(LENGTH, LENGTH, hs.sampled_from(STAGES))
@settings(deadline=None)
def test_weights_sum_to_one_and_indices_lie_inside(n_in, n_out, one):
    index, weight = resample.taps(n_in, n_out, one)
    assert index.shape == weight.shape and len(index) == n_out
    assert index.min() >= 0 and index.max() < n_in
    assert np.abs(weight.sum(axis=1) - 1).max() < 1e-12


@given(LENGTH, LENGTH, hs.sampled_from(["half", "legacy", "corner"]))
def test_positions_and_nearest_agree_with_exact_fractions(n_in, n_out, centers):
    x = range(n_out)
    exact = {
        "half": [F(2 * i + 1, 2) * n_in / n_out - F(1, 2) for i in x],
        "legacy": [F(i * n_in, n_out) for i in x],
        "corner": [F(i * (n_in - 1), max(n_out - 1, 1)) for i in x],
    }[centers]
    assert np.abs(resample.positions(n_in, n_out, centers) - [float(e) for e in exact]).max() < 1e-9
    shift = F(0) if centers == "legacy" else F(1, 2)
    assert resample.nearest_index(n_in, n_out, centers).tolist() == [
        min(int(e + shift), n_in - 1) for e in exact
    ]


@given(LENGTH, LENGTH)
def test_area_is_the_exact_coverage(n_in, n_out):
    index, weight = resample.taps(n_in, n_out, stage("area", antialias=True))
    for x in {0, n_out // 2, n_out - 1}:
        got = np.zeros(n_in)
        np.add.at(got, index[x], weight[x])
        lo, hi = F(x * n_in, n_out), F((x + 1) * n_in, n_out)
        want = [float(max(F(0), min(hi, i + 1) - max(lo, i)) / (hi - lo)) for i in range(n_in)]
        assert np.abs(got - want).max() < 1e-12


@pytest.mark.parametrize("one", [s for s in STAGES if s.kernel not in ("nearest", "area")], ids=str)
def test_same_size_is_the_identity_and_a_constant_stays(one):
    x = np.random.default_rng(0).integers(0, 256, (12, 17, 2), dtype=np.uint8)
    assert np.abs(resample.resize(x, (17, 12), one) - x).max() < 1e-10
    assert (
        np.abs(resample.resize(np.full((9, 7, 1), 200, np.uint8), (23, 4), one) - 200).max() < 1e-10
    )


def test_own_sine_is_the_sine():
    x = np.linspace(-6, 6, 4001)
    assert np.abs(resample._sine_of_pi(x) - np.sin(np.pi * x)).max() < 5e-15


@pytest.mark.parametrize(
    ("filter_", "one"), [("BILINEAR", STAGES[9]), ("BICUBIC", STAGES[10]), ("LANCZOS", STAGES[11])]
)
@pytest.mark.parametrize("size", [(31, 20), (140, 97), (31, 97)])
def test_antialiased_kernels_are_pillows(filter_, one, size):
    from PIL import Image

    x = np.random.default_rng(1).integers(0, 256, (60, 81)).astype(np.float32)
    theirs = np.asarray(Image.fromarray(x).resize(size, getattr(Image.Resampling, filter_)))
    # Pillow's result is float32: 24 bits of values up to some 300
    assert np.abs(resample.resize(x[..., None], size, one)[..., 0] - theirs).max() < 1e-4


@pytest.mark.parametrize(
    ("flag", "one"),
    [
        ("INTER_LINEAR", STAGES[3]),
        ("INTER_CUBIC", STAGES[7]),
        ("INTER_LANCZOS4", STAGES[12]),
        ("INTER_AREA", STAGES[8]),
    ],
)
@pytest.mark.parametrize("size", [(31, 20), (140, 97)])
def test_opencv_kernels_are_opencvs(flag, one, size):
    import cv2

    if flag == "INTER_AREA" and size[0] > 81:
        pytest.skip("OpenCV's INTER_AREA is another kernel when enlarging")
    x = np.random.default_rng(2).integers(0, 256, (60, 81)).astype(np.float32)
    theirs = cv2.resize(x, size, interpolation=getattr(cv2, flag))
    # OpenCV computes its Lanczos weights in float32
    assert np.abs(resample.resize(x[..., None], size, one)[..., 0] - theirs).max() < (
        0.02 if "4" in flag else 2e-3
    )


def test_rounding_is_that_of_exact_arithmetic():
    x = np.array([0.5, 1.5, 2.5 - 1e-11, 254.5, 255.7, -0.5, 3 - 1e-11])
    assert resample.to_pixels(x, "half_even").tolist() == [0, 2, 2, 254, 255, 0, 3]
    assert resample.to_pixels(x, "half_up").tolist() == [1, 2, 3, 255, 255, 0, 3]
    assert resample.to_pixels(x, "truncate").tolist() == [0, 1, 2, 254, 255, 0, 3]


DIGEST = """
import numpy as np
from facelab.core.hashing import sha256_array
from facelab.preprocess import PreprocessSpec, apply
from facelab.preprocess.conformance import LANDMARKS, cases, pictures
out = []
for op, text, stages in cases():
    if stages[0].get("from") == "yuv":
        continue
    first = {"op": "decode", "format": "encoded", "order": "rgb", "idct": "accurate", "alpha": "drop"}
    for p in pictures():
        out.append(sha256_array(apply(PreprocessSpec(text, [first, *stages]), p, face=LANDMARKS)))
from facelab.core.hashing import sha256_json
print(sha256_json(out))
"""
COMMITTED = "eab63ff1e17aa7e992cdacf2ab140b17b1686f40984e2247e864adfea5d8a394"


@pytest.mark.parametrize("processor", ["all features", "baseline only"])
def test_the_reference_makes_the_same_bytes_on_any_processor(processor):
    from numpy._core._multiarray_umath import __cpu_dispatch__

    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    if processor == "baseline only":
        env["NPY_DISABLE_CPU_FEATURES"] = " ".join(__cpu_dispatch__)
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DIGEST], capture_output=True, text=True, env=env
    )
    assert out.stdout.strip() == COMMITTED, out.stderr
