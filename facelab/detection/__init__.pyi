from ._base import Detections, Detector, Stopwatch, Timings
from ._boxes import overlap
from ._evaluate import precision_recall_threshold, predictions, to_xywh
from ._evaluation import DetectionEvaluation, evaluate
from ._images import as_rgb, find_images
from ._inputs import bounded, in_order, prepared
from ._labels import Labels, read_labels
from ._neural import Found, NeuralDetector, model_input
from ._pictures import drawn, write_pictures
from ._registry import FAMILIES, available, families, load

__all__ = [
    "FAMILIES",
    "DetectionEvaluation",
    "Detections",
    "Detector",
    "Found",
    "Labels",
    "NeuralDetector",
    "Stopwatch",
    "Timings",
    "as_rgb",
    "available",
    "bounded",
    "drawn",
    "evaluate",
    "families",
    "find_images",
    "in_order",
    "load",
    "model_input",
    "overlap",
    "precision_recall_threshold",
    "predictions",
    "prepared",
    "read_labels",
    "to_xywh",
    "write_pictures",
]
