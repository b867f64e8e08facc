"""Matchers: distances of all pairs and exact top-k search, scalar against SIMD against BLAS.

Importing this is cheap: numba and the kernels load with the first call.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from facelab.matching._matcher import Matcher
    from facelab.matching._pairwise import pairwise
    from facelab.matching.search._streaming import Matches

__all__ = ["Matcher", "Matches", "pairwise"]
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_matcher": ["Matcher"],
        "_pairwise": ["pairwise"],
        "search._streaming": ["Matches"],
    },
)
