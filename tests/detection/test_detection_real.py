"""Real weights on real photographs: the figures in ASSETS.md, and equality with the owners' code."""

import csv

import cv2
import numpy as np
import pytest

from facelab.detection.internals import overlap
from facelab.preprocess import read_image

# exact count on the 20 photographs (ASSETS.md), for every detector whose weights are in the mirror
EXACT = {
    "yunet-n": 19,
    "yunet-n-640": 19,
    "yunet-n-320": 17,
    "yunet-s": 19,
    "yunet-s-640": 18,
    "yunet-s-320": 18,
    "scrfd-2.5g": 20,
    "yolov5n-0.5-face": 20,
    "retinaface-mnet025-640": 19,
    "retinaface-mnet025-640-cat16": 19,
    "retinaface-mnet025-320": 17,
    "ultraface-rfb-640": 20,
    "ultraface-rfb-320": 17,
    "ultraface-slim-320": 17,
    "ultraface-rfb-320-raw": 17,
    "ultraface-rfb-320-tflite": 17,
    "ultraface-slim-320-simplified": 17,
    "blazeface-back": 15,
    "blazeface-full": 15,
    "blazeface-front": 5,
    "blazeface-back-onnx-nms": 15,
}
# published WIDER easy AP above 0.8 (PROTOCOLS.md)
STRONG = [
    "yunet-n",
    "yunet-s",
    "yunet-n-640",
    "yunet-s-640",
    "scrfd-2.5g",
    "yolov5n-0.5-face",
    "retinaface-mnet025-640",
    "retinaface-mnet025-640-cat16",
    "mtcnn",
    "mtcnn-tflite",
]
# recall on the labelled WIDER images, faces of 10 pixels or more: measured here, so that a decoder cannot decay
WIDER = {
    "yunet-n": 0.90,
    "yunet-s": 0.82,
    "scrfd-2.5g": 0.50,
    "yolov5n-0.5-face": 0.72,
    "ultraface-rfb-640": 0.30,
}


def count_exact(detector, photographs):
    return sum(len(detector.detect(image)) == n for image, n in photographs.values())


@pytest.mark.parametrize("name", EXACT)
def test_the_photographs_known_counts(name, load, photographs):
    assert count_exact(load(name), photographs) >= EXACT[name]


@pytest.mark.parametrize("name", STRONG)
def test_six_people_are_six(name, load, six):
    found = load(name).detect(six)
    assert len(found) == 6
    assert found.landmarks.shape == (6, 5, 2)
    inside = (found.landmarks > found.boxes[:, None, :2] - 5) & (
        found.landmarks < found.boxes[:, None, 2:] + 5
    )
    assert inside.all()
    # left eye left of the right one, eyes above the mouth: the order of the landmarks
    assert (found.landmarks[:, 0, 0] < found.landmarks[:, 1, 0]).all()
    assert (found.landmarks[:, :2, 1].max(axis=1) < found.landmarks[:, 3:, 1].min(axis=1)).all()


@pytest.mark.parametrize("name", WIDER)
def test_recall_in_crowds(name, load, assets):
    boxes = {}
    with (assets / "labelled" / "wider_boxes.csv").open() as f:
        for row in csv.DictReader(f):
            boxes.setdefault(row["path"], []).append(
                [float(row[k]) for k in ("x1", "y1", "x2", "y2")]
            )
    hit = faces = 0
    for path, rows in boxes.items():
        truth = np.array(rows)
        truth = truth[truth[:, 3] - truth[:, 1] >= 10]
        found = load(name).detect(read_image(assets / "labelled" / path))
        hit += int((overlap(truth, found.boxes).max(axis=1, initial=0) >= 0.5).sum())
        faces += len(truth)
    assert hit / faces >= WIDER[name]


@pytest.mark.parametrize(
    "name",
    [
        "yunet-n",
        "yunet-s",
        "scrfd-2.5g",
        "yolov5n-0.5-face",
        "retinaface-mnet025-640",
        "ultraface-rfb-320",
        "blazeface-front",
        "blazeface-back",
        "blazeface-full",
        "mtcnn",
        "dlib-hog",
    ],
)
def test_nothing_fires_without_a_face(name, load, assets):
    # drawings and animals apart: smileys and monkeys have faces
    for path in sorted((assets / "images" / "no_face").iterdir()):
        if "cydonia" not in path.name:
            assert len(load(name).detect(read_image(path))) == 0, path.name


