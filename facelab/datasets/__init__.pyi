from . import doodles, synthetic
from ._fer2013 import load_fer2013, load_ferplus
from ._image_folder import load_image_folder
from ._lfw import load_bin, load_pairs
from ._wider import load_ground_truth
from ._wider_predictions import load_predictions

__all__ = [
    "doodles",
    "load_bin",
    "load_fer2013",
    "load_ferplus",
    "load_ground_truth",
    "load_image_folder",
    "load_pairs",
    "load_predictions",
    "synthetic",
]
