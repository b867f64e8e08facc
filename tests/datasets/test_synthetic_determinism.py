"""The same seed gives the same bytes: by operations allowed, by pinned digests, and on a crippled processor."""

import ast
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.core.errors import FacelabError
from facelab.datasets import synthetic
from facelab.datasets.synthetic import _numerics as numerics
from facelab.datasets.synthetic import _scalar, _workers
from facelab.datasets.synthetic._noise import texture
from facelab.datasets.synthetic._stream import Stream, normal_table
from facelab.datasets.synthetic.camera._filters import bilinear_sample

PACKAGE = Path(synthetic.__file__).parent
# functions whose last bit differs between processors or builds; noise.py shapes noise with an FFT and rounds it
INEXACT = {
    "exp",
    "log",
    "sin",
    "cos",
    "tan",
    "arctan2",
    "hypot",
    "power",
    "cbrt",
    "interp",
    "dot",
    "matmul",
    "einsum",
    "mean",
    "var",
    "tanh",
    "expm1",
    "log1p",
    "arccos",
    "arcsin",
}

DIGESTS = """
import hashlib, sys
import numpy as np
from facelab.datasets.synthetic import sample, scene
def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()[:16]
for name in ("emotion", "verification", "liveness"):
    s = [sample(3, i, name, 64) for i in range(6)]
    print(name, digest(*(x.image for x in s)), digest(*(x.depth for x in s)), digest(*(x.box for x in s)))
s = scene(3, 1, (160, 120), faces=3)
print("scene", digest(s.image), digest(*(f.landmarks for f in s.faces)))
"""


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.name)
def test_only_operations_that_ieee_fixes_make_pixels(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("np", "math")
        ):
            assert node.attr not in INEXACT, (
                f"{path.name}:{node.lineno}: {node.value.id}.{node.attr}"
            )
        if isinstance(node, ast.Import):
            assert not {a.name for a in node.names} & {"cv2", "math", "random"}, (
                f"{path.name}:{node.lineno}"
            )
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            # powers of constants are exact or harmless; a power of data is not
            assert isinstance(node.left, ast.Constant), (
                f"{path.name}:{node.lineno}: a power of data"
            )
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            assert path.name == "_filters.py", (
                f"{path.name}:{node.lineno}: a matrix product (whole numbers only)"
            )


def run_digests(**environment):
    env = os.environ | environment
    done = subprocess.run(
        [sys.executable, "-c", DIGESTS], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.slow  # compiles every kernel again, for a plain processor
@pytest.mark.timeout(1200)
def test_a_processor_without_wide_vectors_draws_the_same_bytes(tmp_path):
    slow = run_digests(
        NPY_DISABLE_CPU_FEATURES="AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL X86_V3 "
        "X86_V4 AVX2 FMA3",
        OPENBLAS_CORETYPE="Prescott",
        OPENCV_CPU_DISABLE="AVX2,AVX512-SKX",
        GLIBC_TUNABLES="glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
        NUMBA_CPU_NAME="generic",
        NUMBA_CPU_FEATURES="",
        NUMBA_CACHE_DIR=str(tmp_path / "numba"),
        PYTHONWARNINGS="ignore",
    )
    assert slow == run_digests(PYTHONWARNINGS="ignore")


def test_noise_and_tables_are_the_pinned_ones():
    # a change here changes every picture: raise RENDERER in writer.py
    digest = hashlib.sha256()
    for name in ("cloud", "mottle", "pore", "strand", "hair", "grain"):
        digest.update(texture(name).tobytes())
    digest.update(normal_table().tobytes())
    assert digest.hexdigest()[:16] == "b060b8ed2f80bb4d"


def test_a_picture_is_the_pinned_one():
    s = synthetic.sample(7, 0)
    assert hashlib.sha256(s.image.tobytes()).hexdigest()[:16] == "2bde5fdb91f29e11"


@given(st.floats(-300, 300))
def test_exp_agrees_with_the_library(x):
    assert abs(numerics.exp(x) / np.exp(x) - 1) < 1e-13


@given(st.floats(1e-300, 1e300))
def test_log_agrees_with_the_library(x):
    assert abs(numerics.log(x) - np.log(x)) <= 2e-15 * max(1, abs(np.log(x)))


@given(st.floats(-1e4, 1e4))
def test_sine_and_cosine_agree_with_the_library(x):
    s, c = numerics.sincos(x)
    assert abs(s - np.sin(x)) < 1e-11 and abs(c - np.cos(x)) < 1e-11


@given(st.floats(1e-6, 50) | st.just(0.0), st.floats(0.1, 5))
def test_powers_agree_with_the_library(x, p):
    assert numerics.power(x, p) == pytest.approx(x**p, rel=1e-12, abs=1e-300)


@pytest.fixture(scope="module")
def compiled():
    """Return a function that applies a part of `_scalar` to whole arrays."""
    from numba import njit

    def apply(name, *arrays):
        call = getattr(_scalar, name)

        @njit
        def one(x, out):
            for k in range(x.shape[0]):
                out[k] = call(x[k])

        @njit
        def two(x, y, out):
            for k in range(x.shape[0]):
                out[k] = call(x[k], y[k])

        out = np.empty(len(arrays[0]))
        (one if len(arrays) == 1 else two)(*arrays, out)
        return out

    return apply


def test_quick_functions_keep_their_stated_errors(compiled):
    x = np.linspace(-30, 30, 100_001)
    assert np.abs(compiled("bell", np.abs(x)) - np.exp(-np.abs(x))).max() < 1.3e-4
    near = x[np.abs(x) < 9]
    assert np.abs(compiled("bell", np.abs(near)) - np.exp(-np.abs(near))).max() < 2e-6
    assert np.abs(compiled("logistic", x) - 1 / (1 + np.exp(-x))).max() < 2e-4
    assert np.abs(compiled("wave", x) - np.sin(x)).max() < 5e-6


def test_quick_powers_agree_with_the_library(compiled):
    x = np.concatenate([np.linspace(0, 4, 5001), [1e-12, 1e-8]])
    quarters = {"3_4": 3, "5_4": 5, "3_2": 6, "7_4": 7, "9_4": 9, "5_2": 10}
    for name, n in quarters.items():
        np.testing.assert_allclose(compiled(f"power_{name}", x), x ** (n / 4), rtol=1e-12)
    for p in (0.3, 0.9, 1.0, 2.2, 5.0):
        got, want = compiled("power", x, np.full(len(x), p)), np.where(x < 1e-9, 0, x**p)
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-12)


