"""`facelab quantize` as a user calls it: what it writes, and what it refuses."""

import json
import shutil

import numpy as np
import pytest

from facelab.cli import run
from facelab.preprocess import PreprocessSpec


def quantize(capsys, model, recipe, cal, held, out, *more):
    """Call `facelab quantize` without timing; return its exit code and both streams."""
    folders = "--calibration", cal, "--evaluate", held, "--out", out
    return call(capsys, model, "--recipe", recipe, *folders, "--no-latency", *more)


def call(capsys, *args):
    code = run(["quantize", *map(str, args)])
    done = capsys.readouterr()
    return code, done.out, done.err


def test_one_json_document_and_everything_that_travels_with_the_model(
    trained, write_folder, tmp_path, capsys
):
    code, out, _ = quantize(
        capsys,
        trained / "emotion_fp32.tflite",
        "int8",
        write_folder("cal", 45, 21),
        write_folder("eval", 60, 22),
        tmp_path / "out",
        "--json",
        "--max-ece",
        5,
        "--min-agreement",
        0.9,
        "--min-accuracy",
        0.9,
        "--worst-class",
        -20,
        "--max-size",
        0.6,
    )
    report = json.loads(out)
    assert code == 0 and report["passed"] and report["verdicts"]["edge-int8"]["passed"]
    assert [r["variant"] for r in report["rows"]] == ["float32", "edge-int8"]
    assert (
        set(report["written"])
        == {p.name for p in (tmp_path / "out").iterdir()}
        == {
            "emotion_fp32-edge-int8.tflite",
            "emotion_fp32-edge-int8.preprocess.json",
            "labels.txt",
            "calibration.json",
            "quantization.json",
        }
    )
    manifest = json.loads((tmp_path / "out" / "calibration.json").read_text())
    float_spec = PreprocessSpec.load(trained / "emotion_fp32.preprocess.json")
    assert (
        manifest["count"] == 45 == len(manifest["images"])
        and manifest["spec_hash"] == float_spec.hash
    )
    assert manifest["classes"] == {"anger": 15, "joy": 15, "neutral": 15} and manifest["seed"] == 7
    stage = PreprocessSpec.load(tmp_path / "out" / "emotion_fp32-edge-int8.preprocess.json").find(
        "quantize"
    )
    row = report["rows"][1]["input"]
    assert (stage.scale, stage.zero_point) == (pytest.approx(row["scale"]), row["zero_point"])


def test_a_missed_budget_is_exit_code_1_and_still_reported(trained, write_folder, tmp_path, capsys):
    code, out, _ = quantize(
        capsys,
        trained / "emotion_fp32.tflite",
        "float16",
        write_folder("cal", 30, 21),
        write_folder("eval", 30, 22),
        tmp_path / "out",
        "--json",
    )
    report = json.loads(out)
    assert code == 1 and report["verdicts"]["edge-float16"]["failed"] == ["size"]


