"""Detections in a notebook: the picture with boxes while it is there, and faces to iterate over."""

import base64
import io
import pickle
import re

import numpy as np
from PIL import Image

from facelab.detection import Detections, Detector


class One(Detector):
    family = "one"
    score_threshold = 0.5

    def _run(self, rgb):
        return Detections(np.array([[10, 20, 60, 70.0], [1, 1, 5, 5]]), np.array([0.9, 0.6]))


def test_the_picture_is_shown_with_its_boxes_while_it_is_there():
    image = np.full((100, 2000, 3), 60, np.uint8)
    found = One("one").detect(image)
    html = found._repr_html_()
    data = re.search(r"base64,([^\"]+)", html)[1]
    with Image.open(io.BytesIO(base64.b64decode(data))) as shown:
        pixels = np.asarray(shown)
    assert pixels.shape == (32, 640, 3) and (pixels == (0, 158, 115)).all(axis=2).any()
    assert "2 faces" in html and not (image == 158).any()
    again = pickle.loads(pickle.dumps(found))
    assert (
        again.to_dict() == found.to_dict()
        and again.image is None
        and "<img" not in again._repr_html_()
    )
    del image
    assert "<img" not in found._repr_html_()  # nothing keeps a picture alive


def test_faces_are_iterated_and_indexed():
    found = One("one").detect(np.zeros((80, 80, 3), np.uint8))
    assert [round(f["score"], 1) for f in found] == [0.9, 0.6]
    assert found[0]["box"] == [10, 20, 60, 70] and len(found) == 2


def test_mirrored_faces_are_where_the_mirrored_picture_has_them():
    points = np.array([[[12, 30], [40, 31], [25, 45], [15, 60], [38, 61.0]]])
    found = Detections([[10, 20, 60, 70]], [0.9], landmarks=points, keypoints=np.zeros((1, 6, 2)))
    image = np.zeros((80, 100), np.uint8)
    for k, (x, y) in enumerate(points[0].astype(int), 1):
        image[y, x] = k
    other = found.mirrored(100)
    at = [int(image[:, ::-1][int(y), int(x)]) for x, y in other.landmarks[0]]
    assert at == [2, 1, 3, 5, 4]  # left and right have changed places
    assert other.boxes.tolist() == [[40, 20, 90, 70]] and other.keypoints is None
    again = other.mirrored(100)
    assert (
        np.array_equal(again.landmarks, found.landmarks)
        and again.boxes.tolist() == found.boxes.tolist()
    )