@given(st.lists(st.integers(0, (1 << 70) - 1), min_size=1, max_size=7))
def test_streams_are_seeded_as_numpys_seed_sequence_does(name):
    want = np.random.PCG64(np.random.SeedSequence(name)).random_raw(3)
    assert Stream(*name).shorts(12).tobytes() == want.astype("<u8").tobytes()


def test_samples_on_a_grid_are_those_at_its_points():
    rng = np.random.default_rng(3)
    image = rng.integers(0, 4096, (9, 13, 3)).astype(np.int32)
    x, y = np.sort(rng.uniform(-3, 15, 40)), np.sort(rng.uniform(-3, 11, 31))
    grid = bilinear_sample(image, x[None], y[:, None])
    points = bilinear_sample(image, *(a.ravel() for a in np.broadcast_arrays(x[None], y[:, None])))
    assert np.array_equal(grid.reshape(-1, 3), points)


@given(st.floats(-1e4, 1e4))
def test_one_number_and_arrays_give_the_same_bits(x):
    array = np.array([x, 0.0])
    assert numerics.exp(x / 50) == numerics.exp(array / 50)[0]
    assert numerics.sincos(x) == tuple(v[0] for v in numerics.sincos(array))
    positive = abs(x) + 1e-9
    assert numerics.log(positive) == numerics.log(np.array([positive]))[0]
    assert numerics.power(positive, 0.7) == numerics.power(np.array([positive]), 0.7)[0]


def test_interpolate_is_numpys_interp_to_rounding():
    xp, fp = np.array([-1.0, 0.5, 2.0, 7.0]), np.array([3.0, -2.0, 0.0, 1.0])
    x = np.linspace(-2, 8, 501)
    np.testing.assert_allclose(numerics.interpolate(x, xp, fp), np.interp(x, xp, fp), atol=1e-14)


@given(st.floats(-180, 180), st.floats(-90, 90), st.floats(-180, 180))
def test_a_rotation_keeps_lengths_and_hands(yaw, pitch, roll):
    m = numerics.rotation(yaw, pitch, roll)
    np.testing.assert_allclose(m @ m.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(m) == pytest.approx(1, abs=1e-12)


def test_streams_have_the_promised_distributions():
    from scipy import stats

    r = Stream(1, "test")
    assert stats.kstest(r.normals((50_000,)), "norm").pvalue > 1e-3
    assert stats.kstest([r.unit() for _ in range(5000)], "uniform").pvalue > 1e-3
    counts = np.bincount([r.integer(7) for _ in range(7000)], minlength=7)
    assert stats.chisquare(counts).pvalue > 1e-3
    quantiles = np.arange(0.5, 65536) / 65536
    assert np.abs(normal_table() - stats.norm.ppf(quantiles)).max() < 1e-6


@settings(max_examples=20)
@given(st.integers(0, 2**70), st.integers(0, 2**40), st.text(max_size=8))
def test_a_stream_depends_on_its_whole_name(a, b, word):
    first = Stream(a, b, word).unit()
    assert Stream(a, b, word).unit() == first
    assert Stream(a, b + 1, word).unit() != first
    assert 0 <= first < 1
    assert sorted(Stream(a, b, word).permutation(9)) == list(range(9))


def test_without_semaphores_the_work_is_done_in_this_process(monkeypatch):
    """joblib has no processes where `/dev/shm` is full or missing, and refuses the settings for them."""
    monkeypatch.setattr("joblib.parallel.mp", None)
    found = list(_workers.parallel(lambda k: (k, os.getpid()), range(5), 2))
    assert found == [(k, os.getpid()) for k in range(5)]


def test_workers_that_the_system_ends_are_an_error_and_no_traceback():
    """As it does for want of memory, or where the time of a process is limited."""
    with pytest.raises(FacelabError, match="ended before its work") as e:
        list(_workers.parallel(lambda _: os.kill(os.getpid(), signal.SIGKILL), range(4), 2))
    assert e.value.fix
