"""Shapes in signatures: front doors state them, and a wrong one is found."""

import importlib
import subprocess
import sys

import array_shapes
import numpy as np
import pytest

SAMPLE = """
from __future__ import annotations
from typing import TYPE_CHECKING
import numpy as np
if TYPE_CHECKING:
    from jaxtyping import Float64, UInt8

def doubled(x: Float64[np.ndarray, "n 2"], y: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n 2"]:
    return x * 2 if len(y) == len(x) else x[:, :1]

def gray(image: UInt8[np.ndarray, "h w 3"] | None = None) -> UInt8[np.ndarray, "h w"]:
    return image[..., 0]
"""

FRONT = {
    "facelab.detection._boxes": {"overlap"},
    "facelab.detection._images": {"as_rgb"},
    "facelab.detection._base": {"Detections.__init__", "Detector.detect"},
    "facelab.embedding._base": {"Embedder.embed", "NeuralEmbedder.embed"},
    "facelab.metrics.boxes": {"best_overlaps"},
    "facelab.metrics.verification": {"distances", "ten_fold"},
    "facelab.metrics.classification": {"confusion", "reliability"},
    "facelab.metrics.landmarks": {"normalised_mean_error"},
    "facelab.preprocess.align": {"estimate"},
    "facelab.matching._pairwise": {"pairwise"},
}


def sample():
    module = type(sys)("shaped_sample")
    exec(SAMPLE, vars(module))  # noqa: S102
    array_shapes.wrap(module)
    return module


def test_what_fits_passes():
    found = sample().doubled(np.ones((3, 2)), np.ones(3))
    assert found.tolist() == [[2, 2]] * 3
    assert sample().gray(np.zeros((4, 5, 3), np.uint8)).shape == (4, 5)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda m: m.doubled(np.ones((3, 2)), np.ones(4)), "`y`"),
        (lambda m: m.doubled(np.ones((3, 2), np.float32), np.ones(3)), "`x`"),
        (lambda m: m.gray(np.zeros((4, 5, 4), np.uint8)), "`image`"),
        (lambda m: m.gray(np.zeros((4, 5, 3), np.int64)), "`image`"),
    ],
)
def test_what_does_not_fit_is_found(call, word):
    with pytest.raises(array_shapes.ShapeError, match=word):
        call(sample())


@pytest.mark.parametrize("name", sorted(FRONT))
def test_front_doors_state_shapes(name):
    importlib.import_module(name)
    found = {n.removeprefix(f"{name}.") for n in array_shapes.WRAPPED if n.startswith(f"{name}.")}
    assert FRONT[name] & found, (name, found)


def test_no_module_imports_jaxtyping_while_it_runs():
    code = (
        "import sys, facelab.metrics.boxes as m\n"
        "import facelab.detection as d, facelab.embedding as e, facelab.matching as k\n"
        "d.load, m.best_overlaps, e.load, k.pairwise\n"
        "print([x for x in ('jaxtyping', 'beartype') if x in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
