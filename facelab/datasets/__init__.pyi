from . import annotations, doodles, labels, synthetic
from ._fer2013 import FER2013_CLASSES, load_fer2013, load_ferplus
from ._image_folder import load_image_folder
from ._lfw import find_images, load_bin, load_embeddings, load_pairs, sklearn_folder
from ._wider import (
    attribute_masks,
    load_ground_truth,
    load_predictions,
    size_masks,
    write_predictions,
)

__all__ = [
    "FER2013_CLASSES",
    "annotations",
    "attribute_masks",
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
    "size_masks",
    "sklearn_folder",
    "synthetic",
    "write_predictions",
]
