"""A prepared matcher that is restored from its arrays answers as the one it was taken from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.core.errors import IntegrityError
from facelab.matching import Matcher, Prepared, SearchPolicy


def gallery(seed, rows, dimension, dtype):
    x = np.random.default_rng(seed).standard_normal((rows, dimension))
    return (x * 40).astype(np.int8) if dtype == "int8" else x.astype(dtype)


@settings(max_examples=25)
@given(
    rows=st.integers(1, 300),
    dimension=st.sampled_from([1, 3, 64, 100]),
    dtype=st.sampled_from(["float32", "float16", "int8"]),
    metric=st.sampled_from(["cosine", "l2", "sqeuclidean", "ip"]),
    seed=st.integers(0, 99),
)
def test_answers_are_the_same_from_mapped_files(
    tmp_path_factory, rows, dimension, dtype, metric, seed
):
    folder = tmp_path_factory.mktemp("p")
    first = Matcher(gallery(seed, rows, dimension, dtype), metric)
    saved = Prepared.of(first)
    for name, array in saved.arrays.items():
        np.save(folder / f"{name}.npy", array)
    arrays = {n: np.load(folder / f"{n}.npy", mmap_mode="c") for n in saved.arrays}
    again = Prepared(saved.header, arrays).matcher(policy=SearchPolicy(thread_pays_s=0))
    queries = gallery(seed + 1, 7, dimension, dtype)
    for k in (1, min(9, rows)):
        a, b = first.search(queries, k), again.search(queries, k)
        assert np.array_equal(a.ids, b.ids) and np.array_equal(a.distances, b.distances)
    assert len(again) == rows and again.metric == first.metric


def test_codes_of_another_processor_are_made_again():
    x = gallery(0, 90, 32, "float32")
    saved = Prepared.of(Matcher(x, "cosine", isa="generic"))
    restored = saved.matcher()
    assert np.array_equal(restored.search(x, 5).ids, Matcher(x, "cosine").search(x, 5).ids)


def test_read_only_and_unaligned_arrays_are_copied():
    x = gallery(0, 90, 32, "float32")
    saved = Prepared.of(Matcher(x, "cosine"))
    arrays = {}
    for name, array in saved.arrays.items():
        room = np.zeros(array.nbytes + 64, np.uint8)
        shifted = room[16 : 16 + array.nbytes].view(array.dtype).reshape(array.shape)
        shifted[...] = array
        shifted.flags.writeable = False
        arrays[name] = shifted
    restored = Prepared(saved.header, arrays).matcher()
    assert np.array_equal(restored.search(x, 5).ids, Matcher(x, "cosine").search(x, 5).ids)


@pytest.mark.parametrize("name", ["vectors", "squares", "codes", "params", "corrections", "mean"])
@pytest.mark.parametrize("change", ["shape", "dtype", "missing"])
def test_arrays_of_another_shape_are_refused(name, change):
    saved = Prepared.of(Matcher(gallery(0, 90, 32, "float32"), "cosine"))
    arrays = dict(saved.arrays)
    if change == "missing":
        del arrays[name]
    else:
        arrays[name] = arrays[name][:-1] if change == "shape" else arrays[name].astype(np.float64)
        if name == "squares" and change == "dtype":
            arrays[name] = arrays[name].astype(np.float32)
    with pytest.raises(IntegrityError, match=name):
        Prepared(saved.header, arrays).matcher()


def test_another_schema_is_refused():
    saved = Prepared.of(Matcher(gallery(0, 9, 4, "float32"), "l2"))
    with pytest.raises(IntegrityError, match="schema"):
        Prepared({**saved.header, "schema": "facelab.matcher/9"}, saved.arrays).matcher()
