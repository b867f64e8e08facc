from ._compare import compare
from ._comparison import Comparison
from ._distance import common_samples
from ._finding_kinds import DETERMINISM_FIX, FIX, KINDS, SEVERITY, Finding

__all__ = [
    "DETERMINISM_FIX",
    "FIX",
    "KINDS",
    "SEVERITY",
    "Comparison",
    "Finding",
    "common_samples",
    "compare",
]
