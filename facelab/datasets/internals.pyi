from . import annotations, labels
from ._fer2013 import FER2013_CLASSES
from ._lfw import find_images, load_embeddings, sklearn_folder
from ._wider import attribute_masks, size_masks
from ._wider_predictions import write_predictions

__all__ = [
    "FER2013_CLASSES",
    "annotations",
    "attribute_masks",
    "find_images",
    "labels",
    "load_embeddings",
    "size_masks",
    "sklearn_folder",
    "write_predictions",
]
