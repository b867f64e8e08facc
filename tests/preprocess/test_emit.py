"""Emitted programs, built and run: the same tensors as the reference, for presets and random specs."""

import functools
import importlib
import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from emitted import SANITIZED, STRICT, build, check, need, random_frames, sh
from hypothesis import HealthCheck, Phase, given, settings
from spec_strategies import specs

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.fingerprint.probes import frames_for
from facelab.preprocess import PreprocessSpec, presets
from facelab.preprocess.emit import EMITTERS, Frame, available, emit, write
from facelab.preprocess.emit._golden import golden

LANGUAGES = ("c", "go", "javascript", "python")
SOME = ("yunet-n-320", "arcface-r50", "facenet", "mini-xception-48px")
DECODE = {"op": "decode", "format": "encoded", "order": "rgb", "idct": "accurate", "alpha": "drop"}
ALL = {spec.hash: spec for spec in presets.catalogue_specs().values()}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", SOME)
def test_a_preset_gives_the_golden_tensors_of_the_probes(language, name, tmp_path):
    need(language)
    spec = presets.preset(name)
    assert build(spec, language, tmp_path, frames_for(spec))
    check(language, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("spec", ALL.values(), ids=lambda s: s.name)
def test_every_preset_of_the_catalogue_gives_the_golden_tensors(language, spec, tmp_path):
    need(language)
    assert build(spec, language, tmp_path, frames_for(spec), flags=("-O3", *SANITIZED))
    check(language, tmp_path)
    if language == "go":
        sh("go", "vet", "./...", cwd=tmp_path)


def proven(language, folder, spec, **how):
    """Build and check one random spec; specs that a language refuses by name count as done."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        fits = build(spec, language, folder, random_frames(spec), **how)
    except UnsupportedError as e:
        assert e.fix and "stage" in e.where
        return
    if fits:
        check(language, folder)


RANDOM = {
    "database": None,
    "deadline": None,
    "phases": [Phase.generate],
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
}


@pytest.mark.parametrize(("language", "count"), [("c", 6), ("javascript", 15), ("python", 6)])
def test_random_specs_give_the_golden_tensors(language, count, tmp_path):
    need(language)

    @settings(max_examples=count, **RANDOM)
    @given(specs())
    def run(spec):
        proven(language, tmp_path / "one", spec)

    run()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("language", "count"), [("c", 150), ("javascript", 300), ("python", 150), ("go", 60)]
)
def test_many_random_specs_give_the_golden_tensors(language, count, tmp_path):
    need(language)

    @settings(max_examples=count, **{**RANDOM, "derandomize": False})
    @given(specs())
    def run(spec):
        proven(language, tmp_path / "one", spec, flags=("-O2", *SANITIZED))

    run()


def test_the_c_files_are_cplusplus_too(tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler")
    write(presets.preset("arcface-r50"), "c", tmp_path)
    flags = ["-x", "c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    sh("g++", *flags, "-c", "preprocess.c", "-o", "x.o", cwd=tmp_path)


HOSTILE = (Path(__file__).parent / "hostile.c").read_text()
PIXELS = [DECODE, {"op": "orient", "exif": "apply", "transform": "none"}]
FACE_CROP = {
    "op": "crop",
    "region": "face",
    "margin": 0.2,
    "aspect": "square_longer",
    "box_rounding": "outward",
}
RESIZE = {
    "op": "resize",
    "size": [31, 17],
    "mode": "letterbox",
    "kernel": "lanczos",
    "lobes": 3,
    "edge": "renormalize",
    "antialias": True,
    "pixel_centers": "half",
    "rounding": "half_up",
    "size_rounding": "floor",
    "anchor": "center",
    "value": [0],
}
ALIGN = {
    "op": "align",
    "template": "arcface",
    "size": [16, 16],
    "estimator": "affine3",
    "kernel": "bilinear",
    "coordinates": "1/32",
    "border": [0],
    "rounding": "half_up",
}


@pytest.mark.parametrize(
    ("stages", "given"),
    [
        (
            [*PIXELS, {**FACE_CROP, "outside": "replicate"}, RESIZE],
            "in.orientation = (int32_t)face[0]; in.box = face;",
        ),
        (
            [*PIXELS, {**FACE_CROP, "outside": "clip"}, RESIZE],
            "in.orientation = 6; in.box = i % 9 ? face : NULL;",
        ),
        ([*PIXELS, ALIGN], "in.orientation = 1 + i % 8; in.landmarks = i % 9 ? face : NULL;"),
        (
            [*PIXELS, {**RESIZE, "mode": "cover", "anchor": None, "value": None}],
            "in.orientation = 1 + i % 8; (void)face;",
        ),
    ],
    ids=["crop", "clip", "align", "cover"],
)
def test_hostile_sizes_and_faces_give_an_error_code_and_nothing_undefined(stages, given, tmp_path):
    need("c")
    stages = [{k: v for k, v in s.items() if v is not None} for s in stages]
    write(PreprocessSpec("hostile", stages), "c", tmp_path)
    (tmp_path / "hostile.c").write_text(HOSTILE.replace("GIVEN", given))
    command = [
        "gcc",
        *STRICT,
        "-O1",
        *SANITIZED,
        "preprocess.c",
        "hostile.c",
        "-lm",
        "-o",
        "hostile",
    ]
    sh(*command, cwd=tmp_path)
    good, size, *others = map(int, sh("./hostile", cwd=tmp_path).split())
    assert good > 30 and size > 100 and good + size + sum(others) > 4500


def test_javascript_refuses_wrong_input_with_its_error(tmp_path):
    need("javascript")
    spec = PreprocessSpec(
        "one", [*PIXELS, {**FACE_CROP, "outside": "clip"}, {"op": "cast", "dtype": "float32"}]
    )
    write(spec, "javascript", tmp_path)
    (tmp_path / "wrong.mjs").write_text(
        "import { Preprocessor } from './preprocess.mjs';\n"
        "const p = new Preprocessor();\n"
        "const box = [1, 1, 5, 5];\n"
        "for (const [n, input] of [[12, { width: 2, height: 2 }], [11, { width: 2, height: 2, box }],\n"
        "    [0, { width: 0, height: 2, box }], [12, { width: NaN, height: 2, box }],\n"
        "    [12, { width: 2, height: 2, orientation: 9, box }], [300, { width: 10, height: 10, box: [5, 5, 5, 5] }],\n"
        "    [300, { width: 10, height: 10, box: [50, 50, 60, 60] }]]) {\n"
        "  try { p.run(new Uint8Array(n), input); console.log('none'); } catch (e) { console.log(e.code); }\n"
        "}\n"
    )
    assert sh("node", "wrong.mjs", cwd=tmp_path).split() == ["4", "2", "1", "1", "3", "4", "6"]


@pytest.mark.parametrize(
    ("stages", "given", "kinds"),
    [
        (
            [*PIXELS, {**FACE_CROP, "outside": "replicate"}, RESIZE],
            "Orientation: i % 10, Box: face",
            4,
        ),
        ([*PIXELS, ALIGN], "Orientation: i % 10, Landmarks: face", 3),
    ],
    ids=["crop", "align"],
)
def test_go_answers_hostile_sizes_and_faces_with_an_error_and_never_panics(
    stages, given, kinds, tmp_path
):
    need("go")
    write(PreprocessSpec("hostile", stages), "go", tmp_path)
    test = (Path(__file__).parent / "hostile_test.go").read_text()
    length = "10" if "Landmarks" in given else "4"
    words = {"GIVEN": given, "KINDS": str(kinds), "VALUE": "byte", "LENGTH": length}
    text = functools.reduce(lambda t, w: t.replace(*w), words.items(), test)
    (tmp_path / "hostile_test.go").write_text(text)
    sh("go", "vet", "./...", cwd=tmp_path)
    sh("go", "test", "-run", "Hostile", "./...", cwd=tmp_path)


def test_python_refuses_wrong_input_with_a_value_error(tmp_path):
    write(PreprocessSpec("hostile", [*PIXELS, ALIGN]), "python", tmp_path)
    preprocess = runpy.run_path(str(tmp_path / "preprocess.py"))["preprocess"]
    good = [[5, 5], [12, 5], [8, 9], [6, 12], [11, 12]]
    frame = bytes(20 * 16 * 3)
    preprocess(frame, width=20, height=16, landmarks=good)
    for data, options in (
        (frame, {"width": 0, "height": 16, "landmarks": good}),
        (frame, {"width": -20, "height": -16, "landmarks": good}),
        (frame, {"width": 20, "height": 17, "landmarks": good}),
        (frame[:-1], {"width": 20, "height": 16, "landmarks": good}),
        (b"", {"width": 20, "height": 16, "landmarks": good}),
        (frame, {"width": 20, "height": 16}),
        (frame, {"width": 20, "height": 16, "landmarks": good[:4]}),
        (frame, {"width": 20, "height": 16, "landmarks": [[5, 5]] * 5}),
        (frame, {"width": 20, "height": 16, "landmarks": [[float("nan"), 5], *good[1:]]}),
        (frame, {"width": 20, "height": 16, "landmarks": [[float("inf"), 5], *good[1:]]}),
        (frame, {"width": 20, "height": 16, "landmarks": good, "orientation": 9}),
    ):
        with pytest.raises(ValueError):
            preprocess(data, **options)


def test_image_data_becomes_a_frame_in_the_specs_order(tmp_path):
    need("javascript")
    decode = {**DECODE, "order": "bgr"}
    write(
        PreprocessSpec("bgr", [decode, {"op": "cast", "dtype": "float32"}]), "javascript", tmp_path
    )
    (tmp_path / "run.mjs").write_text(
        "import { fromImageData, Preprocessor } from './preprocess.mjs';\n"
        "const image = { width: 2, height: 1, data: [1, 2, 3, 255, 4, 5, 6, 0] };\n"
        "const { data, shape } = new Preprocessor().run(fromImageData(image), image);\n"
        "console.log(JSON.stringify([...data, ...shape]));\n"
    )
    assert sh("node", "run.mjs", cwd=tmp_path).strip() == "[3,2,1,6,5,4,1,2,3]"


@pytest.mark.parametrize("language", EMITTERS)
def test_each_emitter_is_one_module_with_one_entry(language):
    assert importlib.import_module(f"facelab.preprocess.emit.{language}").emit
    assert available()[language]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_file_states_hash_version_stages_and_how_to_verify(language, tmp_path):
    import facelab

    spec = presets.preset("arcface-r50")
    emitted = emit(spec, language)
    for name, text in emitted.files.items():
        if "check" in name or name == "go.mod" or "_test" in name:
            continue
        assert spec.hash in text and facelab.__version__ in text and "verify" in text.lower()
        places = [text.index(f" {s.op}:") for s in spec.stages]
        assert places == sorted(places)
    write(spec, language, tmp_path, frames=frames_for(spec))
    assert spec.hash in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("language", LANGUAGES)
def test_code_has_no_trace_of_what_a_spec_does_not_do(language):
    spec = PreprocessSpec("plain", [DECODE, {"op": "cast", "dtype": "float32"}])
    text = "".join(
        t for n, t in emit(spec, language).files.items() if "check" not in n and "_test" not in n
    )
    words = ("resize", "warp", "taps", "kernel", "orientation", "landmark", "lanczos")
    assert not [
        w for w in words if re.search(rf"\\b{w}", text.split("frame", 1)[1]) and w != "landmark"
    ]


@pytest.mark.parametrize("language", ["c", "go", "javascript"])
def test_half_floats_are_refused_by_name(language):
    spec = PreprocessSpec("half", [DECODE, {"op": "cast", "dtype": "float16"}])
    with pytest.raises(UnsupportedError, match="16-bit floats") as e:
        emit(spec, language)
    assert "stage 2 (cast)" in e.value.where and e.value.fix
    assert emit(spec, "python").files


@pytest.mark.parametrize("language", LANGUAGES[:3])
def test_a_border_that_a_byte_cannot_hold_is_refused(language):
    pad = {"op": "pad", "to": [99, 99], "anchor": "center", "border": "constant", "value": [0.5]}
    with pytest.raises(UnsupportedError, match="border value"):
        emit(PreprocessSpec("pad", [DECODE, pad]), language)


@pytest.mark.parametrize(
    ("to", "name"),
    [("cobol", "preprocess"), ("c", "1st"), ("c", "a b"), ("go", ""), ("c", "x" * 99)],
)
def test_an_unknown_language_or_a_bad_name_is_bad_input(to, name):
    with pytest.raises(BadInputError) as e:
        emit(PreprocessSpec("plain", [DECODE]), to, name=name)
    assert e.value.fix


def test_golden_tensors_are_the_references(tmp_path):
    spec = PreprocessSpec("plain", [DECODE, {"op": "layout", "to": "nchw"}])
    frame = Frame.of("one", np.arange(24, dtype=np.uint8).reshape(2, 4, 3))
    write(spec, "python", tmp_path, frames=[frame])
    raw = (tmp_path / "testdata" / "one.tensor").read_bytes()
    assert (
        raw
        == golden(spec, frame).tobytes()
        == np.arange(24, dtype=np.uint8).reshape(8, 3).T.tobytes()
    )


def test_a_changed_golden_tensor_fails_the_check(tmp_path):
    spec = PreprocessSpec("plain", [DECODE, {"op": "layout", "to": "nchw"}])
    frame = Frame.of("one", np.arange(24, dtype=np.uint8).reshape(2, 4, 3))
    for language in ("python", "javascript"):
        need(language)
        folder = tmp_path / language
        build(spec, language, folder, [frame])
        (folder / "testdata" / "one.tensor").write_bytes(bytes(24))
        command = {
            "python": [sys.executable, "preprocess_check.py"],
            "javascript": ["node", "preprocess.check.mjs"],
        }
        assert "DIFFERS" in sh(*command[language], cwd=folder, ok=(1,))
