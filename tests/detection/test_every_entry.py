"""Every detector of the catalogue that is on this machine runs, and what it finds is plausible; a new one too."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from facelab import detection
from facelab.cli import run
from facelab.core.errors import MissingAssetError
from facelab.zoo import load_catalogue

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "python" / "own_detector.py"
NAMES = [e.name for e in load_catalogue().of_kind("detector") if not e.name.startswith("mtcnn-")]
"""Without the parts of MTCNN, which detect nothing alone."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "dlib-cnn" else n for n in NAMES]
)
def test_an_entry_runs_and_its_boxes_are_plausible(name, load, six):
    try:
        detector = load(name)
    except MissingAssetError:
        pytest.skip(f"{name} is not here: facelab assets fetch {name}")
    height, width = six.shape[:2]
    found = detector.detect(six)
    assert 1 <= len(found) <= 12  # six people
    assert np.isfinite(found.boxes).all() and (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    assert ((centres >= 0) & (centres <= (width, height))).all()
    assert (np.diff(found.scores) <= 0).all()  # best first
    if found.landmarks is not None:
        assert found.landmarks.shape == (len(found), 5, 2)
    for size in ((1, 1), (3, 400)):
        detector.detect(np.full((*size, 3), 90, np.uint8))
    assert not len(detector.detect(np.full((300, 400, 3), 127, np.uint8)))


def test_the_example_of_a_family_in_a_file(assets, tmp_path, capsys):
    """docs/how-to/adding-a-detector.md: one file, nothing registered."""
    source = assets / "models" / "aux" / "openseeface_mnv3_detection.onnx"
    shutil.copy(source, tmp_path / "my.onnx")
    family = f"{EXAMPLE}:HeatMap"
    labels = assets / "labelled" / "detection.csv"
    command = ["eval", "detector", "--model", tmp_path / "my.onnx", "--family", family]
    assert run([str(a) for a in (*command, "--images", labels.parent, "--labels", labels)]) == 0
    assert "exact count on 17 of 20" in capsys.readouterr().out
    with pytest.raises(Exception, match="output and maxpool"):
        detection.load(assets / "models/detectors/yunet_n_320_320.onnx", family=family)
