"""Detectors on the ONNX route: boxes compared with the float network's, and a real one quantised."""

import numpy as np
import pytest

from facelab.detection.internals import Found
from facelab.quantization import _subject as subject
from facelab.quantization._boxes import agreement
from facelab.quantization._edge import QuantizationError
from facelab.quantization._session import Session
from facelab.quantization.images import fitted, read
from facelab.quantization.recipes import RECIPES


def found(*rows):
    rows = np.array(rows, np.float32).reshape(-1, 5)
    return Found(rows[:, :4], rows[:, 4])


def test_agreement_counts_pairs_of_one_face_once():
    base = [found((0, 0, 10, 10, 0.9), (50, 0, 60, 10, 0.8)), found((0, 0, 10, 10, 0.9)), found()]
    assert agreement(base, base)["agreement"]["value"] == 1
    # the first image loses a face and shifts one, the second finds one twice, the third finds what is not there
    other = [
        found((0, 0, 10, 8, 0.7)),
        found((0, 0, 10, 10, 0.9), (0, 0, 10, 9, 0.5)),
        found((5, 5, 9, 9, 0.6)),
    ]
    told = agreement(base, other)
    assert told["boxes"] | {"score_change": 0} == {
        "float": 3,
        "variant": 4,
        "pairs": 2,
        "images": 3,
        "recall": pytest.approx(2 / 3),
        "same_count": 0,
        "mean_iou": pytest.approx(0.9),
        "score_change": 0,
    }
    assert told["agreement"]["value"] == pytest.approx(2 * 2 / 7)
    assert told["boxes"]["score_change"] == pytest.approx(0.1)


def test_two_detectors_that_find_nothing_agree_and_the_counts_say_so():
    told = agreement([found()], [found()])
    assert (
        told["agreement"]["value"] == 1 and told["boxes"]["float"] == told["boxes"]["variant"] == 0
    )


def test_images_for_a_network_of_any_size_come_to_one_size_without_enlarging():
    rng = np.random.default_rng(0)
    small, large = (
        rng.integers(1, 256, (h, w, 3)).astype(np.uint8) for h, w in ((40, 30), (400, 200))
    )
    assert fitted(small, 64).shape == fitted(large, 64).shape == (64, 64, 3)
    assert np.array_equal(fitted(small, 64)[:40, :30], small) and not fitted(small, 64)[40:].any()
    assert fitted(large, 64)[:, :32].all() and not fitted(large, 64)[:, 32:].any()


@pytest.mark.parametrize("name", ["yunet-n-320", pytest.param("yunet-n", marks=pytest.mark.slow)])
def test_yunet_keeps_its_boxes_in_int8(name, assets, monkeypatch):
    """Opset 11 on disk: scales per channel work only after the graph is raised to 13."""
    monkeypatch.setenv("FACELAB_MIRROR", str(assets))
    it = subject.load(name)
    assert it.task == "detector"
    calibrate = read(it, str(assets / "labelled" / "identity"), most=24)
    photographs = read(it, str(assets / "labelled" / "detection"), most=10)
    with Session(it, calibrate, photographs) as session:
        row = session.add("u8s8", session.make(RECIPES["u8s8-per-channel-minmax"]))
        base = session.rows["float32"]
    assert base["agreement"]["value"] == 1 and base["boxes"]["float"] > 20
    assert row["agreement"]["value"] >= 0.95 and row["boxes"]["mean_iou"] > 0.85
    assert {c["budget"] for c in row["verdict"]["checks"]} == {"size", "agreement", "recall"}
    assert row["accuracy"] is None and row["operators"]["Conv"].keys() == {"int8 (QDQ)"}


def test_a_quantised_file_that_its_runtime_refuses_is_recognised_by_the_models_name(
    assets, monkeypatch
):
    """ai-edge-quantizer gives a convolution's weights a zero point here, which LiteRT does not take."""
    monkeypatch.setenv("FACELAB_MIRROR", str(assets))
    it = subject.load("ultraface-slim-320-tflite")
    calibrate = read(it, str(assets / "labelled" / "identity"), most=24)
    photographs = read(it, str(assets / "labelled" / "detection"), most=4)
    with (
        Session(it, calibrate, photographs) as session,
        pytest.raises(QuantizationError, match="does not run") as e,
    ):
        session.make(RECIPES["edge-int8"])
    assert e.value.where == str(it.file) and "zero_point" in e.value.got
