from . import (
    boxes,
    classification,
    detection,
    intervals,
    landmarks,
    liveness,
    operating,
    plausibility,
    verification,
    verification_report,
)

__all__ = [
    "boxes",
    "classification",
    "detection",
    "intervals",
    "landmarks",
    "liveness",
    "operating",
    "plausibility",
    "verification",
    "verification_report",
]
