from . import boxes, identity_halves, plausibility, verification_report

__all__ = [
    "boxes",
    "identity_halves",
    "plausibility",
    "verification_report",
]
