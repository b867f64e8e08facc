"""`facelab preprocess`: stages on disk, JSON on stdout, one sentence for each mistake."""

import json

import numpy as np
import pytest
from PIL import Image

from facelab import cli
from facelab.preprocess import PreprocessSpec, apply, presets

IMAGE = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
STAGES = [
    {"op": "decode", "format": "encoded", "order": "rgb", "idct": "accurate", "alpha": "drop"},
    {"op": "color", "from": "rgb", "to": "gray", "weights": "bt601", "rounding": "half_up"},
    {
        "op": "resize",
        "size": [48, 48],
        "mode": "stretch",
        "kernel": "area",
        "antialias": True,
        "pixel_centers": "half",
        "rounding": "half_up",
    },
    {"op": "normalize", "mean": [127.5], "scale": [127.5], "units": "0-255"},
    {"op": "layout", "to": "nhwc"},
    {"op": "cast", "dtype": "float32"},
]


@pytest.fixture
def files(tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / "photo.png")
    PreprocessSpec("emotion", STAGES).save(tmp_path / "s.json")
    return tmp_path


def run(capsys, *args):
    code = cli.run([str(a) for a in args])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_run_writes_every_stage_and_the_tensor(files, capsys):
    code, out, err = run(
        capsys,
        "preprocess",
        "run",
        files / "s.json",
        files / "photo.png",
        "--stages",
        files / "d",
        "--out",
        files / "t.npy",
        "--json",
    )
    assert code == 0, err
    document = json.loads(out)
    names = [row["name"] for row in document["stages"]]
    assert names == ["01_decode", "02_color", "03_resize", "04_normalize", "05_layout", "06_cast"]
    tensor = np.load(files / "t.npy")
    assert np.array_equal(tensor, apply(PreprocessSpec.load(files / "s.json"), files / "photo.png"))
    assert (
        document["stages"][-1]["shape"] == [1, 48, 48, 1]
        and document["stages"][-1]["dtype"] == "float32"
    )
    made = {p.name for p in (files / "d").iterdir()}
    assert made == {f"{n}.{e}" for n in names for e in ("npy", "png")} | {"contact_sheet.png"}
    shown = np.asarray(Image.open(files / "d/03_resize.png"))
    assert np.array_equal(np.load(files / "d/03_resize.npy"), shown[..., :1])


def test_run_for_people_and_with_another_backend(files, capsys):
    code, out, _ = run(
        capsys, "preprocess", "run", files / "s.json", files / "photo.png", "--backend", "opencv"
    )
    assert code == 0 and "opencv backend" in out and "06_cast" in out and "1×48×48×1" in out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: [*a, "--backend", "opencvv"], "did you mean 'opencv'"),
        (lambda a: [*a, "--backend", "onnx"], "decode_with='pillow'"),
        (lambda a: [*a, "--face", "1,2,3"], "--face takes 4 numbers"),
        (lambda a: [*a, "--landmarks", "1,2,x"], "--landmarks takes 10 numbers"),
        (lambda a: [*a, "--out", "x.png"], ".npy"),
        (lambda a: [a[0], "missing.png"], "cannot be read"),
        (lambda a: ["missing.json", a[1]], "cannot be read"),
        (lambda a: ["arcfcae", a[1]], "did you mean 'arcface'"),
        (lambda a: ["arcface", a[1]], "no landmarks"),
    ],
)
def test_mistakes_end_in_one_sentence_and_exit_code_2(files, capsys, change, message):
    args = change([files / "s.json", files / "photo.png"])
    code, out, err = run(capsys, "preprocess", "run", *args)
    assert code == 2 and message in err and "Traceback" not in err and out == ""


def test_a_hostile_spec_file_is_refused(files, capsys):
    for text in ("{", "[" * 200, '{"a": NaN}', '{"schema": 1, "schema": 2}', "\0"):
        (files / "s.json").write_text(text)
        code, _, err = run(capsys, "preprocess", "run", files / "s.json", files / "photo.png")
        assert code == 2 and "Traceback" not in err


def test_show_and_preset(files, capsys):
    code, out, _ = run(capsys, "preprocess", "show", files / "s.json", "--json")
    assert code == 0 and json.loads(out)["output_shape"] == [1, 48, 48, 1]
    code, out, _ = run(capsys, "preprocess", "preset", "sface", "--out", files / "sface.json")
    assert (
        code == 0 and "112" in out and PreprocessSpec.load(files / "sface.json") == presets.sface()
    )
    code, out, _ = run(capsys, "preprocess", "preset", "--json")
    assert set(json.loads(out)["families"]) == set(presets.FAMILIES)


@pytest.mark.parametrize("verb", ["run", "show", "preset", "conformance"])
def test_help_has_an_example(capsys, verb):
    code, out, _ = run(capsys, "preprocess", verb, "--help")
    assert code == 0 and "Example: facelab preprocess " + verb in " ".join(out.split())


def test_a_specification_starts_from_a_preset(tmp_path, capsys):
    out = tmp_path / "own.json"
    assert (
        cli.run(["preprocess", "new", "--like", "arcface", "--out", str(out), "--name", "mine"])
        == 0
    )
    made = PreprocessSpec.load(out)
    assert made.name == "mine" and made == presets.preset("arcface")
    assert cli.run(["preprocess", "new", "--like", "arcfase", "--out", str(out)]) == 2
    assert "arcface" in capsys.readouterr().err


def test_emit_takes_a_bundle_a_model_file_and_a_preset(tmp_path, capsys):
    spec = PreprocessSpec("own", STAGES)
    spec.save(tmp_path / "m.preprocess.json")
    (tmp_path / "m.onnx").write_bytes(b"weights")
    (tmp_path / "bundle").mkdir()
    spec.save(tmp_path / "bundle" / "preprocess.json")
    for i, name in enumerate(("m.onnx", "m.preprocess.json", "bundle")):
        out = tmp_path / f"out{i}"
        command = ["preprocess", "emit", str(tmp_path / name), "--to", "c", "--out", str(out)]
        assert cli.run([*command, "--no-golden", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["spec_hash"] == spec.hash and "preprocess.c" in document["files"]
        assert not (out / "testdata").exists()


def test_emit_refuses_what_it_cannot_do(tmp_path, capsys):
    (tmp_path / "m.onnx").write_bytes(b"weights")
    bad = tmp_path / "bad.json"
    bad.write_text(
        json.dumps({"schema": "facelab.preprocess/1", "name": "x", "stages": [{"op": "warp"}]})
    )
    for spec, more, words in (
        (str(tmp_path / "m.onnx"), [], "beside the model"),
        (str(bad), [], "unknown op 'warp'"),
        ("arcface", ["--size", "1,2"], "takes no 'size'"),
        ("arcface", ["--name", "1st"], "the name cannot be"),
    ):
        command = ["preprocess", "emit", spec, "--to", "c", "--out", str(tmp_path / "out"), *more]
        assert cli.run(command) == 2
        error = capsys.readouterr().err
        assert words in error and "fix:" in error and "Traceback" not in error
        assert not (tmp_path / "out").exists()
