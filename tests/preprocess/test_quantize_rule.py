"""The quantize rule, stated to the bit: golden tensors follow it, and independent readers find the same bytes."""

import sys
from pathlib import Path

import numpy as np
import pytest
from emitted import STRICT, need, sh

from facelab.core.errors import BadInputError
from facelab.preprocess import PreprocessSpec, apply
from facelab.preprocess.backends import BACKENDS

READERS = Path(__file__).parent / "readers"
SCALES = (0.007843137718737125, 2 / 255, 1 / 128, 0.0186, 0.03)
RAMP = bytes(v for v in range(256) for _ in range(3))


def spec(scale, rounding, *, cast=True, zero=-1):
    stages = [
        {"op": "decode", "format": "rgb24", "order": "rgb", "size": [16, 16]},
        {"op": "normalize", "mean": [127.5], "scale": [127.5], "units": "0-255"},
        {"op": "layout", "to": "nhwc"},
        *([{"op": "cast", "dtype": "float32"}] if cast else []),
    ]
    last = {"op": "quantize", "scale": scale, "zero_point": zero, "dtype": "int8"}
    return PreprocessSpec("q", [*stages, {**last, "rounding": rounding, "saturate": True}])


def reader(language, folder):
    """Return the command of an independent reader, built where it must be."""
    source = READERS / f"quantize.{ {'python': 'py'}.get(language, language) }"
    if language == "python":
        return [sys.executable, source]
    need(language)
    if language == "c":
        sh("gcc", *STRICT, source, "-lm", "-o", "read", cwd=folder)
    else:
        (folder / "main.go").write_text(source.read_text())
        (folder / "go.mod").write_text("module quantize\n\ngo 1.18\n")
        sh("go", "build", "-o", "read", ".", cwd=folder)
    return ["./read"]


@pytest.mark.parametrize("language", ["c", "go", "python"])
def test_independent_readers_find_the_golden_bytes(language, tmp_path):
    command = reader(language, tmp_path)
    for scale in SCALES:
        for rounding in ("half_even", "half_away", "truncate"):
            whole = spec(scale, rounding)
            floats = PreprocessSpec("f", whole.stages[:-1])
            apply(floats, RAMP).tofile(tmp_path / "in")
            sh(*command, "in", "out", repr(scale), -1, rounding, cwd=tmp_path)
            golden = apply(whole, RAMP)
            assert (tmp_path / "out").read_bytes() == golden.tobytes(), (scale, rounding)


@pytest.mark.parametrize("rounding", ["half_even", "half_away", "truncate"])
def test_a_real_that_nobody_cast_is_rounded_to_float32_first(rounding):
    for scale in SCALES:
        a, b = (apply(spec(scale, rounding, cast=c), RAMP) for c in (True, False))
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("backend", [b for b in BACKENDS if b not in ("tensorflow", "reference")])
def test_backends_quantize_by_the_same_rule(backend):
    for scale in SCALES:
        want, got = (
            apply(spec(scale, "half_even"), RAMP, backend=b) for b in ("reference", backend)
        )
        # a float32 normalize may give another last bit, which shows where a quotient is a tie
        assert np.abs(want.astype(int) - got).max() <= 1


def test_float64_arithmetic_is_off_where_ties_are_everywhere():
    scale = SCALES[0]
    v = (np.arange(256) - 127.5) / 127.5
    wrong = np.clip(np.rint(v / scale) - 1, -128, 127)
    golden = apply(spec(scale, "half_even"), RAMP).ravel()[::3]
    assert 0.2 < np.mean(wrong != golden) < 0.6


def test_onnx_runtimes_own_quantizelinear_gives_the_golden_bytes():
    import onnxruntime as ort
    from onnx import TensorProto, helper

    for scale in SCALES:
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])],
            "q",
            [info("x", TensorProto.FLOAT, [None])],
            [info("y", TensorProto.INT8, [None])],
            [
                helper.make_tensor("s", TensorProto.FLOAT, [], [scale]),
                helper.make_tensor("z", TensorProto.INT8, [], [-1]),
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
        model.ir_version = 9
        session = ort.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        floats = apply(PreprocessSpec("f", spec(scale, "half_even").stages[:-1]), RAMP).ravel()
        assert (
            session.run(None, {"x": floats})[0].tobytes()
            == apply(spec(scale, "half_even"), RAMP).tobytes()
        )


@pytest.mark.parametrize("scale", [1e-39, 1e39])
def test_a_scale_that_float32_cannot_hold_is_refused(scale):
    with pytest.raises(BadInputError, match="float32"):
        spec(scale, "half_even")
