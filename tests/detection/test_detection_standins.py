"""Loaders and decoders on constructed networks: constant outputs behind an ONNX file of each family's signature."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facelab import detection
from facelab.core.errors import BadInputError
from facelab.detection._inputs import detector_spec
from facelab.zoo.runtimes import ModelRunError


def constant_model(path, outputs, shape=(1, 3, 64, 64)):
    """Write an ONNX file that answers `outputs` whatever it sees (the input is added, times zero)."""
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
    nodes, results, constants = (
        [
            helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        ],
        [],
        [],
    )
    constants.append(numpy_helper.from_array(np.float32(0), "zero"))
    for name, value in outputs.items():
        value = np.asarray(value, np.float32)
        constants.append(numpy_helper.from_array(value, f"c_{name}"))
        nodes.append(helper.make_node("Add", [f"c_{name}", "nothing"], [name]))
        results.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape))
    graph = helper.make_graph(nodes, "constant", [image], results, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


CELLS = {8: 64, 16: 16, 32: 4}
BOX, POINTS = [16.0, 16.0, 48.0, 48.0], [[24, 28], [40, 28], [32, 34], [26, 42], [38, 42]]


def yunet_outputs():
    out = {
        f"{k}_{s}": np.zeros((1, n, w))
        for k, w in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
        for s, n in CELLS.items()
    }
    cell = 2 * 4 + 2  # cell (2, 2) of the 4×4 map at stride 16: centre (32, 32)
    out["cls_16"][0, cell], out["obj_16"][0, cell] = 0.81, 1.0
    out["bbox_16"][0, cell] = [0, 0, np.log(2), np.log(2)]
    out["kps_16"][0, cell] = (np.array(POINTS) / 16 - 2).ravel()
    return out, 0.9


def scrfd_outputs():
    out = {
        f"{k}_{s}": np.zeros((n * 2, w))
        for k, w in (("score", 1), ("bbox", 4), ("kps", 10))
        for s, n in CELLS.items()
    }
    row = (2 * 4 + 2) * 2 + 1
    out["score_16"][row] = 0.9
    out["bbox_16"][row] = [1, 1, 1, 1]
    out["kps_16"][row] = (np.array(POINTS) / 16 - 2).ravel()
    return out, 0.9


def retinaface_outputs(joined):
    from facelab.detection._boxes import priors

    prior = priors((64, 64), (8, 16, 32), ((16, 32), (64, 128), (256, 512)))
    row = 128 + 2 * (2 * 4 + 2)  # 64 pixels at (2.5, 2.5)·16 = (40, 40)
    assert np.allclose(prior[row] * 64, [40, 40, 64, 64])
    loc, conf, landm = (
        np.zeros((1, len(prior), 4)),
        np.zeros((1, len(prior), 2)),
        np.zeros((1, len(prior), 10)),
    )
    conf[..., 0] = 1
    conf[0, row] = [0.1, 0.9]
    loc[0, row] = [-8 / 6.4, -8 / 6.4, np.log(0.5) / 0.2, np.log(0.5) / 0.2]
    landm[0, row] = ((np.array(POINTS) - 40) / 6.4).ravel()
    return (
        {"output0": np.concatenate([loc, conf, landm], axis=2)}
        if joined
        else {"output0": loc, "572": conf, "571": landm}
    ), 0.9


def yolo_outputs(decoded):
    if decoded:
        rows = np.zeros((1, 3 * 84, 16))
        rows[0, 7] = [32, 32, 32, 32, 0.9, *np.ravel(POINTS), 1.0]
        return {"output": rows}, 0.9
    out = {
        f"stride_{s}": np.full((1, 3, int(n**0.5), int(n**0.5), 16), -50.0)
        for s, n in CELLS.items()
    }
    v = out["stride_16"][0, 0, 1, 1]  # anchor 23×29, cell (1, 1)
    v[:2] = 0.0  # centre: (0.5 + 1)·16 = 24
    v[2:4] = [np.log(1), np.log(1)]  # (2·0.5)² = 1: the anchor itself
    v[4], v[15] = np.log(9), 50.0  # 0.9 · 1
    v[5:15] = ((np.array(POINTS) - 16) / [23, 29]).ravel()
    return out, 0.9


FAMILIES = {
    "yunet": yunet_outputs,
    "scrfd": scrfd_outputs,
    "retinaface": lambda: retinaface_outputs(False),
    "retinaface, joined": lambda: retinaface_outputs(True),
    "yolov5face": lambda: yolo_outputs(False),
    "yolov5face, decoded": lambda: yolo_outputs(True),
}


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("stated", [True, False])
def test_a_constructed_answer_is_decoded_to_the_box_it_means(kind, stated, tmp_path):
    outputs, score = FAMILIES[kind]()
    path = constant_model(tmp_path / "m.onnx", outputs)
    family = kind.split(",")[0]
    found = detection.load(path, family=family if stated else None).detect(
        np.zeros((128, 128, 3), np.uint8)
    )
    assert len(found) == 1
    box = [12.5, 9.5, 35.5, 38.5] if kind == "yolov5face" else BOX
    # a 128-pixel image in a 64-pixel tensor: twice the coordinates
    assert np.allclose(found.boxes[0], np.array(box) * 2, atol=1e-3)
    assert np.allclose(found.landmarks[0], np.array(POINTS) * 2, atol=1e-3)
    assert abs(found.scores[0] - score) < 1e-5


def test_ultraface_offsets_and_corners_are_distinguished(tmp_path):
    from facelab.detection._boxes import priors
    from facelab.detection._families.ultraface import MIN_BOXES

    prior = np.clip(priors((64, 64), (8, 16, 32, 64), MIN_BOXES), 0, 1)
    scores = np.zeros((1, len(prior), 2))
    scores[0, 5, 1] = 0.95
    corners = np.concatenate(
        [prior[:, :2] - prior[:, 2:] / 2, prior[:, :2] + prior[:, 2:] / 2], axis=1
    )[None]
    results = []
    for name, boxes in (("decoded", corners), ("offsets", np.zeros_like(corners))):
        path = constant_model(tmp_path / f"{name}.onnx", {"scores": scores, "boxes": boxes})
        detector = detection.load(path, family="ultraface")
        assert detector.encoding == name
        results.append(detector.detect(np.zeros((64, 64, 3), np.uint8)).boxes)
    assert np.allclose(*results, atol=1e-4)


def test_a_users_file_with_a_spec(tmp_path):
    outputs, _ = yunet_outputs()
    path = constant_model(tmp_path / "mine.onnx", outputs)
    spec = detector_spec("mine", size=(64, 64), fit="letterbox", order="bgr").save(
        tmp_path / "spec.json"
    )
    image = np.zeros((64, 64, 3), np.uint8)
    assert np.allclose(detection.load(path, spec=spec).detect(image).boxes, [BOX])
    # a spec beside the file is found; a stretch to the tensor from 128×64 doubles x only
    detector_spec("wide", size=(64, 64), fit="stretch").save(tmp_path / "mine.onnx.preprocess.json")
    wide = detection.load(path).detect(np.zeros((64, 128, 3), np.uint8))
    assert np.allclose(wide.boxes, [[32, 16, 96, 48]])


def test_a_model_that_does_not_fit_its_spec_is_refused_before_it_runs(tmp_path, monkeypatch):
    from facelab.zoo.runtimes._base import Model

    outputs, _ = yunet_outputs()
    path = constant_model(tmp_path / "m.onnx", outputs)
    spec = detector_spec("large", size=(96, 96), fit="stretch")
    monkeypatch.setattr(Model, "run", lambda *a, **k: pytest.fail("it ran"))
    for family in ("yunet", None):
        with pytest.raises(BadInputError, match="does not fit"):
            detection.load(path, family=family, spec=spec)


def test_another_familys_outputs_and_nan_are_refused(tmp_path):
    outputs, _ = yunet_outputs()
    path = constant_model(tmp_path / "m.onnx", outputs)
    with pytest.raises(BadInputError, match="not those of scrfd"):
        detection.load(path, family="scrfd")
    outputs["bbox_8"][0, 3] = np.nan
    with pytest.raises(BadInputError, match="not finite"):
        detection.load(constant_model(tmp_path / "nan.onnx", outputs), family="yunet")
    with pytest.raises(BadInputError, match="family cannot be determined"):
        detection.load(constant_model(tmp_path / "odd.onnx", {"x": np.zeros((1, 7))}))


@pytest.mark.parametrize(
    "call, what",
    [
        (lambda: detection.load("yunett-n"), "did you mean"),
        (lambda: detection.load("dlib-resnet"), "is not a detector"),
        (lambda: detection.load("haar", family="yunet"), "another family"),
        (lambda: detection.load("haar", nms_treshold=1), "no option"),
        (lambda: detection.load("haar", scale_factor=1.0), "must exceed 1"),
    ],
)
def test_mistakes_in_loading_are_named(call, what):
    with pytest.raises(BadInputError, match=what):
        call()


def test_broken_files_end_in_a_clear_error(assets):
    from facelab.core.errors import FacelabError

    for path in sorted((assets / "models" / "broken").iterdir()):
        with pytest.raises((FacelabError, ModelRunError)) as caught:
            detection.load(path)
        assert caught.value.what and str(path.name) in str(caught.value.where), path.name
