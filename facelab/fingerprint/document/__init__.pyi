from ._schema import Fingerprint, load
from ._statistics import canonical, describe

__all__ = [
    "Fingerprint",
    "canonical",
    "describe",
    "load",
]
