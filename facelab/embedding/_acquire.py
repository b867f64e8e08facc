"""From a photograph to the one face that is meant: detect, choose, and try again with more surroundings."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from facelab.detection import Detections, Detector

if TYPE_CHECKING:
    from jaxtyping import UInt8

BORDER = 0.5
"""Share of the longer side that is added on each side of a tight crop, in which nothing was found at first."""


def main_face(found: Detections, size: tuple[int, int]) -> int:
    """Return the index of the face a picture of `size` (width, height) is of: large, and near the middle.

    The score is area − 2·(squared distance from the middle), insightface's rule.

    Parameters
    ----------
    found : Detections
        What a detector found.
    size : tuple[int, int]
        The size (width, height) in pixels.

    Returns
    -------
    int
        The index of the face a picture of `size` (width, height) is of.

    Examples
    --------
    >>> from facelab.detection import Detections
    >>> main_face(Detections([[0, 0, 10, 10], [40, 40, 90, 90]], [0.9, 0.8]), (120, 120))
    1
    """
    centre = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2 - np.array(size) / 2
    area = np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1)
    return int(np.argmax(area - 2 * np.square(centre).sum(axis=1)))


def find_face(detector: Detector, image: UInt8[np.ndarray, "h w 3"]) -> Detections | None:
    """Return the main face of an image as one detection, or None: a failure to acquire.

    Where nothing is found, black is added around the image (a tight crop shows too little for most detectors) and
    the search is repeated once.

    Parameters
    ----------
    detector : Detector
        A detector of `detection.load`.
    image : ndarray
        A picture, (height, width, 3) uint8 RGB.

    Returns
    -------
    Detections or None
        The main face of an image as one detection, or None.
    """
    size = (image.shape[1], image.shape[0])
    found = detector.detect(image)
    if not len(found):
        border = round(BORDER * max(size))
        found = shifted(
            detector.detect(np.pad(image, ((border, border), (border, border), (0, 0)))), -border
        )
    return found.take(np.array([main_face(found, size)])) if len(found) else None


def shifted(found: Detections, by: float) -> Detections:
    """Return detections moved by the same number of pixels in x and y."""
    points = {
        k: None if (v := getattr(found, k)) is None else v + by for k in ("landmarks", "keypoints")
    }
    return dataclasses.replace(found, boxes=found.boxes + by, **points)
