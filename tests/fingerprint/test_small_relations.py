"""What hardly explains a difference is not its cause, where the training side is not recognised."""

from test_random_pipelines import captured

from facelab.fingerprint import compare
from facelab.studies.planted import SINGLES

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
