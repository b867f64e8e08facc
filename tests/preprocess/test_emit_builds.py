"""Emitted code built or called wrongly: an error that is stated, never other numbers."""

import ast
import inspect
import shutil
import subprocess

import numpy as np
import pytest
from emitted import SANITIZED, STRICT, build, check, need, sh
from test_emit import DECODE, LANGUAGES, PIXELS

from facelab.core.errors import BadInputError
from facelab.fingerprint.probes import frames_for
from facelab.preprocess import PreprocessSpec, presets
from facelab.preprocess.emit import Frame, emit, write

FLOAT = {"op": "cast", "dtype": "float32"}
PLAIN = PreprocessSpec("plain", [DECODE, FLOAT])
PICTURE = Frame.of("one", np.arange(24, dtype=np.uint8).reshape(2, 4, 3))


@pytest.mark.parametrize(
    "command",
    [
        ["clang", "-O2", "-mfma", "-ffp-contract=fast"],
        ["clang", "-O2", "-funsafe-math-optimizations"],
        ["clang", "-O2", "-freciprocal-math"],
        ["clang", "-O2", "-ffinite-math-only"],
        ["gcc", "-O2", "-freciprocal-math"],
        ["gcc", "-O2", "-ffinite-math-only"],
    ],
    ids=lambda c: " ".join(c),
)
def test_flags_that_round_otherwise_are_refused_by_the_compiler_or_by_a_code(command, tmp_path):
    """Clang shows most of them in no macro: the program finds out by itself."""
    if shutil.which(command[0]) is None:
        pytest.skip("no such compiler")
    if "x86" not in subprocess.run(["uname", "-m"], capture_output=True, text=True).stdout:
        pytest.skip("flags of another processor")
    write(PLAIN, "c", tmp_path, frames=[PICTURE])
    source = ["preprocess.c", "preprocess_check.c", "-lm", "-o", "check"]
    built = subprocess.run([*command, *source], cwd=tmp_path, capture_output=True, text=True)
    if built.returncode != 0:
        assert "math" in built.stderr and "error" in built.stderr
        return
    assert "numbers are rounded otherwise" in sh("./check", "testdata", cwd=tmp_path, ok=(1,))


MEMORY = """#include "preprocess.h"
#include <fenv.h>
#include <stdio.h>
#include <string.h>
static union { double align; uint8_t bytes[4096]; } memory;
int main(void) {
    preprocess_input in;
    uint8_t frame[24] = {0};
    float tensor[24];
    size_t bytes = 0;
    memset(&in, 0, sizeof in);
    in.width = 4; in.height = 2;
    preprocess_measure(&in, &bytes, NULL, NULL);
    uint8_t *m = memory.bytes;
    printf("%d ", preprocess_run(&in, frame, 24, m, bytes, tensor, 24));
    printf("%d ", preprocess_run(&in, frame, 24, m + 1, bytes + 7, tensor, 24));
    printf("%d ", preprocess_run(&in, m + bytes, 24, m, bytes, tensor, 24));
    printf("%d ", preprocess_run(&in, m + bytes - 1, 24, m, bytes, tensor, 24));
    printf("%d ", preprocess_run(&in, m + 2020, 24, m, bytes, (float *)(void *)(m + 2000), 24));
    printf("%d ", preprocess_run(&in, frame, 24, m, bytes, (float *)(void *)m, 24));
    printf("%d ", preprocess_run(&in, frame, 24, m, bytes, (float *)(void *)(m + 2001), 24));
    if (fesetround(FE_UPWARD) == 0) printf("%d ", preprocess_measure(&in, &bytes, NULL, NULL));
    if (fesetround(FE_TOWARDZERO) == 0) printf("%d ", preprocess_measure(&in, &bytes, NULL, NULL));
    return 0;
}
"""


def test_memory_that_is_shared_or_not_aligned_and_rounding_modes_have_codes(tmp_path):
    """`restrict` and the tensor's type would make them undefined."""
    need("c")
    write(PLAIN, "c", tmp_path)
    (tmp_path / "memory.c").write_text(MEMORY)
    flags = [*STRICT, "-O1", *SANITIZED, "-fsanitize=alignment"]
    sh("gcc", *flags, "preprocess.c", "memory.c", "-lm", "-o", "memory", cwd=tmp_path)
    assert sh("./memory", cwd=tmp_path).split() == ["0", "0", "0", "9", "9", "9", "8", "10", "10"]


