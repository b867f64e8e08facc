from . import (
    boxes,
    classification,
    detection,
    identification,
    identity_halves,
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
    "identification",
    "identity_halves",
    "intervals",
    "landmarks",
    "liveness",
    "operating",
    "plausibility",
    "verification",
    "verification_report",
]