@pytest.mark.parametrize(
    "variant, threshold",
    [("n", 0.02), pytest.param("n", 0.6, marks=pytest.mark.slow), ("s", 0.6)],
)
def test_yunet_equals_opencv(variant, threshold, load, assets, photographs):
    """0.01 pixel and 1e-4 in score, on every photograph, with OpenCV's own `FaceDetectorYN` on the same weights."""
    ours = load(f"yunet-{variant}", score_threshold=threshold)
    model = str(assets / f"models/detectors/yunet_{variant}_640_640.onnx")
    for path, (image, _) in photographs.items():
        theirs = cv2.FaceDetectorYN.create(
            model, "", (image.shape[1], image.shape[0]), threshold, 0.3, 5000
        )
        rows = theirs.detect(np.ascontiguousarray(image[..., ::-1]))[1]
        rows = np.zeros((0, 15), np.float32) if rows is None else rows
        found = ours.detect(image)
        assert len(found) == len(rows), path
        if not len(rows):
            continue
        expected = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4], rows[:, 4:14]], axis=1)
        got = np.concatenate([found.boxes, found.landmarks.reshape(-1, 10)], axis=1)
        # scores that tie to the last bit may come in another order, so each finds its nearest
        gaps = np.abs(got[:, None] - expected[None]).max(axis=2)
        nearest = gaps.argmin(axis=1)
        assert sorted(nearest) == list(range(len(rows))), path
        assert gaps.min(axis=1).max() < 0.01, path
        assert np.abs(found.scores - rows[nearest, 14]).max() < 1e-4, path


def test_two_exports_of_one_network_agree(load, six):
    """Raw offsets and decoded boxes, ONNX and TFLite, suppression inside and outside the graph."""
    for names in (
        [
            "ultraface-rfb-320",
            "ultraface-rfb-320-raw",
            "ultraface-rfb-320-simplified",
            "ultraface-rfb-320-tflite",
        ],
        ["blazeface-back", "blazeface-back-onnx"],
        ["mtcnn", "mtcnn-tflite"],
    ):
        first, *others = (load(n).detect(six) for n in names)
        for other in others:
            # converted weights differ in the last bits of a float32
            assert len(first) == len(other)
            assert np.abs(first.boxes - other.boxes).max() < 0.1, names
            assert np.abs(first.scores - other.scores).max() < 1e-3, names


def test_haar_and_dlib_find_most_of_six(load, six):
    assert len(load("haar").detect(six)) >= 4
    assert len(load("dlib-hog").detect(six)) == 6


@pytest.mark.slow
def test_dlib_cnn_equals_dlib(load, assets):
    """The MMOD detector behind our interface gives dlib's own rectangles and confidences."""
    image = read_image(assets / "labelled/detection/ageitgey_two_people.jpg")
    detector = load("dlib-cnn", upsample=0)
    found = detector.detect(image)
    theirs = detector.model.handle(image, 0)
    assert len(found) == len(theirs) == 2
    assert np.allclose(sorted(found.scores), sorted(d.confidence for d in theirs), atol=1e-5)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_mtcnn_equals_its_own_package(load, photographs, six):
    """The cascade in numpy and ONNX gives the faces of the `mtcnn` package, to a few pixels' rounding."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mtcnn import MTCNN

        rows = MTCNN().detect_faces(six, threshold_onet=0.9)
    ours = load("mtcnn").detect(six)
    assert len(ours) == len(rows) == 6
    theirs = np.array(
        [[x, y, x + w, y + h] for x, y, w, h in (r["box"] for r in rows)], dtype=float
    )
    table = overlap(ours.boxes, theirs)
    match, shared = table.argmax(axis=1), table.max(axis=1)
    ahead = ours.scores - np.array([rows[j]["confidence"] for j in match])
    # The package rounds to whole pixels, and its suppression is not greedy: of two boxes on one face it may keep the
    # lesser, where the paper's keeps the better.
    same = np.abs(ahead) < 1e-4
    assert sorted(match) == list(range(6))
    assert same.sum() >= 5
    assert shared[same].min() > 0.97
    assert (ahead[~same] > 0).all() and (shared[~same] > 0.9).all()
