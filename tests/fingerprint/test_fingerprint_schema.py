"""Reading a fingerprint from outside: every bad one is exit 2 with one sentence, never a traceback."""

import base64
import copy
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.cli import run
from facelab.core.errors import FacelabError
from facelab.fingerprint import capture_spec
from facelab.fingerprint.document import _schema as schema
from facelab.fingerprint.document import canonical, describe
from facelab.fingerprint.document._statistics import block_means, pack, unpack
from facelab.preprocess.spec import PreprocessSpec
from facelab.studies.planted import SPECS

GRAY = "emotion-64-gray"


@pytest.fixture(scope="module")
def train(documented, tmp_path_factory):
    path = tmp_path_factory.mktemp("fp") / "train.json"
    documented(GRAY).save(path)
    return path


def test_a_fingerprint_survives_the_file_and_stays_small(train, documented):
    assert train.stat().st_size < 256 * 1024
    again = schema.load(train)
    assert (
        again.dumps() == documented(GRAY).dumps() and [n for n, _ in again.stages][-1] == "output"
    )


def test_the_same_spec_gives_the_same_bytes_in_another_process(train):
    code = (
        "from facelab.fingerprint import capture_spec; from facelab.studies.planted import SPECS; "
        "from facelab.preprocess.spec import PreprocessSpec; import hashlib;"
        f"print(hashlib.sha256(capture_spec(PreprocessSpec({GRAY!r}, SPECS[{GRAY!r}])).dumps().encode()).hexdigest())"
    )
    import hashlib

    # a processor without the newer vector units must make the same bytes
    import os

    from numpy._core._multiarray_umath import __cpu_dispatch__

    env = {
        **os.environ,
        "NPY_DISABLE_CPU_FEATURES": " ".join(
            f for f in __cpu_dispatch__ if f.startswith(("AVX512", "X86_V4"))
        ),
    }
    other = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=env,
    )
    assert other.stdout.strip() == hashlib.sha256(train.read_bytes()).hexdigest()


def broken(change):
    def make(value):
        value = copy.deepcopy(value)
        change(value)
        return json.dumps(value)

    return make


def first(value):
    return value["stages"][-1]["entries"]["marks"]


BROKEN = {
    "unknown schema version": broken(lambda v: v.update(schema="facelab.fingerprint/2")),
    "no schema": broken(lambda v: v.pop("schema")),
    "truncated": lambda v: json.dumps(v)[:5000],
    "empty": lambda v: "",
    "a list": lambda v: "[]",
    "a number": lambda v: "3",
    "a 10 MB string": broken(lambda v: v.update(name="x" * 10_000_000)),
    "deep nesting": lambda v: "[" * 100_000 + "]" * 100_000,
    "deep nesting inside": broken(lambda v: v.update(spec=eval("[" * 60 + "]" * 60))),  # noqa: S307
    "NaN": lambda v: json.dumps({**v, "probes": {"version": float("nan"), "hash": ""}}),
    "Infinity in moments": lambda v: json.dumps(v).replace('"mean": [', '"mean": [1e999, ', 1),
    "duplicate keys": lambda v: json.dumps(v)[:-1] + ', "name": "again"}',
    "unknown key": broken(lambda v: v.update(extra=1)),
    "no stages": broken(lambda v: v.update(stages=[])),
    "last stage is not an output": broken(lambda v: v["stages"][-1].update(name="tensor")),
    "twin stages": broken(lambda v: v["stages"].insert(0, v["stages"][0])),
    "wrong type": broken(lambda v: v.update(stages={})),
    "boolean shape": broken(lambda v: first(v).update(shape=[True, 64, 64, 1])),
    "negative shape": broken(lambda v: first(v).update(shape=[1, -64, 64, 1])),
    "shape without layout": broken(lambda v: first(v).update(shape=[64, 64])),
    "unknown dtype": broken(lambda v: first(v).update(dtype="complex64")),
    "bad digest": broken(lambda v: first(v).update(digest="zz")),
    "moments of another count": broken(lambda v: first(v)["moments"].update(mean=[1, 2, 3])),
    "samples too short": broken(lambda v: first(v)["samples"].update(data="AAAA")),
    "samples no base64": broken(lambda v: first(v)["samples"].update(data="%%%%")),
    "samples too large": broken(lambda v: first(v)["samples"].update(shape=[60, 60, 1])),
    "NaN in samples": broken(
        lambda v: first(v)["samples"].update(
            type="f4", data=base64.b64encode(np.full(256, np.nan, "<f4").tobytes()).decode()
        )
    ),
    "no samples": broken(lambda v: first(v).pop("samples")),
    "missing probe": broken(lambda v: v["stages"][-1]["entries"].pop("marks")),
    "foreign probe": broken(lambda v: v["stages"][-1]["entries"].update(nobody=first(v))),
    "other probe set": broken(lambda v: v["probes"].update(hash="0" * 64)),
    "no probe": broken(lambda v: v["stages"][-1].update(entries={})),
    "hostile spec": broken(
        lambda v: v.update(
            spec={"schema": "facelab.preprocess/1", "name": "x", "stages": [{"op": 7}]}
        )
    ),
    "spec without stages": broken(lambda v: v.update(spec={"a": 1})),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_bad_fingerprint_is_exit_2_and_one_clear_sentence(case, train, tmp_path, capsys):
    bad = tmp_path / "bad.json"
    bad.write_text(BROKEN[case](json.loads(train.read_text())))
    for sides in ((train, bad), (bad, train)):
        assert run(["fingerprint", "compare", *map(str, sides)]) == 2, case
        out, err = capsys.readouterr()
        assert err.startswith("error: ") and "Traceback" not in err and not out
        assert "bad.json" in err or case in ("missing probe", "other probe set"), err


def test_binary_rubbish_and_a_missing_file_are_exit_2(train, tmp_path, capsys):
    rubbish = tmp_path / "rubbish.json"
    rubbish.write_bytes(bytes(range(256)) * 10)
    for path in (rubbish, tmp_path / "none.json", tmp_path):
        assert run(["fingerprint", "compare", str(train), str(path)]) == 2
        assert "Traceback" not in capsys.readouterr().err


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda c: st.lists(c) | st.dictionaries(st.text(), c),
        max_leaves=20,
    ),
    st.sampled_from(
        ["schema", "name", "kind", "probes", "stages", "spec", "declares", "skipped", "made_by"]
    ),
)
def test_any_json_in_any_place_is_read_or_refused(value, key):
    good = _small()
    good[key] = value
    try:
        schema.parse(good)
    except FacelabError as e:
        assert e.exit_code == 2


