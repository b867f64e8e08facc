"""Pairwise kernels: each within 1e-5 of float64, near-duplicates included; the scalar one is scalar."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelab.core.errors import BadInputError
from facelab.matching import SearchPolicy, pairwise
from facelab.matching import _pairwise as pairs
from facelab.matching.internals import kernels as isa
from facelab.matching.internals import oracle
from facelab.studies.matching import _disassembly as disassembly

KERNELS = ("auto", "scalar", "scalar-strict", "scalar4", "autovec", "simd", "blocked", "blas")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("metric", ["sqeuclidean", "l2", "ip", "cosine"])
def test_every_kernel_is_within_1e5_of_float64(kernel, metric):
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float16, np.int8):
        for n, m, d in ((1, 1, 1), (9, 5, 3), (50, 61, 130)):
            a, b = ((rng.standard_normal((r, d)) * 20).astype(dtype) for r in (n, m))
            b[0] = a[0]
            assert oracle.relative_error(pairwise(a, b, metric, kernel), a, b, metric) <= 1e-5


@pytest.mark.parametrize("kernel", KERNELS)
def test_near_duplicates_and_offsets_keep_their_digits(kernel):
    rng = np.random.default_rng(1)
    a = rng.standard_normal((20, 512)).astype(np.float32)
    for b in (a, a * np.float32(1.000001), a + np.float32(1e-3)):
        assert oracle.relative_error(pairwise(a, b, kernel=kernel), a, b) <= 1e-5
    far = a + np.float32(100)
    assert oracle.relative_error(pairwise(far, far[::-1], kernel=kernel), far, far[::-1]) <= 1e-5
    assert (np.diag(pairwise(a, a, kernel=kernel)) == 0).all()


@pytest.mark.parametrize("name", isa.available())
@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_blocked_runs_on_every_instruction_set_here(name, dtype):
    rng = np.random.default_rng(2)
    a, b = ((rng.standard_normal((n, 67)) * 40).clip(-128, 127).astype(dtype) for n in (11, 50))
    # inner products are another kernel in float32, compiled for seconds: here for the best set of instructions only
    for metric in (
        ("sqeuclidean", "ip") if dtype == np.int8 or name == isa.choose().name else ("sqeuclidean",)
    ):
        assert (
            oracle.relative_error(pairwise(a, b, metric, "blocked", isa=name), a, b, metric) <= 1e-6
        )


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(("n", "m", "d"), [(30, 400, 4096), (700, 20, 37), (3, 1000, 64)])
def test_blocked_does_every_pair_however_it_is_cut(n, m, d, threads):
    """More of b than is laid at a time, more rows than columns, more columns than rows."""
    every = SearchPolicy(thread_pays_s=0)
    a, b = (np.random.default_rng(3).standard_normal((r, d), dtype=np.float32) for r in (n, m))
    out = np.full((n, m), np.nan, np.float32)
    assert (
        oracle.relative_error(
            pairwise(a, b, kernel="blocked", threads=threads, out=out, policy=every), a, b
        )
        <= 1e-6
    )
    np.testing.assert_array_equal(out, pairwise(a, b, kernel="blocked", threads=1))


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 4))
def test_blocks_make_up_all_pairs_once(n, m, threads):
    seen = np.zeros((n, m), int)
    for first, last, begin, end in pairs._blocks(n, m, 48, threads):
        assert first < last and begin < end
        seen[first:last, begin:end] += 1
    assert (seen == 1).all()


def test_out_is_filled_and_checked():
    a = np.eye(3, dtype=np.float32)
    out = np.empty((3, 3), np.float32)
    assert pairwise(a, a, out=out) is out
    np.testing.assert_array_equal(out, 2 - 2 * np.eye(3))
    wide = np.zeros((3, 6), np.float32)
    pairwise(a, a, out=wide[:, ::2])
    np.testing.assert_array_equal(wide[:, ::2], out)
    readonly = out.copy()
    readonly.flags.writeable = False
    for bad in (np.empty((3, 2), np.float32), np.empty((3, 3)), readonly):
        with pytest.raises(BadInputError):
            pairwise(a, a, out=bad)


def test_empty_sides_give_empty_results_and_misfits_errors():
    a = np.ones((2, 3), np.float32)
    assert pairwise(a, a[:0]).shape == (2, 0)
    for bad in (a[:, :2], a.astype(np.float64), a[0], np.full((2, 3), np.nan, np.float32)):
        with pytest.raises(BadInputError):
            pairwise(a, bad)
    with pytest.raises(BadInputError):
        pairwise(a, a, kernel="mmx")


def test_the_scalar_kernel_has_no_packed_arithmetic_and_the_others_have():
    found = {
        k: disassembly.listing(k) for k in ("scalar", "scalar-strict", "scalar4", "simd", "blocked")
    }
    assert found["scalar"].packed == found["scalar4"].packed == found["scalar-strict"].packed == 0
    assert found["scalar"].scalar > 0
    assert found["scalar"].inner_loop
    assert found["simd"].packed >= 16
    assert found["blocked"].packed >= 12
