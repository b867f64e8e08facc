"""Depth geometry and motion on surfaces whose shape is known, and on rendered faces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelab import liveness
from facelab.core.errors import BadInputError
from facelab.liveness._families import depth_geometry
from facelab.liveness._families.motion import nose_shift
from facelab.liveness._presentation import Look

BOX = np.array([20.0, 10.0, 100.0, 110.0])
LANDMARKS = np.array([[45.0, 45], [75, 45], [60, 65], [48, 85], [72, 85]])


def surface(tilt=(0.0, 0.0), bend=0.0, noise=0.0, side=120, seed=0):
    y, x = np.mgrid[0:side, 0:side] - side / 2
    d = 500 + tilt[0] * x + tilt[1] * y + bend * (x / 40) ** 2
    d = d + noise * np.random.default_rng(seed).normal(size=d.shape)
    return np.rint(d).astype(np.uint16)


def face(nose=25.0, tilt=0.0, noise=1.0, seed=0):
    """A head of half an ellipsoid with sockets and a nose; the wall is a metre behind."""
    y, x = np.mgrid[0:120, 0:120] - 60.0
    inside = 1 - (x / 48) ** 2 - (y / 58) ** 2
    d = 560 - 60 * np.sqrt(np.clip(inside, 0, None)) + tilt * x
    for side in (-15, 15):
        d = d + 8 * np.exp(-(((x - side) / 8) ** 2 + ((y + 15) / 6) ** 2))
    d = d - nose * np.exp(-((x / 11) ** 2 + ((y - 5) / 16) ** 2))
    d = d + noise * np.random.default_rng(seed).normal(size=d.shape)
    return np.rint(np.where(inside > 0, d, 1500)).astype(np.uint16)


def look(depth, box=BOX, landmarks=LANDMARKS):
    return Look(np.zeros((120, 120, 3), np.uint8), box, landmarks, depth)


@given(
    st.floats(-1.5, 1.5),
    st.floats(-1.5, 1.5),
    st.floats(-25, 25),
    st.floats(0, 4),
    st.integers(0, 99),
)
def test_no_tilt_bend_or_noise_makes_a_sheet_live(tx, ty, bend, noise, seed):
    shown = liveness.Presentation((look(surface((tx, ty), bend, noise, seed=seed)),))
    answer = liveness.load("depth-geometry").score(shown)
    assert answer.answered and answer.score < 0.5, answer


@given(st.floats(-0.5, 0.5), st.floats(22, 40), st.floats(0, 3), st.integers(0, 99))
def test_a_head_with_a_nose_is_live(tilt, nose, noise, seed):
    shown = liveness.Presentation((look(face(nose, tilt, noise, seed)),))
    answer = liveness.load("depth-geometry").score(shown)
    assert answer.score > 0.5, answer


def test_the_nose_is_measured_in_millimetres():
    low, high = (depth_geometry.geometry(look(face(n, noise=0)))["nose mm"] for n in (15, 35))
    # the median over a patch around the tip is less than the tip
    assert 0.75 * 20 < high - low <= 20


def test_residuals_are_those_of_the_shape():
    flat = depth_geometry.geometry(look(surface((0.5, -0.25))))
    assert flat["plane residual mm"] < 0.35  # rounding to whole millimetres: 1/sqrt(12) = .29
    bent = depth_geometry.geometry(look(surface(bend=20.0)))
    assert bent["plane residual mm"] > 4 and bent["quadric residual mm"] < 0.35


def test_half_the_depth_pixels_give_the_same_answer():
    whole = face(28.0)
    half = whole[::2, ::2].copy()
    model = liveness.load("depth-geometry")
    a, b = (model.score(liveness.Presentation((look(d),))) for d in (whole, half))
    assert b.details["nose mm"] == pytest.approx(a.details["nose mm"], abs=3)
    assert (a.score > 0.5) and (b.score > 0.5)


def test_missing_depth_is_not_an_answer_and_never_live():
    model = liveness.load("depth-geometry")
    holes = face(30.0)
    holes[:, :70] = 0
    for depth, reason in (
        (holes, "of the box has depth"),
        (np.zeros((120, 120), np.uint16), "of the box has depth"),
        (None, "needs depth"),
    ):
        shown = liveness.Presentation((look(depth),))
        answer = model.score(shown)
        assert not answer.answered and reason in answer.reason and not model.is_live(shown)
    nose = face(30.0)
    nose[55:76, 50:71] = 0
    answer = model.score(liveness.Presentation((look(nose),)))
    assert not answer.answered and answer.reason == "no depth at a landmark"


def test_a_box_that_leaves_the_picture_is_scored_by_what_is_seen():
    wide = look(face(30.0)).with_box(1.6, (0.2, 0.2))
    assert liveness.load("depth-geometry").score(liveness.Presentation((wide,))).score > 0.5


@pytest.mark.parametrize(
    "bad",
    [
        {"box": np.array([10.0, 10, 10, 20])},
        {"box": np.array([np.nan, 10, 30, 20])},
        {"box": np.array([500.0, 500, 600, 600])},
        {"depth": np.zeros((120, 120), np.uint8)},
        {"depth": np.zeros((120, 120), np.float32)},
    ],
)
def test_looks_that_mean_nothing_are_refused(bad):
    with pytest.raises(BadInputError) as caught:
        look(bad.get("depth", surface()), box=bad.get("box", BOX))
    assert caught.value.fix


@given(st.lists(st.floats(-0.3, 0.3), min_size=4, max_size=4), st.floats(-20, 20))
def test_an_affine_motion_has_no_nose_shift(matrix, by):
    m = np.eye(2) + np.reshape(matrix, (2, 2))
    assert nose_shift(LANDMARKS, LANDMARKS @ m.T + by) < 1e-6


def test_motion_needs_motion():
    model = liveness.load("motion")
    still = look(surface())
    assert model.score(liveness.Presentation((still,))).reason == "needs two looks or more"
    assert (
        model.score(liveness.Presentation((still, still))).reason
        == "nothing moved between the looks"
    )


@pytest.fixture(scope="module")
def people():
    return liveness.rendered(8, seed=3, size=96, looks=2)


def test_depth_tells_sheets_from_faces_and_not_masks(people):
    found = liveness.evaluate(
        liveness.load("depth-geometry"), people, rule="model", report_on="train"
    )
    assert found.rates.bpcer.value <= 0.25
    sheets = [found.rates.apcer[k].value for k in ("print_flat", "print_bent", "screen")]
    assert max(sheets) <= 0.25 and found.rates.apcer["mask"].value >= 0.5


def test_motion_is_deceived_by_a_video_and_not_by_a_print(people):
    found = liveness.evaluate(liveness.load("motion"), people, rule="model", report_on="train")
    assert found.rates.apcer["screen"].value >= 0.5 > found.rates.apcer["print_flat"].value
    assert found.rates.bpcer.value <= 0.25
