from ._base import Detections, Detector
from ._evaluation import evaluate
from ._images import find_images
from ._labels import read_labels
from ._neural import NeuralDetector
from ._pictures import write_pictures
from ._registry import available, families, load

__all__ = [
    "Detections",
    "Detector",
    "NeuralDetector",
    "available",
    "evaluate",
    "families",
    "find_images",
    "load",
    "read_labels",
    "write_pictures",
]
