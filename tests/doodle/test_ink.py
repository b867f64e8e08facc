"""The ink of a picture: the same for any size, polarity, colour, place and pen, and never of an empty sheet."""

import cv2
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


def test_a_shadow_over_the_paper_is_not_ink():
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
def test_what_is_not_a_picture_is_refused(array):
    with pytest.raises(BadInputError, match="not a picture"):
        ink(array)


# -- photographs of paper ----------------------------------------------------------------------------------------------


def drawn(k: int) -> np.ndarray:
    """A heart drawn with a pen on white paper, each a little otherwise, (224, 224, 3)."""
    t = np.linspace(0, 2 * np.pi, 80)
    rng = np.random.default_rng(k)
    wide, high = rng.uniform(3.2, 5.2, 2)
    x = 112 + wide * 16 * np.sin(t) ** 3
    y = 106 - high * (13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    points = np.stack([x, y], axis=1) + rng.normal(0, 0.8, (80, 2))
    picture = np.full((224, 224, 3), 255, np.uint8)
    cv2.polylines(picture, [points.astype(np.int32)], False, (20, 20, 30), 5, cv2.LINE_AA)
    return picture


def shadowed(picture, strength, seed=0):
    """Half of the picture in the shadow of a hand, with a sensor's noise."""
    ys, xs = np.mgrid[: picture.shape[0], : picture.shape[1]]
    light = 1 - strength / (1 + np.exp(-(xs - 0.55 * picture.shape[1] + 0.2 * ys) / 3))
    noise = np.random.default_rng(seed).normal(0, 4, picture.shape)
    return np.clip(picture * light[..., None] + noise, 0, 255).astype(np.uint8)


def photographed(picture, table):
    """The sheet askew on a table, darker towards the corners, as a JPEG."""
    h, w = picture.shape[:2]
    there = np.float32([[12, 8], [w - 4, 14], [w - 16, h - 6], [4, h - 12]])
    here = np.float32([[0, 0], [w, 0], [w, h], [0, h]])
    turn = cv2.getPerspectiveTransform(here, there)
    seen = cv2.warpPerspective(picture, turn, (w, h), borderValue=table).astype(float)
    ys, xs = np.mgrid[:h, :w]
    corner = 1 - 0.7 * (((xs - w / 2) / w) ** 2 + ((ys - h / 2) / h) ** 2)
    noise = np.random.default_rng(1).normal(0, 5, seen.shape)
    seen = np.clip(seen * corner[..., None] * (0.93, 0.9, 0.8) + noise, 0, 255).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", seen, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], 1)


def framed(picture):
    """The sheet lies straight on a dark table."""
    return cv2.copyMakeBorder(picture, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=(60, 45, 35))


def ruled(picture):
    out = picture.copy()
    out[20::24] = np.minimum(out[20::24], (170, 190, 225)).astype(np.uint8)
    return out


@pytest.mark.parametrize(
    "way",
    [
        lambda p: shadowed(p, 0.3),
        lambda p: shadowed(p, 0.55),
        lambda p: photographed(p, (214, 208, 190)),
        lambda p: photographed(p, (60, 50, 40)),
        framed,
        ruled,
        lambda p: shadowed(ruled(p), 0.5),
        lambda p: 255 - framed(p),
    ],
    ids=["soft", "hard", "light-table", "dark-table", "framed", "ruled", "ruled-hard", "inverted"],
)
def test_a_drawing_is_found_on_a_photograph_of_its_paper(way):
    """The ink of the photograph is that of the drawing: shadows, tables and ruled lines are not ink."""
    alike = []
    for k in range(6):
        clean, seen = (ink(p) > 90 for p in (drawn(k), way(drawn(k))))
        alike.append((clean & seen).sum() / (clean | seen).sum())
    assert np.median(alike) > 0.6 and min(alike) > 0.35, np.round(alike, 2)


def test_a_filled_square_and_a_filled_heart_are_not_taken_for_paper():
    square = np.full((200, 200), 255, np.uint8)
    square[40:160, 40:160] = 0
    outline = ink(square)
    assert outline[14, 14] == 0 and outline[14, :7].max() > 150
    t = np.linspace(0, 2 * np.pi, 80)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    points = np.stack([100 + 5 * 16 * np.sin(t) ** 3, 96 - 5 * y], axis=1).astype(np.int32)
    heart = np.full((200, 200), 255, np.uint8)
    cv2.fillPoly(heart, [points], 0)
    line = cv2.polylines(np.full((200, 200), 255, np.uint8), [points], True, 0, 8)
    assert ((ink(heart) > 90) & (ink(line) > 90)).sum() > 0.4 * (ink(line) > 90).sum()


@pytest.mark.parametrize("margin", [0, 1, 4])
def test_a_drawing_that_runs_along_the_border_is_not_taken_for_a_shadow(margin):
    """Cut out tightly, a thick drawing covers a part of the border; it is still the drawing."""
    for k in range(4):
        whole = cv2.erode(drawn(k), np.ones((9, 9), np.uint8))
        ys, xs = np.nonzero(whole[..., 0] < 128)
        top, left = max(0, ys.min() - margin), max(0, xs.min() - margin)
        cut = whole[top : ys.max() + 1 + margin, left : xs.max() + 1 + margin]
        assert likeness(ink(np.ascontiguousarray(cut)), ink(whole)) > 0.8