@pytest.mark.parametrize("language", ["c", "go", "javascript", "python"])
def test_a_golden_tensor_that_is_not_a_number_fails_the_check(language, tmp_path):
    """A comparison with a NaN is never true: two checks said `same`."""
    need(language)
    build(PLAIN, language, tmp_path, [PICTURE])
    path = tmp_path / "testdata" / "one.tensor"
    tensor = np.frombuffer(path.read_bytes(), "<f4").copy()
    tensor[3] = np.nan
    path.write_bytes(tensor.tobytes())
    with pytest.raises(AssertionError, match=r"DIFFERS|off over a range"):
        check(language, tmp_path)


FAR = {"op": "resize", "mode": "stretch", "kernel": "bilinear", "antialias": False}
CASES = [
    (order, centers, size)
    for order in ("rgb", "bgr", "gray")
    for centers in ("half", "legacy", "corner")
    for size in ((7, 2), (1, 1), (8, 3))
]
SOME = CASES[0], CASES[12], CASES[26]
MORE = [pytest.param(*c, marks=pytest.mark.slow) for c in CASES if c not in SOME]


@pytest.mark.parametrize(("order", "centers", "size"), [*SOME, *MORE])
def test_rows_far_wider_than_the_output_are_read_in_places(order, centers, size, tmp_path):
    """Ratios 4 to 9, even and odd, in every orientation, each frame in memory that ends with it."""
    need("c")
    rng = np.random.default_rng(5)
    w, h = size
    first = {**DECODE, "order": "gray"} if order == "gray" else DECODE
    swap = [{"op": "color", "from": "rgb", "to": "bgr"}] if order == "bgr" else []
    resize = {**FAR, "size": [w, h], "pixel_centers": centers, "rounding": "half_even"}
    layout = {"op": "layout", "to": "nchw" if w == 7 else "nhwc"}
    spec = PreprocessSpec("far", [first, PIXELS[1], *swap, resize, layout, FLOAT])
    frames = []
    for turn in range(1, 9):
        for ratio in (4, 6, 9):
            sides = (w * ratio + (ratio > 6), h * ratio)
            sides = sides if turn > 4 else sides[::-1]
            pixels = rng.integers(0, 256, (*sides, 1 if order == "gray" else 3))
            name = f"r{ratio}t{turn}"
            frames.append(Frame.of(name, pixels.astype(np.uint8), orientation=turn))
    assert build(spec, "c", tmp_path, frames, flags=("-O1", *SANITIZED))
    assert check("c", tmp_path).count("at most 0 off") == 24


@pytest.mark.parametrize("language", [*LANGUAGES, "onnx"])
def test_every_text_that_is_written_names_the_specification_and_the_version(language, tmp_path):
    import facelab

    spec = presets.preset("yunet-n-320")
    size = {"size": (64, 48)} if language == "onnx" else {}
    paths = write(spec, language, tmp_path, frames=list(frames_for(spec))[:1], **size)
    texts = [p for p in paths if p.parent.name != "testdata"]
    assert len(texts) >= 3
    for path in texts:
        data = path.read_bytes()
        assert spec.hash.encode() in data and facelab.__version__.encode() in data, path.name


def test_a_tflite_file_names_the_specification_and_drops_what_is_said_of_the_old_input(tmp_path):
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    import flatbuffers

    layout = [{"op": "layout", "to": "nhwc"}]
    spec = PreprocessSpec("two", [DECODE, *layout, FLOAT])
    inner = emit(spec, "tflite", size=(4, 2)).files["preprocess.tflite"]
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(inner, 0))
    names = {m.name: bytes(model.buffers[m.buffer].data) for m in model.metadata}
    assert spec.hash.encode() in names[b"facelab.preprocess"]

    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].shape = [1, 2, 4, 3]
    model.metadata[0].name = "TFLITE_METADATA"
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "net.tflite").write_bytes(bytes(builder.Output()))
    before = PreprocessSpec("pixels", [DECODE, *layout])
    files = emit(before, "tflite", size=(4, 2), merge=tmp_path / "net.tflite").files
    merged = schema.ModelT.InitFromObj(schema.Model.GetRootAs(files["preprocess_merged.tflite"], 0))
    assert [m.name for m in merged.metadata] == [b"facelab.preprocess"]


