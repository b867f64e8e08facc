"""Ids of vectors: equal numbers, equal ids; anything else, another id."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facelab.core.errors import BadInputError
from facelab.index.internals import Source, image_id, vector_id

floats = hnp.arrays(np.float32, st.integers(1, 9), elements=st.floats(-4, 4, width=32))


@given(floats)
def test_layout_byte_order_and_the_sign_of_zero_do_not_matter(x):
    wide = np.zeros((len(x), 3), np.float32)
    wide[:, 1] = x
    same = [x.astype(">f4"), wide[:, 1], x.astype(np.float64), np.where(x == 0, -x, x), x.copy()]
    assert {vector_id(v) for v in same} == {vector_id(x)}


@given(floats, floats)
def test_different_vectors_have_different_ids(x, y):
    assert (vector_id(x) == vector_id(y)) == (x.shape == y.shape and bool((x == y).all()))


def test_every_number_counts_down_to_its_last_bit():
    x = np.random.default_rng(0).standard_normal(512).astype(np.float32)
    ids = {vector_id(x)}
    for i in range(512):
        y = x.copy()
        y[i] = np.nextafter(y[i], np.float32(9))
        ids.add(vector_id(y))
    assert len(ids) == 513


def test_namespaces_differ_and_length_counts():
    x = np.zeros(3, np.float32)
    assert len({vector_id(x), vector_id(x, "a"), vector_id(x, "b"), vector_id(x[:2])}) == 4


@pytest.mark.parametrize(
    "bad",
    [np.array([np.nan]), np.array([1e39]), np.eye(2), np.array([]), np.array(["a"]), [1j]],
)
def test_what_has_no_id(bad):
    with pytest.raises(BadInputError):
        vector_id(bad)


@pytest.mark.parametrize("space", ["a b", "a/b", "x" * 65, "ä"])
def test_bad_namespaces(space):
    with pytest.raises(BadInputError):
        vector_id([1.0], space)


def test_image_ids_name_image_model_and_spec():
    sources = [Source(a * 64, b * 64) for a in "ab" for b in "ab"]
    ids = {image_id(c * 64, s, n) for c in "01" for s in sources for n in ("", "n")}
    assert len(ids) == 16
    with pytest.raises(BadInputError):
        image_id("x", sources[0])
    with pytest.raises(BadInputError):
        Source("a", "b" * 64)
