"""Channels moved to the front before the numbers change: the same tensor to the bit, for every backend that does so."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelab.preprocess import PreprocessSpec, apply
from facelab.preprocess._run import _sooner, stages

NUMBERS = {
    "normalize": {"op": "normalize", "mean": [104.0, 117.0, 123.0], "scale": [58.4, 57.1, 57.4]}
    | {"units": "0-255"},
    "unit": {"op": "normalize", "mean": [0.5], "scale": [0.25], "units": "0-1"},
    "float32": {"op": "cast", "dtype": "float32"},
    "float16": {"op": "cast", "dtype": "float16"},
    "int8": {"op": "quantize", "scale": 0.03, "zero_point": -7, "dtype": "int8"}
    | {"rounding": "half_even", "saturate": True},
}
DECODE = {"op": "decode", "format": "rgb24", "order": "rgb", "size": [7, 5]}


@pytest.mark.parametrize("backend", ["reference", "opencv", "pillow"])
@pytest.mark.parametrize("to", ["chw", "nchw", "hwc", "nhwc"])
@given(
    names=st.lists(st.sampled_from(["normalize", "unit", "float32", "float16"]), max_size=3),
    last=st.booleans(),
    place=st.integers(0, 4),
    seed=st.integers(0, 99),
)
def test_the_tensor_is_the_same_to_the_bit(backend, to, names, last, place, seed):
    numbers = [NUMBERS[n] for n in names] + [NUMBERS["int8"]] * last
    numbers.insert(min(place, len(numbers)), {"op": "layout", "to": to})
    spec = PreprocessSpec("s", [DECODE, *numbers])
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    fast = apply(spec, pixels, backend=backend)
    _, as_said = stages(spec, pixels, backend=backend)[-1]
    assert fast.dtype == as_said.dtype and fast.flags.c_contiguous
    assert np.array_equal(fast, as_said)


def test_only_a_move_of_the_channels_comes_sooner():
    def ops(to):
        spec = PreprocessSpec("s", [DECODE, NUMBERS["normalize"], {"op": "layout", "to": to}])
        return [s.op for _, s in _sooner(list(enumerate(spec.stages, 1))[1:])]

    assert ops("nchw") == ["layout", "normalize"]
    assert ops("nhwc") == ["normalize", "layout"]


def test_pixels_that_were_given_stay_as_they_are():
    spec = PreprocessSpec("s", [DECODE, NUMBERS["unit"], {"op": "layout", "to": "nchw"}])
    pixels = np.arange(105, dtype=np.uint8).reshape(5, 7, 3)
    before = pixels.copy()
    apply(spec, pixels, backend="opencv")
    assert np.array_equal(pixels, before)
