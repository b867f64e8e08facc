"""Seeded augmentation that keeps the label: mirrored, shifted, turned a little, lighter or darker."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from facelab.emotion._data import FaceSet


@dataclass(frozen=True)
class Augmentation:
    """How far an augmented copy of a face may differ from it.

    Parameters
    ----------
    copies : int
        Copies per face; 0 leaves the set as it is.
    flip : float
        Chance of a mirror image, 0 to 1.
    shift : float
        Largest shift, as a fraction of the side.
    turn : float
        Largest rotation in degrees.
    scale : float
        Largest change of size, as a fraction.
    light : float
        Largest change of contrast, as a fraction, and of brightness, as a fraction of 255.

    Examples
    --------
    >>> Augmentation(copies=0).copies
    0
    """

    copies: int = 1
    flip: float = 0.5
    shift: float = 0.08
    turn: float = 12.0
    scale: float = 0.12
    light: float = 0.25

    def to_dict(self) -> dict:
        """Return the parameters as plain JSON, for the training record."""
        return asdict(self)


def augment(faces: FaceSet, how: Augmentation, *, seed: int) -> FaceSet:
    """Return the originals followed by `how.copies` augmented copies of each.

    Every copy draws from its own generator (seed, copy, index), so that a face's copies do not depend on the others.
    """
    if how.copies < 1 or not len(faces):
        return faces
    images, index = [faces.images], [np.arange(len(faces))]
    for copy in range(how.copies):
        images.append(
            np.stack(
                [
                    _one(image, how, np.random.default_rng([seed, copy, i]))
                    for i, image in enumerate(faces.images)
                ]
            )
        )
        index.append(np.arange(len(faces)))
    order = np.concatenate(index)
    taken = faces.take(order)
    return FaceSet(
        np.concatenate(images), taken.labels, faces.classes, taken.names, taken.identities
    )


def _one(image: np.ndarray, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    import cv2

    height, width = image.shape[:2]
    if rng.random() < how.flip:
        image = image[:, ::-1]
    shift = rng.uniform(-how.shift, how.shift, 2) * (width, height)
    matrix = cv2.getRotationMatrix2D(
        (width / 2 - 0.5, height / 2 - 0.5),
        rng.uniform(-how.turn, how.turn),
        1 + rng.uniform(-how.scale, how.scale),
    )
    matrix[:, 2] += shift
    image = cv2.warpAffine(
        np.ascontiguousarray(image),
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    gain, lift = (
        1 + rng.uniform(-how.light, how.light),
        255 * rng.uniform(-how.light, how.light) / 2,
    )
    return np.clip(
        np.rint((image.astype(np.float32) - 127.5) * gain + 127.5 + lift), 0, 255
    ).astype(np.uint8)
