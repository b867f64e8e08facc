"""What differs between two fingerprints, in words."""

import lazy_loader as _lazy

__getattr__, __dir__, _ = _lazy.attach(
    __name__,
    submod_attrs={
        "_compare": ["compare"],
        "_comparison": ["Comparison"],
        "_distance": ["common_samples"],
        "_finding_kinds": ["DETERMINISM_FIX", "FIX", "Finding", "KINDS", "SEVERITY"],
    },
)
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
