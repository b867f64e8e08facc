from ._base import Stopwatch, Timings
from ._boxes import overlap
from ._evaluate import precision_recall_threshold, predictions, to_xywh
from ._images import as_rgb, find_images
from ._inputs import bounded, in_order, prepared
from ._neural import Found, model_input
from ._pictures import drawn, write_pictures
from ._registry import FAMILIES, families

__all__ = [
    "FAMILIES",
    "Found",
    "Stopwatch",
    "Timings",
    "as_rgb",
    "bounded",
    "drawn",
    "families",
    "find_images",
    "in_order",
    "model_input",
    "overlap",
    "precision_recall_threshold",
    "predictions",
    "prepared",
    "to_xywh",
    "write_pictures",
]
