"""A variant is judged by its task: boxes, pairs, labels; of an unknown kind only the cosine is known."""

import dataclasses
import shutil

import numpy as np
import onnx
import pytest

from facelab.detection import evaluate, load
from facelab.preprocess import PreprocessSpec
from facelab.quantization import _subject as subject
from facelab.quantization._budgets import ONLY_COSINE, Budgets, judge, shortfall
from facelab.quantization._session import Session
from facelab.quantization._tasks import FloatEnds, Marked, paired
from facelab.quantization.calibration import Samples
from facelab.quantization.images import read
from facelab.quantization.measure import quality
from facelab.quantization.recipes import RECIPES

NEAR = {"size_ratio": 0.27, "cosine": {"mean": 0.9965}, "agreement": None}


@pytest.fixture
def own_yunet(assets, tmp_path):
    """The public file with another producer's name: other bytes, so that no hash knows it; its own spec beside it."""
    source = assets / "models" / "detectors" / "yunet_n_320_320.onnx"
    model = onnx.load(source)
    model.producer_name = "mine"
    path = tmp_path / "mine.onnx"
    onnx.save(model, path)
    load(source, threads=1).spec.save(tmp_path / "mine.preprocess.json")
    return path


def test_a_detector_is_recognised_by_its_outputs(own_yunet):
    it = subject.load(own_yunet)
    assert (it.task, it.family, it.entry) == ("detector", "yunet", None)
    assert "detector of the family yunet (by its outputs)" in it.recognised


def test_lost_boxes_are_not_a_good_variant_whatever_the_cosine_says():
    """SCRFD kept a cosine of 0.9965 and lost half of its faces."""
    row = NEAR | {"agreement": {"value": 0.71}, "boxes": {"recall": 0.55, "float": 427}}
    verdict = judge(row, Budgets())
    assert not verdict["passed"] and set(verdict["failed"]) == {"agreement", "recall"}
    assert shortfall(verdict) > 0


def test_a_detector_that_finds_no_face_has_nothing_to_be_judged_by():
    row = NEAR | {"agreement": {"value": 1.0}, "boxes": {"recall": 1.0, "float": 0}}
    assert judge(row, Budgets())["failed"] == ["faces"]


def test_an_unknown_kind_is_not_good_by_its_cosine():
    row = NEAR | {"unknown_kind": True}
    assert judge(row, Budgets())["failed"] == [ONLY_COSINE]
    assert judge(row, Budgets(cosine_suffices=True))["passed"]
    assert judge(NEAR, Budgets())["passed"]  # an embedder's cosine is that of its embeddings


@pytest.mark.parametrize("name", ["ap", "counts", "tar"])
def test_figures_at_the_task_decide(name):
    row = NEAR | {f"{name}_ratio": 0.9}
    assert judge(row, Budgets())["failed"] == [name]
    assert judge(row | {f"{name}_ratio": 0.99}, Budgets())["passed"]


def test_a_classifier_without_labels_is_judged_by_agreement(tmp_path):
    spec = PreprocessSpec(
        "plain",
        [
            {"op": "decode", "format": "gray8", "order": "gray", "size": (4, 4)},
            {"op": "layout", "to": "hw"},
        ],
    )
    samples = Samples(np.zeros((4, 4, 4), np.float32), tuple("abcd"), tuple("abcd"), spec, "here")
    base = np.eye(4, 3, dtype=np.float32)
    got = base.copy()
    got[0] = [0, 1, 0]
    row = quality(samples, base, got, classifier=True) | {"size_ratio": 0.25}
    assert row["accuracy"] is None and row["agreement"]["value"] == 0.75
    assert judge(row, Budgets())["failed"] == ["agreement"]


@pytest.fixture(scope="module")
def quantised(assets, tmp_path_factory):
    """A user's detector quantised twice: as it is, and with weights that lose most of its faces."""
    folder = tmp_path_factory.mktemp("own")
    source = assets / "models" / "detectors" / "yunet_n_320_320.onnx"
    shutil.copy(source, folder / "mine.onnx")
    with (folder / "mine.onnx").open("ab"):
        pass
    load(source, threads=1).spec.save(folder / "mine.preprocess.json")
    it = dataclasses.replace(subject.load(folder / "mine.onnx"), entry=None)
    calibrate = read(it, str(assets / "labelled" / "identity"), most=20)
    images, labels = assets / "labelled", str(assets / "labelled" / "detection.csv")
    photographs = read(it, str(assets / "labelled" / "detection"), most=6)
    marked = Marked(load(it.file, spec=it.spec, threads=1), str(images), labels)
    with Session(it, calibrate, photographs, at_task=marked) as session:
        good = session.add("u8s8", session.make(RECIPES["u8s8-per-channel-minmax"]))
        session.add("bad", session.make(RECIPES["s8s8-per-tensor-minmax"]))
        yield session, good


