"""Trained on synthetic strokes, right on hearts and near misses that people drew; through C and through LiteRT."""

import json

import numpy as np
import pytest

from facelab import doodle
from facelab.cli import run
from facelab.core.errors import BadInputError, UnsupportedError
from facelab.datasets.doodles import Pen, draw, random_pen, read_strokes, synthetic, write_drawings
from facelab.doodle.internals import DoodleClassifier
from facelab.zoo.runtimes import open_model


@pytest.fixture(scope="module")
def people(assets):
    """Hearts and spades that people drew, as strokes."""
    folder = assets / "labelled" / "doodles"
    if not folder.is_dir():
        pytest.skip("the mirror has no drawings")
    return {
        name: [s for s, _ in read_strokes(folder / f"{name}.jsonl")]
        for name in ("hearts", "spades")
    }


def shares(classifier, people, pens) -> tuple[float, float]:
    right = []
    for name in ("hearts", "spades"):
        inks = np.stack([doodle.ink(draw(s, pen)) for s, pen in zip(people[name], pens(name))])
        heart = classifier.probabilities(inks)[:, 0] >= 0.5
        right.append(float((heart if name == "hearts" else ~heart).mean()))
    return right[0], right[1]


def test_hearts_drawn_by_people_are_found_and_near_misses_are_not(trained, people):
    classifier = doodle.load(trained.folder)
    assert classifier.model.runtime == "tflite_c" and classifier.model.inputs[0].dtype == "int8"
    hearts, others = shares(classifier, people, lambda _: [Pen()] * 50)
    assert hearts >= 0.95 and others >= 0.93


def test_the_same_holds_for_any_sheet_pen_and_polarity(trained, people):
    classifier = doodle.load(trained.folder)
    rng = np.random.default_rng(3)
    hearts, others = shares(classifier, people, lambda _: [random_pen(rng) for _ in range(50)])
    assert hearts >= 0.92 and others >= 0.90


def turned(people, degrees):
    """Return the drawings as a sheet or a camera that is held askew shows them."""
    turn = np.radians(degrees)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return {k: [[s @ matrix.T for s in strokes] for strokes in v] for k, v in people.items()}


@pytest.mark.parametrize("degrees", [-15, 15])
def test_a_sheet_that_lies_askew_changes_little(trained, people, degrees):
    classifier = doodle.load(trained.folder)
    hearts, others = shares(classifier, turned(people, degrees), lambda _: [Pen()] * 50)
    assert hearts >= 0.92 and others >= 0.9


@pytest.mark.slow
def test_hearts_are_found_on_sheets_turned_by_30_degrees(tmp_path, people):
    """By the default training; 76 to 82 % of the hearts were found before drawings that lie askew were trained on."""
    doodle.train(tmp_path)
    classifier = doodle.load(tmp_path)
    for degrees in (-30, 0, 30):
        hearts, others = shares(classifier, turned(people, degrees), lambda _: [Pen()] * 50)
        assert hearts >= 0.92 and others >= 0.93, degrees


def test_the_c_library_and_litert_agree_to_the_bit(trained):
    ours = doodle.load(trained.folder)
    theirs = doodle.load(trained.folder, runtime="litert")
    inks = np.stack([doodle.ink(p) for p, _, _ in synthetic(60, seed=8)])
    assert np.array_equal(ours.probabilities(inks), theirs.probabilities(inks))


def test_int8_answers_as_float_does(trained):
    small = doodle.load(trained.folder)
    model = open_model(trained.folder / "doodle_fp32.tflite", threads=1)
    full = DoodleClassifier(model)
    inks = np.stack([doodle.ink(p) for p, _, _ in synthetic(200, seed=9)])
    a, b = small.probabilities(inks)[:, 0], full.probabilities(inks)[:, 0]
    assert ((a >= 0.5) == (b >= 0.5)).mean() >= 0.985 and np.abs(a - b).mean() < 0.02


def test_scale_and_zero_point_are_the_models_own_and_not_the_source_texts(trained):
    classifier = doodle.load(trained.folder)
    stage = classifier.spec.find("quantize")
    assert stage.scale == pytest.approx(2 / 255, rel=1e-3) and stage.zero_point in (-1, 0)
    assert stage.scale == pytest.approx(classifier.model.quantization["serving_default_ink:0"][0])


