"""What hardly explains a difference is not its cause, where the training side is not recognised."""

import numpy as np
from test_random_pipelines import captured

from facelab.fingerprint import compare
from facelab.fingerprint.model._linear_fit import fit
from facelab.studies.planted import HARMLESS, SINGLES

WHITENED = {
    "decode": "pillow",
    "colour": "bgr",
    "crop": "square",
    "fraction": 0.875,
    "size": (224, 224),
    "resize": "cv-nearest",
    "mean": (104.0, 117.0, 123.0),
    "scale": (1.0,),
    "layout": "nchw",
    "standardise": True,
}


def test_a_line_that_explains_a_third_of_a_small_difference_is_no_scale():
    mistake = next(m for m in SINGLES if m.name == "YUV limited range read as full")
    c = compare(captured(WHITENED), captured({**WHITENED, **mistake.changes}))
    assert [f.kind for f in c.findings] == ["unknown"], [
        (f.kind, f.training, f.inference) for f in c.findings
    ]


GRAY_CURVE = {
    "decode": "opencv",
    "colour": "gray",
    "fraction": 0.875,
    "size": (160, 160),
    "resize": "cv-nearest",
    "mean": (0.0,),
    "scale": (255.0,),
    "layout": "nhwc",
    "gamma": 2.2,
}
BGR_NEAREST = {**WHITENED, "size": (64, 64), "standardise": False}


def changed(settings, name):
    """The kinds that a planted change of `settings` gets."""
    changes = next(m.changes for m in (*SINGLES, *HARMLESS) if m.name == name)
    c = compare(captured(settings), captured({**settings, **changes}))
    return [f.kind for f in c.findings]


def test_another_range_of_yuv_behind_a_curve_is_no_mean_scale_and_curve():
    assert changed(GRAY_CURVE, "YUV limited range read as full") == ["yuv_range"]
    assert changed(GRAY_CURVE, "YUV full range read as limited") == ["unknown"]


def test_another_range_of_yuv_is_no_other_decoder():
    assert changed(BGR_NEAREST, "YUV full range read as limited") == ["yuv_range"]


def test_what_a_division_by_a_small_deviation_makes_of_one_level_is_rounding():
    settings = {**WHITENED, "size": (48, 48), "resize": "pil-bilinear", "fraction": None}
    assert changed(settings, "last bit truncated") == []
    assert changed(settings, "red and blue swapped") == ["channel_order"]


def test_noise_of_a_flat_picture_counts_for_little():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 255, (400, 3))
    y = x.copy()
    y[300:] += rng.normal(0, 60, (100, 3))
    noise = np.where(np.arange(400)[:, None] < 300, 1.0, 60.0).repeat(3, axis=1)
    assert fit(x, y).loss > 20
    weighed = fit(x, y, noise=noise)
    assert weighed.loss < 1 and np.abs(weighed.matrix - np.eye(3)).max() < 1e-3
