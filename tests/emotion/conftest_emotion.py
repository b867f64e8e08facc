"""Toy faces that a small network learns in seconds."""

import numpy as np

from facelab.emotion import Augmentation, Settings
from facelab.emotion.internals import FaceSet

CLASSES = ("anger", "joy", "neutral")


def toy_faces(n, seed, *, size=64, low=30, high=220):
    """Noise with a bright bar whose height in the picture is the class; six faces per person."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    images = rng.integers(low, (low + high) // 2, (n, size, size, 3))
    for image, label in zip(images, labels):
        top = size // 8 + label * size // 3
        image[top : top + size // 8, size // 6 : -size // 6] = high
    return FaceSet(
        images.astype(np.uint8),
        labels,
        CLASSES,
        tuple(f"toy {seed} {i}" for i in range(n)),
        tuple(f"{seed}-{i // 6}" for i in range(n)),
    )


def toy_settings(backend, **changes):
    return Settings(
        **{
            "backend": backend,
            "epochs": 4,
            "batch": 16,
            "learning_rate": 0.02,
            "patience": 0,
            "seed": 5,
            "augmentation": Augmentation(copies=0),
        }
        | changes
    )
