"""Matchers: distances of all pairs and exact top-k search, scalar against SIMD against BLAS, honestly.

Importing this is cheap: numba and the kernels load with the first call.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facelab.matching.matcher import Matcher
    from facelab.matching.pairs import pairwise
    from facelab.matching.search import Matches

_WHERE = {"pairwise": "pairs", "Matcher": "matcher", "Matches": "search"}
__all__ = ["Matcher", "Matches", "pairwise"]


def __getattr__(name: str):
    if name in _WHERE:
        value = getattr(importlib.import_module(f"facelab.matching.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
