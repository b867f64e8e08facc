"""Pictures of what a detector found, missed and raised falsely."""

import numpy as np
from PIL import Image

from facelab.detection import Detections, read_labels
from facelab.detection._pictures import ALARM, FOUND, IGNORED, MISSED, drawn, judged
from facelab.detection.internals import write_pictures


def test_misses_and_false_alarms_are_drawn_in_their_colours(tmp_path):
    rows = "a/1.png,0,0,20,20,0\na/1.png,50,50,20,20,0\na/1.png,80,10,15,15,1\na/2.png,5,5,9,9,0\n"
    (tmp_path / "l.csv").write_text("path,x,y,w,h,ignore\n" + rows)
    labels = read_labels(tmp_path / "l.csv")
    found = Detections(
        np.array([[0, 0, 20, 20], [30, 70, 45, 90], [80, 10, 95, 25.0]]), np.array([0.9, 0.8, 0.7])
    )
    boxes, colours = judged(found, labels, "a/1.png", 0.5)
    assert colours == [FOUND, ALARM, IGNORED, MISSED] and boxes[3].tolist() == [50, 50, 70, 70]
    good = Detections(np.array([[5, 5, 14, 14.0]]), np.array([0.9]))
    files = {n: tmp_path / n for n in ("a/1.png", "a/2.png")}
    (tmp_path / "a").mkdir()
    for path in files.values():
        Image.fromarray(np.full((100, 100, 3), 80, np.uint8)).save(path)
    names = write_pictures(
        {"a/1.png": found, "a/2.png": good}, files, tmp_path / "out", labels=labels
    )
    assert names == ["a__1.png"]  # nothing is wrong on the other one
    pixels = np.asarray(Image.open(tmp_path / "out" / "a__1.png")).reshape(-1, 3).tolist()
    assert all(list(c) in pixels for c in (FOUND, ALARM, IGNORED, MISSED))
    assert write_pictures({"a/2.png": good}, files, tmp_path / "all") == ["a__2.png"]


def test_large_pictures_shrink_and_wild_boxes_are_drawn():
    image = np.zeros((100, 3000, 3), np.uint8)
    out = drawn(image, np.array([[-1e9, -5, 1e9, 50]]), [FOUND], longest=300)
    assert out.shape == (10, 300, 3) and not image.any()