@pytest.mark.parametrize("name", ["func", "main", "import", "numpy", "class"])
def test_a_name_that_some_language_reserves_is_refused(name):
    with pytest.raises(BadInputError, match="name cannot be"):
        emit(PLAIN, "go", name=name)


@pytest.mark.parametrize("name", ["NAME", "UPPER", "PLAN", "ORIGIN"])
def test_a_name_that_a_template_uses_is_only_a_name(name, tmp_path):
    need("c")
    write(PLAIN, "c", tmp_path, name=name, frames=[PICTURE])
    sh("gcc", *STRICT, f"{name}.c", f"{name}_check.c", "-lm", "-o", "check", cwd=tmp_path)
    assert "same" in check("c", tmp_path)


@pytest.mark.parametrize("name", sorted({s.name: s for s in presets.catalogue_specs().values()}))
def test_emitted_python_has_no_function_or_map_that_nothing_uses(name):
    spec = {s.name: s for s in presets.catalogue_specs().values()}[name]
    tree = ast.parse(str(emit(spec, "python").files["preprocess.py"]))
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    made = [n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    assert set(made) - used == {"preprocess"}
    text = ast.unparse(next(n for n in tree.body if getattr(n, "name", "") == "preprocess"))
    last = text.rfind("matrix = ")
    assert last == -1 or "matrix)" in text[last + 8 :]


@pytest.mark.parametrize("language", LANGUAGES)
def test_numbers_per_channel_behind_a_layout_are_those_of_the_channels(language, tmp_path):
    """A picture three pixels wide: numpy would have put them along its columns without a word."""
    need(language)
    numbers = {"mean": [1.0, 20.0, 300.0], "scale": [2.0, 4.0, 8.0], "units": "0-255"}
    late = [{"op": "layout", "to": "nchw"}, {"op": "normalize", **numbers}, FLOAT]
    pixels = np.arange(45, dtype=np.uint8).reshape(5, 3, 3)
    build(PreprocessSpec("late", [DECODE, *late]), language, tmp_path, [Frame.of("one", pixels)])
    check(language, tmp_path)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_a_resize_with_corner_centres_is_written_in_every_language(language, layout, tmp_path):
    """It ended in a traceback: an expression that no printer wrote."""
    resize = {**FAR, "size": [5, 4], "pixel_centers": "corner", "rounding": "half_up"}
    assert emit(PreprocessSpec("c", [DECODE, resize, {"op": "layout", "to": layout}]), language)


def test_javascript_refuses_other_arrays_and_shared_memory(tmp_path):
    need("javascript")
    write(PLAIN, "javascript", tmp_path)
    script = inspect.cleandoc("""
        import { fromImageData, Preprocessor } from './preprocess.mjs';
        const p = new Preprocessor();
        const input = { width: 4, height: 2 };
        const shared = new ArrayBuffer(200);
        const bytes = new Uint8Array(shared, 0, 24);
        for (const run of [
          () => p.run(undefined, input), () => p.run(new Float32Array(24), input),
          () => p.run(Array(24).fill(0), input), () => p.run(bytes, undefined),
          () => p.run(bytes, input, new Float64Array(24)), () => p.run(bytes, input, new Float32Array(23)),
          () => p.run(bytes, input, new Float32Array(shared, 20, 24)),
          () => p.run(bytes, input, new Float32Array(shared, 24, 24)),
          () => fromImageData({ width: 4, height: 2, data: new Uint8ClampedArray(24) }),
          () => p.run(new Uint8ClampedArray(24), input),
        ]) {
          try { run(); console.log(0); } catch (e) { console.log(e.code); }
        }
    """)
    (tmp_path / "wrong.mjs").write_text(script)
    assert sh("node", "wrong.mjs", cwd=tmp_path).split() == [
        "2",
        "2",
        "2",
        "1",
        "8",
        "8",
        "8",
        "0",
        "2",
        "0",
    ]