def _small():
    spec = PreprocessSpec(GRAY, SPECS[GRAY])
    if not hasattr(_small, "made"):
        _small.made = capture_spec(spec).to_dict()
    return dict(_small.made)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 3), st.integers(0, 2**31 - 1))
@settings(max_examples=40, deadline=None)
def test_block_means_agree_with_a_plain_loop(h, w, c, seed):
    x = np.random.default_rng(seed).normal(size=(h, w, c))
    rows, columns = min(8, h), min(8, w)
    for (i, j), mean in np.ndenumerate(block_means(x, 8)[..., 0]):
        block = x[i * h // rows : (i + 1) * h // rows, j * w // columns : (j + 1) * w // columns, 0]
        assert mean == pytest.approx(
            block.mean(), abs=1e-9
        )  # the integral image rounds in another order


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**31 - 1))
@settings(max_examples=25, deadline=None)
def test_moments_and_energies_are_sums_in_order_to_the_last_bit(h, w, c, seed):
    """Pixel by pixel in Python: so do numbers come out the same on every processor."""
    x = np.random.default_rng(seed).normal(size=(h, w, c)).astype(np.float32)
    entry = describe(x)
    for k in range(c):
        plane = x[..., k].astype(np.float64)
        mean = added(plane) / (h * w)
        variance = added([(v - mean) * (v - mean) for v in plane.ravel().tolist()]) / (h * w)
        rough = [0.0, 0.0]
        for order in (1, 2):
            for axis in (0, 1):
                steps = np.abs(np.diff(plane, n=order, axis=axis))
                if plane.shape[axis] > order:
                    rough[order - 1] += added(steps) / steps.size
        moments, energy = entry["moments"], entry["energy"]
        found = [
            moments["mean"][k],
            moments["std"][k],
            energy["gradient"][k],
            energy["laplacian"][k],
        ]
        assert found == [float(f"{v:.9g}") for v in (mean, variance**0.5, *rough)]
        assert (moments["min"][k], moments["max"][k]) == pytest.approx(
            (plane.min(), plane.max()), rel=1e-8
        )  # nine digits are kept


def added(values):
    total = 0.0
    for value in np.ravel(values).tolist():
        total += value
    return total


def test_an_extreme_zero_has_one_sign():
    zeros = np.where(np.arange(300).reshape(10, 10, 3) % 7 < 3, -0.0, 0.0)
    assert "-0.0" not in json.dumps(describe(zeros)["moments"])


@pytest.mark.parametrize(
    "shape,layout,hwc",
    [
        ((5, 7), "hw", (5, 7, 1)),
        ((5, 7, 3), "hwc", (5, 7, 3)),
        ((3, 5, 7), "chw", (5, 7, 3)),
        ((1, 3, 5, 7), "nchw", (5, 7, 3)),
        ((1, 5, 7, 3), "nhwc", (5, 7, 3)),
        ((1, 5, 7), "nhw", (5, 7, 1)),
        ((9,), "flat", (1, 9, 1)),
    ],
)
def test_layouts_are_recognised(shape, layout, hwc):
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    image, name = canonical(x)
    assert name == layout and image.shape == hwc


def test_values_are_packed_exactly_and_non_finite_ones_are_counted():
    whole, real = np.arange(6.0).reshape(1, 2, 3), np.array([[[0.25, -3.5]]])
    assert pack(whole)["type"] == "u1" and pack(real)["type"] == "f4"
    for x in (whole, real):
        np.testing.assert_array_equal(unpack(pack(x)), x)
    entry = describe(np.array([[np.nan, 1.0], [np.inf, 2.0]], np.float32))
    assert entry["nonfinite"] == 2 and entry["moments"]["max"] == [2.0]
    schema._entry(entry, "x", True)


def test_bytes_read_as_floats_are_described_without_a_warning():
    """They may be NaN of the kind that signals, which numpy warns of where it converts them."""
    signals = np.full((2, 2, 1), 0x7F800001, np.uint32).view(np.float32)
    assert describe(signals)["nonfinite"] == 4
