"""One face: ground truth that fits the picture, factors that vary alone, errors that say what is wrong."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.core.errors import BadInputError
from facelab.datasets import synthetic
from facelab.datasets.synthetic._stream import Stream
from facelab.datasets.synthetic.geometry._expression import (
    ACTION_UNITS,
    EMOTIONS,
    THREE_CLASSES,
    draw_expression,
    pose_features,
)
from facelab.datasets.synthetic.geometry._identity import blend, draw_identity
from facelab.datasets.synthetic.tasks._recipe import Occluder


@pytest.fixture(scope="module")
def plain():
    return synthetic.recipe(
        7,
        3,
        size=96,
        emotion="neutral",
        yaw=0,
        pitch=0,
        roll=0,
        shift=(0, 0),
        occluder=None,
        glasses="none",
        jpeg=None,
        sensor_noise=0,
        defocus=0,
        shake=0,
    )


def make(recipe, size=96, **factors):
    return synthetic.make(synthetic.change(recipe, **factors), size)


def test_a_sample_has_exact_and_consistent_labels():
    for index in range(8):
        s = synthetic.sample(5, index, size=96)
        x1, y1, x2, y2 = s.box
        assert s.image.shape == (96, 96, 3) and s.image.dtype == np.uint8
        assert x1 < x2 and y1 < y2 and 0 <= s.visibility <= 1
        assert ((s.landmarks > (x1 - 4, y1)) & (s.landmarks < (x2 + 4, y2))).all()
        left, right, nose, mouth_left, mouth_right = s.landmarks
        assert left[0] < right[0] and mouth_left[0] < mouth_right[0]
        assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])
        assert set(s.action_units) == set(ACTION_UNITS) and all(
            v >= 0 for v in s.action_units.values()
        )
        assert s.emotion in EMOTIONS and (s.intensity == 0) == (s.emotion == "neutral")


def test_the_same_place_gives_the_same_sample_and_others_do_not():
    a, b, c = (synthetic.sample(7, i, size=48) for i in (4, 4, 5))
    assert (a.image == b.image).all() and a.recipe == b.recipe
    assert (a.image != c.image).any()
    assert (synthetic.sample(8, 4, size=48).image != a.image).any()


@pytest.mark.parametrize(
    "factor, low, high", [("yaw", -30, 30), ("pitch", -20, 20), ("roll", -20, 20)]
)
def test_a_pose_moves_the_landmarks_the_stated_way(plain, factor, low, high):
    a, b = make(plain, **{factor: low}), make(plain, **{factor: high})
    if factor == "yaw":
        assert b.landmarks[2, 0] > a.landmarks[2, 0] + 5, (
            "yaw > 0 turns the nose to the image's right"
        )
    if factor == "pitch":
        assert b.landmarks[2, 1] < a.landmarks[2, 1] - 3, "pitch > 0 lifts the chin"
    if factor == "roll":
        slope = [s.landmarks[1, 1] - s.landmarks[0, 1] for s in (a, b)]
        assert slope[1] < -4 < 4 < slope[0], "roll > 0 turns anticlockwise: the right eye rises"
    assert getattr(a, factor) == low


def test_depth_is_metric_and_nearest_at_the_nose(plain):
    s = make(plain, distance=8.0)
    face = s.depth[int(s.box[1]) : int(s.box[3]), int(s.box[0]) : int(s.box[2])]
    y, x = np.unravel_index(np.nanargmin(s.depth), s.depth.shape)
    assert np.hypot(x - s.landmarks[2, 0], y - s.landmarks[2, 1]) < 6
    assert 650 < np.nanmin(face) < 760, "the nose of a head 80 cm away is some 10 cm nearer"
    assert np.isnan(s.depth).any() and np.nanmax(face) - np.nanmin(face) < 250


def test_scale_and_resolution_carry_the_labels_along(plain):
    small, large = make(plain, 64), make(plain, 128)
    np.testing.assert_allclose(large.landmarks, small.landmarks * 2, atol=1.5)
    np.testing.assert_allclose(large.box, small.box * 2, atol=2)
    coarse = make(plain, 96, resolution=24)
    np.testing.assert_allclose(coarse.box, make(plain, 96).box, atol=2)
    detail = np.abs(np.diff(coarse.image.astype(int), axis=1)).mean()
    assert detail < 0.7 * np.abs(np.diff(make(plain, 96).image.astype(int), axis=1)).mean()


def test_one_factor_varies_while_the_rest_stands_still(plain):
    base = make(plain)
    for factors in (
        {"light": 5},
        {"background": 9},
        {"jpeg": 10},
        {"sensor_noise": 20.0},
        {"defocus": 2.0},
        {"shake": 6.0},
        {"exposure": 0.7},
        {"outfit": 99},
    ):
        other = make(plain, **factors)
        assert (other.image != base.image).any(), factors
        np.testing.assert_array_equal(other.landmarks, base.landmarks)
        assert other.identity == base.identity and other.action_units == base.action_units
    lit = make(plain, light=5)
    np.testing.assert_array_equal(np.isnan(lit.depth), np.isnan(base.depth))


def test_vary_changes_what_it_names():
    joys = synthetic.vary(7, 3, "intensity", [0.2, 1.0], size=48, emotion="joy")
    assert joys[0].action_units[12] < joys[1].action_units[12]
    assert joys[0].identity == joys[1].identity


def test_occlusion_lowers_visibility_and_hides_landmarks(plain):
    base = make(plain)
    assert base.visible.all() and base.visibility > 0.9
    mouth = base.landmarks[3:].mean(0) / 96
    covered = make(plain, occluder=Occluder(float(mouth[0]), float(mouth[1]), 0.5, 0.25))
    assert covered.visible.tolist() == [True, True, covered.visible[2], False, False]
    assert covered.visibility < base.visibility - 0.05
    assert make(plain, mask=True).visible.tolist() == [True, True, False, False, False]
    assert make(plain, eyewear="sun").visible.tolist() == [False, False, True, True, True]
    turned = make(plain, yaw=70)
    assert not turned.visible.all(), "the far eye or mouth corner hides behind the nose and cheek"


def test_a_face_that_leaves_the_picture_is_less_visible(plain):
    assert make(plain, shift=(0.5, 0)).visibility < 0.8


@pytest.mark.parametrize(
    "emotion, unit",
    [("joy", 12), ("anger", 4), ("sadness", 15), ("surprise", 2), ("fear", 20), ("disgust", 9)],
)
def test_an_emotion_shows_its_action_units(emotion, unit):
    rested = np.mean([draw_expression("neutral", Stream(k), 1.0)[unit] for k in range(20)])
    shown = np.mean([draw_expression(emotion, Stream(k), 1.0)[unit] for k in range(20)])
    assert shown > rested + 0.3
    faint = np.mean([draw_expression(emotion, Stream(k), 0.35)[unit] for k in range(20)])
    assert rested < faint < shown


def test_action_units_move_features_as_facs_says():
    who = draw_identity(1)
    rest = pose_features(who, {})

    def moved(units):
        return pose_features(who, units)

    assert moved({12: 1.0}).mouth_corner > rest.mouth_corner > moved({15: 1.0}).mouth_corner
    assert moved({12: 1.0}).mouth_width > rest.mouth_width
    assert moved({27: 1.0}).jaw_drop > moved({26: 1.0}).jaw_drop > rest.jaw_drop == 0
    assert moved({5: 1.0}).lid_upper > rest.lid_upper > moved({43: 1.0}).lid_upper
    assert moved({4: 1.0}).brow_shift[0] < 0 < moved({1: 1.0}).brow_shift[0]
    assert moved({25: 1.0}).half_gap > rest.half_gap == 0


def test_identities_are_vectors_that_differ_and_come_back():
    a, b = draw_identity(10), draw_identity(11)
    assert draw_identity(10) == a
    assert len(a.vector()) >= 55 and np.isfinite(a.vector()).all()
    assert np.abs(a.vector() - b.vector()).max() > 0.01
    half = blend(a, b, 0.5)
    np.testing.assert_allclose(half.eye_x, (a.eye_x + b.eye_x) / 2)
    assert half.number == a.number and half.texture_offsets == a.texture_offsets


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**40),
    st.floats(-60, 60),
    st.floats(-25, 25),
    st.sampled_from(EMOTIONS),
    st.sampled_from(["none", "round", "rect", "sun"]),
)
def test_any_person_in_any_pose_can_be_drawn(identity, yaw, pitch, emotion, eyewear):
    s = synthetic.sample(
        1,
        0,
        size=32,
        identity=identity,
        yaw=yaw,
        pitch=pitch,
        emotion=emotion,
        eyewear=eyewear,
        intensity=1.0,
    )
    assert np.isfinite(s.box).all() and np.isfinite(s.landmarks).all()
    assert 0.15 < np.isfinite(s.depth).mean() < 1, "head and shoulders fill a part of the picture"
    assert s.image.std() > 2


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"set": "emotions"}, "did you mean 'emotion'"),
        ({"seed": -1}, "seed"),
        ({"index": -3}, "index"),
        ({"yaw": 120}, "yaw"),
        ({"emotion": "happy"}, "no such emotion"),
        ({"yaww": 3}, "did you mean 'yaw'"),
        ({"size": 8}, "size"),
        ({"jpeg": 0}, "JPEG"),
        ({"eyewear": "monocle"}, "eyewear"),
        ({"beard": "fulll"}, "did you mean 'full'"),
        ({"hair_style": "mohawk"}, "no such hair_style"),
        ({"classes": 5}, "classes"),
        ({"action_units": {3: 1.0}}, "action unit"),
        ({"identity": -4}, "identity"),
        ({"set": "detection"}, "no such set"),
    ],
)
def test_wrong_arguments_are_named(arguments, words):
    with pytest.raises(BadInputError) as e:
        synthetic.sample(**({"seed": 7, "index": 0, "size": 32} | arguments))
    assert words in str(e.value)


def test_generate_is_the_samples_and_splits_share_nobody():
    faces = synthetic.generate("emotion", 60, 7, size=32, classes=3)
    one = synthetic.sample(7, 17, size=32, classes=3)
    assert (faces.images[17] == one.image).all() and faces.identity[17] == one.identity
    assert set(faces.emotion) == set(THREE_CLASSES)
    assert all(len(set(faces.emotion[faces.identity == i])) == 3 for i in set(faces.identity))
    people = [set(faces.of(split).identity) for split in synthetic.SPLITS]
    assert all(people) and not (
        people[0] & people[1] or people[0] & people[2] or people[1] & people[2]
    )
    assert len(faces.of("train")) == 42


def test_generate_is_the_same_with_two_workers():
    one = synthetic.generate("liveness", 12, 3, workers=1, size=32)
    two = synthetic.generate("liveness", 12, 3, workers=2, size=32)
    for f in dataclasses.fields(one):
        a, b = getattr(one, f.name), getattr(two, f.name)
        assert (a == b) if isinstance(a, tuple) else (a == b).all(), f.name


def test_different_sets_and_seeds_share_no_identity():
    seen = [
        synthetic.recipe(seed, k, name).person.number
        for seed in (0, 7, 8)
        for name in ("emotion", "verification", "liveness")
        for k in (0, 45)
    ]
    assert len(set(seen)) == len(seen)
