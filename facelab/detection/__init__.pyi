from ._base import Detections, Detector
from ._evaluation import evaluate
from ._labels import read_labels
from ._neural import NeuralDetector
from ._registry import available, load

__all__ = [
    "Detections",
    "Detector",
    "NeuralDetector",
    "available",
    "evaluate",
    "load",
    "read_labels",
]
