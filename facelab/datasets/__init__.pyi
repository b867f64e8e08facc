from . import annotations, doodles, labels, synthetic
from ._fer2013 import load_fer2013, load_ferplus
from ._image_folder import load_image_folder
from ._lfw import find_images, load_bin, load_embeddings, load_pairs
from ._wider import load_ground_truth, load_predictions, write_predictions

__all__ = [
    "annotations",
    "doodles",
    "find_images",
    "labels",
    "load_bin",
    "load_embeddings",
    "load_fer2013",
    "load_ferplus",
    "load_ground_truth",
    "load_image_folder",
    "load_pairs",
    "load_predictions",
    "synthetic",
    "write_predictions",
]
