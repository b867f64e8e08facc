from ._fer2013 import FER2013_CLASSES
from ._lfw import sklearn_folder
from ._wider import attribute_masks, size_masks

__all__ = [
    "FER2013_CLASSES",
    "attribute_masks",
    "size_masks",
    "sklearn_folder",
]
