"""Alignment against the oracles: skimage's Umeyama, OpenCV's affine and warp, and the figures of PROTOCOLS."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hs
from skimage.transform import SimilarityTransform
from spec_strategies import ALIGN

from facelab.core.errors import BadInputError
from facelab.preprocess import PreprocessSpec, apply, input_to_output
from facelab.preprocess.align import (
    ARCFACE_112,
    affine3,
    align,
    align_opencv,
    check_landmarks,
    invert,
    template,
    umeyama,
    warp,
)
from facelab.preprocess.ops import RESIZE_PLAIN

TEMPLATE = np.array(ARCFACE_112)
POINTS = hs.lists(hs.tuples(hs.floats(0, 500), hs.floats(0, 500)), min_size=5, max_size=5)


@given(POINTS)
def test_umeyama_is_the_least_squares_similarity(points):
    p = np.array(points)
    if np.ptp(p, axis=0).max() < 1:
        return
    ours = umeyama(p, TEMPLATE)
    x, y = p.T
    # the same problem as a linear least-squares system in (a, b, tx, ty)
    rows = np.concatenate(
        [
            np.stack([x, -y, np.ones(5), np.zeros(5)], 1),
            np.stack([y, x, np.zeros(5), np.ones(5)], 1),
        ]
    )
    a, b, tx, ty = np.linalg.lstsq(rows, TEMPLATE.T.ravel(), rcond=None)[0]
    moved = p @ ours[:, :2].T + ours[:, 2]
    expected = p @ np.array([[a, -b], [b, a]]).T + [tx, ty]
    assert np.abs(moved - expected).max() < 1e-6


def test_umeyama_equals_skimage_on_face_shapes():
    rng = np.random.default_rng(4)
    for _ in range(50):
        p = TEMPLATE * rng.uniform(0.3, 4) + rng.normal(0, 6, (5, 2)) + rng.uniform(0, 300, 2)
        assert (
            np.abs(
                umeyama(p, TEMPLATE) - SimilarityTransform.from_estimate(p, TEMPLATE).params[:2]
            ).max()
            < 1e-9
        )


def test_swapped_points_and_the_forgotten_shift_are_gross_errors():
    def moved(order):
        m = umeyama(TEMPLATE[order], TEMPLATE)
        return np.abs(np.linalg.norm(TEMPLATE @ m[:, :2].T + m[:, 2] - TEMPLATE, axis=1)).mean()

    eyes, mouth = moved([1, 0, 2, 3, 4]), moved([0, 1, 2, 4, 3])
    assert eyes > mouth > 5, "swapped points are a gross error, not a detail"
    with_shift = template("arcface", (128, 128))
    assert np.allclose(with_shift - TEMPLATE, [8, 0]) and np.allclose(
        template("arcface", (256, 256)), 2 * with_shift
    )
    assert np.allclose(template("arcface", (224, 224)), 2 * TEMPLATE)


def test_affine3_is_opencvs_and_hits_its_points():
    rng = np.random.default_rng(5)
    for _ in range(20):
        p, q = rng.integers(0, 200, (2, 3, 2)).astype(float)
        theirs = cv2.getAffineTransform(p.astype(np.float32), q.astype(np.float32))
        assert np.allclose(affine3(p, q), theirs, rtol=1e-9, atol=1e-9)
        assert np.abs(p @ affine3(p, q)[:, :2].T + affine3(p, q)[:, 2] - q).max() < 1e-8
    with pytest.raises(BadInputError, match="line"):
        affine3([(0, 0), (1, 1), (2, 2)], [(0, 0), (1, 1), (2, 2)])


@pytest.mark.parametrize("seed", range(6))
def test_the_1_32_warp_is_opencvs_to_the_last_bit(seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (90, 120, 3)).astype(np.float32)
    a, k = rng.uniform(-3, 3), rng.uniform(0.3, 2)
    m = np.array(
        [[k * np.cos(a), -k * np.sin(a), rng.uniform(-50, 90)], [k * np.sin(a), k * np.cos(a), 7.3]]
    )
    theirs = cv2.warpAffine(x, m, (112, 112), flags=cv2.INTER_LINEAR, borderValue=(7, 9, 200))
    assert (
        np.abs(warp(x, m, (112, 112), border=(7, 9, 200), coordinates="1/32") - theirs).max() < 1e-4
    )


def test_aligned_landmarks_land_on_the_template_in_numpy_and_opencv():
    image = np.zeros((200, 240, 3), np.uint8)
    points = [(70, 80), (150, 95), (105, 130), (72, 160), (130, 170)]
    for x, y in points:
        image[y - 2 : y + 3, x - 2 : x + 3] = 255
    m = umeyama(points, TEMPLATE)
    for make in (align, align_opencv):
        out = make(image, points)
        assert out.shape == (112, 112, 3) and out.dtype == np.uint8
        for x, y in np.array(points) @ m[:, :2].T + m[:, 2]:
            assert out[round(y), round(x)].min() > 200
    assert np.abs(align(image, points).astype(int) - align_opencv(image, points)).mean() < 1
    assert align(image[..., 0], points).shape == (112, 112)


def test_invert_undoes():
    m = umeyama([(70, 80), (150, 95), (105, 130), (72, 160), (130, 170)], TEMPLATE)
    both = np.vstack([invert(m), [0, 0, 1]]) @ np.vstack([m, [0, 0, 1]])
    assert np.abs(both - np.eye(3)).max() < 1e-12


@pytest.mark.parametrize(
    "bad",
    [
        None,
        [],
        [[1, 2]] * 4,
        [[1, 2]] * 5,
        [[np.nan, 1]] * 5,
        "x",
        [[1, 2, 3]] * 5,
        [[0, 0], [1, np.inf], [2, 2], [3, 3], [4, 4]],
    ],
)
def test_bad_landmarks_are_named(bad):
    with pytest.raises(BadInputError):
        check_landmarks(bad)


SPEC = PreprocessSpec(
    "face",
    [
        {"op": "decode", "format": "encoded", "order": "rgb", "idct": "accurate", "alpha": "drop"},
        {"op": "orient", "exif": "apply", "transform": "none"},
        {**RESIZE_PLAIN, "size": [120, 100]},
        ALIGN,
    ],
)


def test_landmarks_follow_the_stages_before_the_alignment():
    """Aligning after a resize uses the resized landmarks, so the face still lands on the template."""
    points = [(70.0, 80.0), (150.0, 95.0), (105.0, 130.0), (72.0, 160.0), (130.0, 170.0)]
    image = np.zeros((200, 240, 3), np.uint8)
    for x, y in points:
        image[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3] = 255
    out = apply(SPEC, image, face=points)
    for x, y in TEMPLATE:
        assert out[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4].max() > 200
    with pytest.raises(BadInputError, match="no landmarks"):
        apply(SPEC, image)


def test_the_matrix_of_a_spec_maps_pixels_as_the_spec_does():
    spec = PreprocessSpec(
        "box",
        [
            SPEC.stages[0],
            {"op": "orient", "exif": "ignore", "transform": "none"},
            {
                **RESIZE_PLAIN,
                "size": [320, 320],
                "mode": "letterbox",
                "size_rounding": "floor",
                "anchor": "center",
                "value": [0],
            },
        ],
    )
    m = input_to_output(spec, (200, 100))
    assert np.allclose(m @ [0, 0, 1], [0, 80]) and np.allclose(m @ [200, 100, 1], [320, 240])
    turned = PreprocessSpec(
        "t",
        [
            SPEC.stages[0],
            {"op": "crop", "region": "full"},
            {"op": "orient", "exif": "ignore", "transform": "rotate90"},
        ],
    )
    image = np.zeros((50, 80, 3), np.uint8)
    image[10, 30] = 255
    y, x = np.argwhere(apply(turned, image)[..., 0])[0]
    assert np.allclose(input_to_output(turned, (80, 50)) @ [30.5, 10.5, 1], [x + 0.5, y + 0.5])
