"""The ink of a picture: the same for any size, polarity, colour, place and pen, and never of an empty sheet."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.core.errors import BadInputError
from facelab.datasets.doodles import Pen, draw, synthetic
from facelab.doodle import ink
from facelab.doodle._ink import SIDE

SHAPE = [np.array([(0, 0), (0.5, 1), (1, 0.2), (0.55, 0.35), (0.2, 0.0)])]


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Return the correlation of two inks, blurred by a pixel so that a shift of one edge does not count."""
    import cv2

    a, b = (cv2.GaussianBlur(x.astype(float), (0, 0), 1.0).ravel() for x in (a, b))
    return float(np.corrcoef(a, b)[0, 1])


REFERENCE = ink(draw(SHAPE, Pen(size=(224, 224), width=7.0)))


@settings(max_examples=60)
@given(
    width=st.integers(32, 500),
    height=st.integers(32, 500),
    thick=st.floats(0.015, 0.07),
    place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    long=st.floats(0.5, 0.95),
    dark=st.booleans(),
    contrast=st.integers(60, 255),
)
def test_size_place_pen_and_polarity_change_little(
    width, height, thick, place, long, dark, contrast
):
    side = min(width, height)
    left, top = (p * (1 - long) for p in place)
    low = (255 - contrast) // 2
    ink_, paper = (low, low + contrast) if dark else (low + contrast, low)
    pen = Pen(
        (width, height),
        max(1.0, thick * long * side),
        (ink_,) * 3,
        (paper,) * 3,
        (left, top, long),
    )
    assert likeness(ink(draw(SHAPE, pen)), REFERENCE) > 0.85


def test_inverted_pictures_give_the_same_ink():
    for k, (picture, _, _) in enumerate(synthetic(40, seed=2)):
        assert (
            np.array_equal(ink(picture), ink(255 - picture))
            or likeness(ink(picture), ink(255 - picture)) > 0.97
        ), k


def test_gray_rgb_and_alpha_agree():
    gray = draw(SHAPE)[..., 0]
    rgb = np.repeat(gray[..., None], 3, axis=2)
    alpha = np.concatenate([np.zeros_like(rgb), 255 - gray[..., None]], axis=2)
    white = np.concatenate([np.full_like(rgb, 255), 255 - gray[..., None]], axis=2)
    assert np.array_equal(ink(gray), ink(rgb)) and likeness(ink(alpha), ink(rgb)) > 0.99
    assert likeness(ink(white), ink(rgb)) > 0.99, "white ink on a transparent sheet"


def test_a_shadow_over_the_paper_is_no_ink():
    picture = draw(SHAPE, Pen(size=(200, 200), width=6.0)).astype(float)
    ramp = np.linspace(1.0, 0.7, 200)[None, :, None]
    shaded = np.round(picture * ramp).astype(np.uint8)
    assert likeness(ink(shaded), REFERENCE) > 0.85


def test_a_speck_does_not_shrink_the_drawing():
    picture = draw(SHAPE, Pen(size=(200, 200), width=5.0, box=(0.1, 0.1, 0.5)))
    picture[190:193, 190:193] = 0
    assert likeness(ink(picture), REFERENCE) > 0.85


def test_the_drawing_is_centred_and_keeps_its_proportions():
    tall = ink(draw([np.array([(0, 0), (0.3, 0), (0.3, 1), (0, 1), (0, 0.0)])]))
    ys, xs = np.nonzero(tall > 60)
    assert abs(ys.mean() - (SIDE - 1) / 2) < 1 and abs(xs.mean() - (SIDE - 1) / 2) < 1
    assert 20 <= np.ptp(ys) <= 25 and 6 <= np.ptp(xs) <= 11


@pytest.mark.parametrize("side", [4, 6])
def test_ink_over_most_of_the_sheet_is_ink(side):
    picture = np.full((64, 64, 3), 255, np.uint8)
    picture[side:-side, side:-side] = 0
    made = ink(picture)
    assert made.max() >= 200 and made[14, 14] == 0, "a filled square is its outline"


@pytest.mark.parametrize(
    "picture",
    [
        np.full((50, 50, 3), 255, np.uint8),
        np.zeros((50, 50), np.uint8),
        np.full((50, 50, 3), 200, np.uint8) - np.arange(50, dtype=np.uint8)[None, :, None] // 10,
        (128 + np.random.default_rng(0).normal(0, 3, (60, 60, 3))).astype(np.uint8),
    ],
)
def test_an_empty_sheet_is_said_to_be_empty(picture):
    with pytest.raises(BadInputError, match="nothing is drawn"):
        ink(picture)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((50, 50, 2), np.uint8),
        np.zeros((50, 50, 3), np.float32),
        np.zeros((4, 50, 3), np.uint8),
        np.zeros((0, 0), np.uint8),
        np.zeros((2, 3, 4, 5), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(array):
    with pytest.raises(BadInputError, match="not a picture"):
        ink(array)
