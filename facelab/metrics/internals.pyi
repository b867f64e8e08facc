from . import identity_halves, plausibility, verification_report

__all__ = [
    "identity_halves",
    "plausibility",
    "verification_report",
]
