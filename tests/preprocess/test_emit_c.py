"""Emitted C: exact under every compiler's habits, on other processors, and where vectors take the place of tables."""

import inspect
import shutil
import subprocess
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from emitted import STRICT, build, check, need, sh
from hypothesis import given, settings
from hypothesis import strategies as st
from test_emit import ALIGN, DECODE, FACE_CROP, PIXELS, RANDOM

from facelab.preprocess import PreprocessSpec
from facelab.preprocess.emit import Frame, emit, write
from facelab.preprocess.emit.kernels import bilinear, warping

CROP = {**FACE_CROP, "aspect": "keep", "outside": "replicate"}


def frames(count=40):
    """Frames whose face boxes have whole sides: a margin of .2 often ends at a whole number but the last bit."""
    rng = np.random.default_rng(0)
    for k in range(count):
        low, side = rng.integers(10, 40, 2), rng.integers(5, 60, 2)
        pixels = rng.integers(0, 256, (90, 100, 3), dtype=np.uint8)
        yield Frame.of(f"n{k}", pixels, face={"box": [*map(float, low), *map(float, low + side)]})


def has_fma():
    text = Path("/proc/cpuinfo")
    return text.exists() and " fma " in text.read_text()


@pytest.mark.parametrize(
    "command",
    [
        ["gcc", "-O3", "-march=native"],
        ["gcc", "-std=gnu99", "-O2", "-mfma"],
        ["g++", "-x", "c++", "-std=c++17", "-O3", "-march=native"],
    ],
    ids=["default", "gnu99", "c++17"],
)
def test_a_compiler_that_fuses_products_with_sums_crops_the_same(command, tmp_path):
    """These compilers fuse by default: a margin then ended beyond a whole number, and a crop was a pixel larger."""
    need("c")
    if shutil.which(command[0]) is None or not has_fma():
        pytest.skip("no such compiler, or a processor that cannot fuse")
    stages = [DECODE, CROP, {"op": "cast", "dtype": "float32"}]
    write(PreprocessSpec("fused", stages), "c", tmp_path, frames=frames())
    sh(*command, "preprocess.c", "preprocess_check.c", "-lm", "-o", "check", cwd=tmp_path)
    check("c", tmp_path)