def test_labels_judge_a_variant_as_eval_detector_does(quantised, assets):
    session, row = quantised
    base = session.rows["float32"]["at_task"]
    again = evaluate(
        load(session.base, spec=session.subject.spec, threads=1),
        assets / "labelled",
        assets / "labelled" / "detection.csv",
        only_labelled=True,
    ).to_dict()
    assert base["images"] == again["images"] == 20
    assert base["exact_count"] == again["exact_count"]
    assert row["counts_ratio"] == row["at_task"]["exact_count"] / base["exact_count"]
    assert "counts" in {c["budget"] for c in row["verdict"]["checks"]}


def test_a_variant_behind_float_ends_answers_as_measured(quantised):
    session, _ = quantised
    model = FloatEnds(session.files["u8s8"], session.subject.spec)
    x = np.asarray(session.evaluation.tensors[:1])
    flat = np.concatenate([o.ravel() for o in model.run(x)])
    assert np.array_equal(flat, session._outputs(session.files["u8s8"], session.evaluation)[0])
    assert all(t.dtype == "float32" for t in (*model.inputs, *model.outputs))


def test_faces_of_one_size_do_not_calibrate_a_detector(assets, own_yunet, tmp_path):
    """Portraits that a face fills left YuNet with none of its 145 boxes: strides 8 and 16 never answered."""
    it = subject.load(own_yunet)
    portraits = read(it, str(assets / "labelled" / "identity" / "orl"), most=24)
    photographs = read(it, str(assets / "labelled" / "detection"), most=8)
    with Session(it, portraits, photographs) as session:
        row = session.add("u8s8", session.make(RECIPES["u8s8-per-channel-minmax"]))
        doubt = session.unreached()
    assert row["boxes"]["recall"] < 0.5 and not row["verdict"]["passed"]
    assert {"agreement", "recall"} <= set(row["verdict"]["failed"])
    assert doubt.cause == "calibration_does_not_reach"
    assert "obj_8: 0 … 0.00" in doubt.evidence and "obj_32" not in doubt.evidence


def test_calibration_that_suits_is_not_doubted(quantised):
    session, _ = quantised
    assert not session.rows["bad"]["verdict"]["passed"]  # the recipe is to blame, not the images
    assert session.unreached() is None


@pytest.mark.slow
def test_an_own_scrfd_that_lost_its_faces_is_not_good(assets, tmp_path):
    source = assets / "models" / "detectors" / "scrfd_2.5g_kps.onnx"
    model = onnx.load(source)
    model.producer_name = "mine"
    onnx.save(model, tmp_path / "mine.onnx")
    load(source, threads=1).spec.save(tmp_path / "mine.preprocess.json")
    it = subject.load(tmp_path / "mine.onnx")
    assert it.family == "scrfd"
    calibrate = read(it, str(assets / "labelled" / "identity"), most=24)
    photographs = read(it, str(assets / "labelled" / "detection"))
    with Session(it, calibrate, photographs) as session:
        row = session.add("u8s8", session.make(RECIPES["u8s8-per-channel-minmax"]))
    assert row["cosine"]["mean"] > 0.98 and not row["verdict"]["passed"]
    assert {"agreement", "recall"} <= set(row["verdict"]["failed"])


@pytest.mark.slow
def test_pairs_judge_an_embedder(assets, mirror):
    it = subject.load("mobilefacenet")
    calibrate = read(it, str(assets / "labelled" / "identity" / "orl"), most=40)
    evaluation = read(it, str(assets / "labelled" / "identity" / "ageitgey"), most=8)
    test = paired(
        it.file,
        it.spec,
        str(assets / "labelled" / "identity_pairs.csv"),
        str(assets / "labelled"),
        "detect",
    )
    with Session(it, calibrate, evaluation, at_task=test) as session:
        row = session.add("u8s8", session.make(RECIPES["u8s8-per-channel-minmax"]))
        base = session.rows["float32"]["at_task"]
    assert base["far"] == row["at_task"]["far"] and 0.5 < base["tar"] <= 1
    assert row["tar_ratio"] == row["at_task"]["tar"] / base["tar"]
    assert "tar" in {c["budget"] for c in row["verdict"]["checks"]}
