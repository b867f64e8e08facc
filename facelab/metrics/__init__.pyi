from . import (
    boxes,
    classification,
    detection,
    identification,
    intervals,
    landmarks,
    liveness,
    operating,
    verification,
)

__all__ = [
    "boxes",
    "classification",
    "detection",
    "identification",
    "intervals",
    "landmarks",
    "liveness",
    "operating",
    "verification",
]