def test_an_evaluation_counts_per_class_and_names_what_is_wrong(trained, tmp_path):
    write_drawings(tmp_path, synthetic(40, seed=3))
    empty = np.full((40, 40, 3), 255, np.uint8)
    import cv2

    cv2.imwrite(str(tmp_path / "other" / "empty.png"), empty)
    cv2.imwrite(str(tmp_path / "heart" / "empty.png"), empty)
    (tmp_path / "other" / ".hidden.png").write_bytes(b"no picture")
    data = doodle.read_folder(tmp_path)
    assert len(data) == 42 and data.blank.sum() == 2
    found = doodle.evaluate(doodle.load(trained.folder), data)
    rows = {r["class"]: r for r in found.rows()}
    assert rows["heart"]["n"] + rows["other"]["n"] == 42
    assert ("empty.png", "heart") in [(n.rpartition("/")[2], c) for n, c, _ in found.wrong()]
    assert found.to_dict()["blank"] == 2
    assert found.share("heart") == rows["heart"]["right"] / rows["heart"]["n"]


def test_strokes_in_files_count_as_drawings(trained, people, assets, tmp_path):
    for name, label in (("hearts", "heart"), ("spades", "other")):
        (tmp_path / label).mkdir()
        source = assets / "labelled" / "doodles" / f"{name}.jsonl"
        (tmp_path / label / f"{name}.jsonl").write_bytes(source.read_bytes())
    found = doodle.evaluate(doodle.load(trained.folder), doodle.read_folder(tmp_path))
    assert len(found.data) == 100 and found.share("heart") >= 0.95 and found.share("other") >= 0.93


def test_commands_draw_predict_and_evaluate(trained, tmp_path, capsys):
    drawings = tmp_path / "drawings"
    assert run(["doodle", "draw", str(drawings), "--n", "30", "--seed", "5"]) == 0
    model = ["--model", str(trained.folder), "--json"]
    capsys.readouterr()
    assert run(["doodle", "evaluate", str(drawings), *model]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["runtime"] == "tflite_c" and value["n"] == 30
    assert run(["doodle", "predict", str(drawings / "heart"), *model]) == 0
    rows = json.loads(capsys.readouterr().out)["drawings"]
    assert {r["answer"] for r in rows} <= {"heart", "other"} and len(rows) > 5
    least = ["--min-heart", "1", "--min-other", "1", "--threshold", "0.999"]
    assert run(["doodle", "evaluate", str(drawings), "--model", str(trained.folder), *least]) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["evaluate", "{tmp}/none"], "no drawings by class"),
        (["evaluate", "{tmp}/empty"], "no drawings by class"),
        (["evaluate", "{tmp}/bad"], "not an image that can be decoded"),
        (["predict", "{tmp}/none.png"], "does not exist"),
        (["predict", "{tmp}/empty"], "no drawing"),
        (["predict", "{tmp}/bad", "--model", "{tmp}/none"], "no classifier of drawings"),
        (["train", "{tmp}/empty"], "no drawings by class"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, says, trained, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad" / "heart").mkdir(parents=True)
    (tmp_path / "bad" / "heart" / "h.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    words = [a.format(tmp=tmp_path) for a in arguments]
    if "--model" not in words and words[0] != "train":
        words += ["--model", str(trained.folder)]
    assert run(["doodle", *words]) == 2
    assert says in capsys.readouterr().err


def test_foreign_models_and_settings_are_refused(trained, assets, tmp_path):
    with pytest.raises(BadInputError, match="not a classifier of drawings"):
        doodle.load(assets / "models" / "detectors" / "mtcnn_rnet.tflite")
    with pytest.raises(UnsupportedError, match="runtime"):
        doodle.load(trained.folder, runtime="onnx")
    for wrong in ({"n": 10}, {"epochs": 0}, {"learning_rate": 0.0}, {"hearts": 1.0}):
        with pytest.raises(BadInputError, match="settings"):
            doodle.Settings(**wrong)


def test_training_leaves_a_record_and_nothing_else(trained):
    names = {p.name for p in trained.folder.iterdir()}
    assert names == {
        "doodle_fp32.tflite",
        "doodle_fp32.preprocess.json",
        "doodle_int8.tflite",
        "doodle_int8.preprocess.json",
        "training.json",
    }
    record = json.loads((trained.folder / "training.json").read_text())
    assert record["settings"]["n"] == 1500 and record["history"]["val_accuracy"][-1] > 0.9
    assert trained.bytes < 30_000 and trained.parameters < 20_000


@pytest.mark.slow
def test_own_drawings_are_learnt_too(tmp_path):
    """A shape that the synthetic ones call other is a heart to who trains with it."""
    (tmp_path / "own" / "heart").mkdir(parents=True)
    import cv2

    square = [np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0.0)])]
    rng = np.random.default_rng(0)
    for k in range(12):
        cv2.imwrite(
            str(tmp_path / "own" / "heart" / f"{k}.png"), draw(square, random_pen(rng), seed=k)
        )
    settings = doodle.Settings(n=800, epochs=6)
    own = doodle.read_folder(tmp_path / "own")
    done = doodle.train(tmp_path / "out", settings, own=own)
    assert doodle.load(done.folder).heart(draw(square)) > 0.5
