"""An inference program as it is often written: `preprocess` gets a file and returns the tensor for the model.

Put your own function in its place: any Python function from a path to an array, captured by
`facelab fingerprint capture --pipeline FILE.py:FUNCTION`. This one has a mistake that no shape or type shows.
"""

import cv2
import numpy as np


def preprocess(path: str) -> np.ndarray:
    """Read a picture and return (1, 3, 48, 48) float32, about -1…1."""
    image = cv2.imread(path)
    small = cv2.resize(image, (48, 48))
    return ((small.astype(np.float32) - 127.5) / 128.0).transpose(2, 0, 1)[None]
