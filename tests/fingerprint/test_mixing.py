"""Predictions of whole pictures: weighted sums of few lines give what products of matrices give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.fingerprint.model import _tones as tone
from facelab.fingerprint.model._linear_fit import fit
from facelab.fingerprint.model._resampling import mixed, weights
from facelab.fingerprint.model._whole import Whole, lined

KERNELS = (("bilinear", False), ("bilinear", True), ("bicubic", False), ("lanczos3", True))
WHOLE_PICTURE = np.random.default_rng(3).uniform(0, 255, (40, 33, 3)).astype(np.float32)


def dense(axis, n):
    """An axis as one matrix in float64."""
    if axis.ndim == 2:
        return axis.astype(np.float64)
    return np.eye(n)[np.maximum(axis, 0)] * (axis >= 0)[:, None]


@st.composite
def axes(draw, n):
    """Positions with gaps, or the weights of a resize of all or a part of `n` lines."""
    if draw(st.booleans()):
        return np.array(draw(st.lists(st.integers(-1, n - 1), min_size=1, max_size=50)))
    kernel, antialias = draw(st.sampled_from(KERNELS))
    begin = draw(st.integers(0, n - 3))
    part = weights(n - begin, draw(st.integers(2, 90)), kernel, antialias, "half")
    out = np.zeros((len(part), n), np.float32)
    out[:, begin:] = part
    return out[:, ::-1] if draw(st.booleans()) else out


@given(st.data(), st.integers(3, 70), st.integers(3, 70), st.sampled_from((np.uint8, np.float32)))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_mixed_is_the_product_of_matrices(data, h, w, kind):
    picture = np.random.default_rng(h * 100 + w).uniform(0, 255, (h, w, 3)).astype(kind)
    a, b = data.draw(axes(h)), data.draw(axes(w))
    wanted = np.einsum("ih,hwc,jw->ijc", dense(a, h), picture.astype(np.float64), dense(b, w))
    # float32 sums of up to 70 × 70 values below 255
    np.testing.assert_allclose(mixed(picture, a, b), wanted, atol=2e-3)


@pytest.mark.parametrize("name", tone.LINES)
def test_a_line_for_each_picture_says_its_own_factor(name):
    out, factor = lined(name, Whole(WHOLE_PICTURE))
    spread = [np.ptp(x.reshape(-1, 3), axis=0) for x in (out, WHOLE_PICTURE)]
    np.testing.assert_allclose(factor, spread[0] / spread[1], rtol=1e-4)
    np.testing.assert_array_equal(out, tone.apply((name, None), WHOLE_PICTURE))


@pytest.mark.parametrize("t", [("gamma", 2.2), ("equalize_each", None), ("standardise", None)])
def test_a_gray_is_worked_on_once_with_the_same_result(t):
    gray = tone.apply(("gray", tone.GRAY), WHOLE_PICTURE)
    assert gray.strides[-1] == 0
    np.testing.assert_allclose(tone.apply(t, gray), tone.apply(t, gray.copy()), atol=1e-3)


def test_a_flat_picture_has_no_factor():
    assert not lined("standardise_each", Whole(np.full((4, 5, 3), 7.0)))[1].any()


WHOLE_TONES = [
    *((name, None) for name in (*tone.LINES, "equalize_each", "equalize_luma")),
    *(("clahe", (clip, 4, on)) for clip in (2.0, 40.0) for on in ("gray", "lab")),
    ("recompressed", ("JPEG", 75, 2)),
]


@pytest.mark.parametrize("t", WHOLE_TONES, ids=str)
@pytest.mark.parametrize("kind", ["float32", "uint8", "gray"])
def test_a_contrast_at_some_places_is_what_it_is_everywhere(t, kind):
    x = WHOLE_PICTURE.astype(np.uint8) if kind == "uint8" else WHOLE_PICTURE
    x = tone.apply(("gray", tone.GRAY), x) if kind == "gray" else x
    at = np.ix_(np.arange(1, 40, 7), np.arange(0, 33, 5))
    values, factor = tone.seen(t, Whole(x), at)
    # OpenCV's Lab is whole numbers, so that the same pixels alone come out the same
    np.testing.assert_allclose(values, tone.apply(t, x)[at], atol=1e-4)
    assert (factor is not None) == (t[0] in tone.LINES)


def test_what_a_contrast_needs_of_a_picture_is_learned_once():
    picture = Whole(WHOLE_PICTURE)
    tone.seen(("clahe", (2.0, 8, "lab")), picture)
    lab = picture.lab
    tone.seen(("clahe", (3.0, 8, "lab")), picture)
    assert picture.lab is lab and picture.tried("clahe") is False and picture.tried("clahe") is True


def test_a_channel_of_one_value_is_no_error_where_roundings_are_enlarged():
    x = WHOLE_PICTURE.reshape(-1, 3)
    y = np.stack([2 * x[:, 0] + 1, np.zeros(len(x))], axis=1)
    found = fit(x, y, full=True, noise=np.full(x.shape, 3.0))
    assert found.loss < 1e-3 and np.isfinite(found.spread)
    np.testing.assert_allclose(found.matrix, [[2, 0, 0], [0, 0, 0]], atol=1e-4)
