"""Face detectors behind one interface: an RGB image in, boxes, scores and landmarks out.

>>> from facelab.detection import families
>>> families()[:3]
['blazeface', 'dlib-cnn', 'dlib-hog']
"""

from facelab.detection.base import Detections, Detector, Timings
from facelab.detection.images import as_rgb, find_images
from facelab.detection.registry import available, families, load
from facelab.preprocess.image import read_image

__all__ = [
    "Detections",
    "Detector",
    "Timings",
    "as_rgb",
    "available",
    "families",
    "find_images",
    "load",
    "read_image",
]
