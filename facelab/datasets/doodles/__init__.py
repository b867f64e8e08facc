"""Line drawings as people make them: hearts, shapes that are nearly hearts, other shapes, and their pictures."""

from facelab.datasets.doodles._drawing import Pen, draw, random_pen
from facelab.datasets.doodles._files import read_strokes, write_drawings
from facelab.datasets.doodles._hand import Strokes
from facelab.datasets.doodles._sets import CLASSES, Drawings, synthetic

__all__ = [
    "CLASSES",
    "Drawings",
    "Pen",
    "Strokes",
    "draw",
    "random_pen",
    "read_strokes",
    "synthetic",
    "write_drawings",
]