@pytest.mark.parametrize(
    "case",
    [
        "too few",
        "overlap",
        "unknown recipe",
        "other format",
        "unknown operator",
        "no model",
        "not a model",
        "wrong spec",
        "no spec",
        "quantised already",
        "class missing",
    ],
)
def test_bad_input_is_refused_by_name_and_nothing_is_written(
    case, trained, write_folder, tmp_path, capsys
):
    model = tmp_path / "m" / "emotion_fp32.tflite"
    shutil.copytree(trained, model.parent)
    cal, held, extra = write_folder("cal", 30, 21), write_folder("eval", 30, 22), []
    recipe, expected = "int8", None
    if case == "too few":
        cal, expected = write_folder("few", 9, 23), "too few calibration images"
    elif case == "overlap":
        shutil.copy(next((cal / "joy").iterdir()), held / "joy" / "copy.png")
        expected = "the calibration set overlaps the evaluation set"
    elif case == "unknown recipe":
        recipe, expected = "int7", "did you mean 'int8'"
    elif case == "other format":
        recipe, expected = "u8s8", "for another model format"
    elif case == "unknown operator":
        extra, expected = ["--keep-float", "CONV_3D"], "did you mean 'CONV_2D'"
    elif case == "no model":
        model, expected = tmp_path / "none.tflite", "does not exist"
    elif case == "not a model":
        model.write_text("<!DOCTYPE html><html>404</html>")
        expected = "a web page (HTML), not a model"
    elif case == "wrong spec":
        spec = PreprocessSpec.load(model.with_suffix(".preprocess.json"))
        place = [s.op for s in spec.stages].index("resize")
        spec.replace(place, size=[48, 48]).save(tmp_path / "other.json")
        extra, expected = ["--spec", tmp_path / "other.json"], "does not fit the model's input"
    elif case == "no spec":
        model.with_suffix(".preprocess.json").unlink()
        expected = "preprocessing is unknown"
    elif case == "quantised already":
        quantize(
            capsys,
            model,
            "int8",
            cal,
            held,
            tmp_path / "m",
        )
        model, expected = tmp_path / "m" / "emotion_fp32-edge-int8.tflite", "quantised already"
    else:
        shutil.rmtree(cal / "joy")
        expected = "the calibration set lacks a class"
    code, out, err = call(
        capsys,
        model,
        "--recipe",
        recipe,
        "--calibration",
        cal,
        "--evaluate",
        held,
        "--out",
        tmp_path / "out",
        *extra,
    )
    assert code == 2 and expected in err, err
    assert "Traceback" not in err and out == "" and not (tmp_path / "out").exists()


def test_an_evaluation_may_lack_a_class(trained, write_folder, tmp_path, capsys):
    held = write_folder("eval", 60, 22)
    shutil.rmtree(held / "joy")
    code, out, err = quantize(
        capsys,
        trained / "emotion_fp32.tflite",
        "int8",
        write_folder("cal", 45, 21),
        held,
        tmp_path / "out",
        "--json",
    )
    row = json.loads(out)["rows"][1]
    assert code in (0, 1), err
    assert row["n"] == 40 and row["per_class"]["joy"] == {"recall": None, "change": None}


def test_an_operator_that_stays_in_float_is_named_and_nothing_is_written(
    trained, write_folder, tmp_path, capsys
):
    folder = shutil.copytree(trained, tmp_path / "wave")
    for other in ("emotion_fp32.tflite", "emotion.keras"):
        (folder / other).unlink()
    (folder / "emotion_fp32.preprocess.json").rename(folder / "wave.preprocess.json")
    call_it = [
        folder / "wave.tflite",
        "--recipe",
        "int8",
        "--calibration",
        write_folder("cal", 30, 21),
        "--evaluate",
        write_folder("eval", 30, 22),
        "--no-latency",
        "--out",
        tmp_path / "out",
    ]
    code, out, err = call(capsys, *call_it)
    assert code == 2 and "not full integer" in err and "SIN" in err and out == ""
    assert not (tmp_path / "out").exists()
    code, out, _ = call(capsys, *call_it, "--keep-float", "SIN", "--json")  # on purpose it may
    assert code in (0, 1) and json.loads(out)["rows"][1]["operators"]["SIN"] == {"float32": 1}


def test_calibration_is_stratified_seeded_and_halves_are_disjoint(pool):
    from facelab.quantization.calibration import halves, stratified

    chosen = stratified(pool, 30, seed=4)
    assert (
        np.bincount(chosen.labels).tolist() == [10, 10, 10]
        and chosen.hashes == stratified(pool, 30, seed=4).hashes
    )
    assert chosen.hashes != stratified(pool, 30, seed=5).hashes
    a, b = halves(pool, seed=0)
    assert len(a) == len(b) == 45 and not set(a.hashes) & set(b.hashes)
    assert np.abs(np.bincount(a.labels) - np.bincount(b.labels)).max() <= 1