@pytest.mark.parametrize("flags", [["-ffast-math"], ["-mfpmath=387"]], ids=["fast-math", "x87"])
def test_flags_that_change_results_are_refused_by_the_code(flags, tmp_path):
    need("c")
    if "x86" not in subprocess.run(["gcc", "-dumpmachine"], capture_output=True, text=True).stdout:
        pytest.skip("flags of another processor")
    write(PreprocessSpec("plain", [DECODE, {"op": "cast", "dtype": "float32"}]), "c", tmp_path)
    done = subprocess.run(
        ["gcc", "-std=c99", *flags, "-c", "preprocess.c"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0 and "#error" in done.stderr


def test_a_processor_with_half_precision_is_no_reason_to_refuse(tmp_path):
    """For AVX-512 FP16, which `-march=native` turns on, GCC tells another evaluation method: 16."""
    need("c")
    flags = ["-O2", "-mavx512fp16"]
    write(PreprocessSpec("plain", [DECODE, {"op": "cast", "dtype": "float32"}]), "c", tmp_path)
    (tmp_path / "nothing.c").write_text("int nothing;\n")
    known = subprocess.run(["gcc", *flags, "-c", "nothing.c"], cwd=tmp_path, capture_output=True)
    if known.returncode:
        pytest.skip("this compiler does not know AVX-512 FP16")
    sh("gcc", *flags, "-c", "preprocess.c", cwd=tmp_path)


QUANTIZE = {"op": "quantize", "dtype": "int8", "rounding": "half_even", "saturate": True}
IMAGENET = {"mean": [0.485, 0.456, 0.406], "scale": [0.229, 0.224, 0.225], "units": "0-1"}
HALF = {"mean": [127.5], "scale": [127.5], "units": "0-255"}
FLOAT = {"op": "cast", "dtype": "float32"}
WAYS = {
    "float32": ([{"op": "normalize", **HALF}, FLOAT], "static float value(float x)"),
    "product and sum": ([{"op": "normalize", **IMAGENET}, FLOAT], "static double value("),
    "whole numbers": (
        [{"op": "normalize", **HALF}, {**QUANTIZE, "scale": 1 / 128, "zero_point": -1}],
        "static int32_t value(int32_t x)",
    ),
    "per channel": (
        [{"op": "normalize", **IMAGENET}, {**QUANTIZE, "scale": 0.0187, "zero_point": -14}],
        "static int32_t value(int32_t x, int32_t c)",
    ),
    "table": (
        [{"op": "normalize", **HALF}, {**QUANTIZE, "scale": 2 / 255, "zero_point": 0}],
        "value_table(",
    ),
}


@pytest.mark.parametrize("name", WAYS)
def test_each_byte_of_each_channel_becomes_what_the_stages_make_of_it(name, tmp_path):
    """All 256 bytes in one picture; how the C does it depends on what is exact."""
    need("c")
    stages, sign = WAYS[name]
    spec = PreprocessSpec("bytes", [DECODE, *stages, {"op": "layout", "to": "nchw"}])
    if stages[-1] is FLOAT:
        spec = PreprocessSpec("bytes", [DECODE, stages[0], {"op": "layout", "to": "nchw"}, FLOAT])
    assert sign in str(emit(spec, "c").files["preprocess.c"])
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)[..., None].repeat(3, -1)
    pixels = np.stack([pixels[..., 0], pixels[::-1, :, 0], pixels[:, ::-1, 0]], -1)
    assert build(spec, "c", tmp_path, [Frame.of("all", pixels)], flags=("-O3",))
    assert "at most 0 off" in check("c", tmp_path)


def test_whole_quotients_are_exact_in_float32():
    """Every sum that is next to a tie or a whole quotient, for every divisor that float32 is used for."""
    quotient = np.arange(256, dtype=np.int64)
    for below in range(1, 8193):
        ties = (2 * quotient + 1) * below  # twice the sum, at a tie
        totals = np.unique(np.concatenate([(ties + off) // 2 - below for off in (-2, -1, 0, 1, 2)]))
        totals = totals[(totals >= 0) & (totals <= 255 * below)]
        scale = np.float32(1) / np.float32(below)
        more = np.float32(below) * np.float32(0.5) + np.float32(0.25)
        got = ((totals.astype(np.float32) + more) * scale).astype(np.int64)
        assert np.array_equal(got, (2 * totals + below) // (2 * below)), below
    assert "if below <= 8192:" in inspect.getsource(bilinear.quotients)


@settings(max_examples=300, **RANDOM)
@given(
    st.lists(st.integers(-3000, 3000), min_size=4, max_size=4),
    st.integers(1, 40),
    st.integers(1, 40),
    st.booleans(),
)
def test_the_pixels_well_inside_are_a_run_and_every_pixel_is_made_once(numbers, w, h, lanes):
    """Whatever the map: `places` finds one run, outside of which `edge_pixels` works."""
    a, b, c, d = numbers
    spare, m = int(lanes), 16
    u = [round(a * x / 3000 * 1024 * 3) for x in range(m)]
    v = [round(b * x / 3000 * 1024 * 3) for x in range(m)]
    left, top = c * 20 + 1073741840, d * 20 + 1073741840
    place, across, down, ends = [0] * m, [0] * m, [0] * m, [0, 0]
    with mock.patch.multiple(warping, SPARE=spare, FAR=1 + spare):
        warping.places(left, top, 3, 3 * w, w, h, m, u, v, place, across, down, ends)
    inside = []
    for x in range(m):
        i, j = ((left + u[x]) >> 10) - 1048576, ((top + v[x]) >> 10) - 1048576
        inside.append(i >= spare and j >= 0 and i < w - 1 - spare and j < h - 1)
    first, last = ends
    assert 0 <= first <= last <= m
    assert [first <= x < last for x in range(m)] == inside


WHOLE_FACE = {**ALIGN, "estimator": "umeyama", "size": [112, 112], "border": [7]}


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_four_bytes_at_once_never_leave_the_frame(order, tmp_path):
    """A frame of just its bytes under the address sanitizer; the face fills it, so that every corner is read."""
    need("c")
    swap = [{"op": "color", "from": "rgb", "to": "bgr"}] if order == "bgr" else []
    spec = PreprocessSpec("corner", [*PIXELS, *swap, WHOLE_FACE])
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
    exact = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366]])
    exact = np.concatenate([exact, [[41.5493, 92.3655], [70.7299, 92.2041]]])
    made = [
        Frame.of(f"n{k}{turn}", pixels, orientation=turn, face={"landmarks": (exact + k).tolist()})
        for k in (-1, 0, 1)
        for turn in range(1, 9)
    ]
    flags = ("-O3", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    assert build(spec, "c", tmp_path, made, flags=flags)
    check("c", tmp_path)


def test_no_array_is_given_twice_to_a_function_that_writes_to_it():
    """What `restrict` promises."""
    import ast

    from spec_strategies import specs

    from facelab.core.errors import UnsupportedError
    from facelab.preprocess.emit.lowering import lower

    @settings(max_examples=30, **RANDOM)
    @given(specs())
    def run(spec):
        try:
            functions = lower(spec, "C", vectors=True).functions
        except UnsupportedError:
            return
        written = functions.mutated()
        for node in functions.done.values():
            for call in ast.walk(node):
                if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
                    continue
                names = [a.id if isinstance(a, ast.Name) else None for a in call.args]
                for place in written.get(call.func.id, ()):
                    assert names.count(names[place]) == 1, ast.unparse(call)

    run()


def test_strict_flags_accept_what_vectors_need(tmp_path):
    need("c")
    write(PreprocessSpec("corner", [*PIXELS, WHOLE_FACE]), "c", tmp_path)
    sh("gcc", *STRICT, "-O3", "-march=native", "-c", "preprocess.c", cwd=tmp_path)
