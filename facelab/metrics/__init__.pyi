from . import (
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
    "classification",
    "detection",
    "identification",
    "intervals",
    "landmarks",
    "liveness",
    "operating",
    "verification",
]
