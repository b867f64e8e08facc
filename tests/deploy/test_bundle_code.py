"""A bundle with the preprocessing as code: whole, in the manifest, and proven by its own check."""

import shutil
import subprocess
import sys

import pytest
from conftest_deploy import spec, write_model

from facelab import cli
from facelab.core.errors import BadInputError, UnsupportedError
from facelab.deploy._bundle import make_bundle
from facelab.deploy._verify import verify


def test_a_bundle_carries_code_and_a_merged_graph(tmp_path, capsys):
    path = write_model(tmp_path / "small.onnx")
    spec().save(tmp_path / "small.preprocess.json")
    out = tmp_path / "bundle"
    command = ["bundle", str(path), "--out", str(out), "--emit", "c,python,onnx"]
    assert cli.run([*command, "--picture-size", "64,48"]) == 0
    assert verify(out).ok
    assert "Preprocessing as code" in (out / "README.md").read_text()
    assert (out / "code/c/preprocess.c").is_file()
    for language, more in (("python", []), ("onnx", [str(out / "model.onnx")])):
        check = [sys.executable, "preprocess_check.py", "testdata", *more]
        done = subprocess.run(check, cwd=out / "code" / language, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    (out / "code/c/preprocess.c").write_text("/* changed by hand */")
    assert not verify(out).ok


def test_the_readmes_five_commands_end_in_a_go_test_that_passes(tmp_path):
    if shutil.which("go") is None:
        pytest.skip("no Go tool chain (Debian: golang-go)")
    path = write_model(tmp_path / "small.onnx")
    bundle = make_bundle(path, tmp_path / "bundle", spec=_saved(tmp_path), emit=("go",))
    folder = bundle.folder / "code" / "go"
    for command in (["vet", "./..."], ["test", "./..."]):
        done = subprocess.run(["go", *command], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def _saved(folder):
    return spec().save(folder / "own.json")


def test_a_language_that_cannot_do_it_leaves_no_bundle(tmp_path):
    path = write_model(tmp_path / "small.onnx")
    for emit, error in ((("tflite",), UnsupportedError), (("onnx",), BadInputError)):
        size = (64, 48) if emit == ("tflite",) else None
        with pytest.raises(error):
            make_bundle(
                path, tmp_path / "bundle", spec=_saved(tmp_path), emit=emit, picture_size=size
            )
        assert not (tmp_path / "bundle").exists()


def test_unknown_languages_and_sizes_are_bad_input(tmp_path, capsys):
    path = write_model(tmp_path / "small.onnx")
    base = ["bundle", str(path), "--spec", str(_saved(tmp_path)), "--out", str(tmp_path / "b")]
    assert cli.run([*base, "--emit", "c,cobol"]) == 2
    assert cli.run([*base, "--emit", "onnx", "--picture-size", "64"]) == 2
    assert cli.run([*base, "--emit", "onnx", "--picture-size", "6.5,7"]) == 2
    assert "cobol" in capsys.readouterr().err
