"""Matchers: distances of all pairs and exact top-k search, scalar against SIMD against BLAS.

Importing this is cheap: numba and the kernels load with the first call.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from facelab.matching import kernels, oracle, threads
    from facelab.matching._cluster import search_cluster
    from facelab.matching._file_search import FileSearch, check_output, match_files
    from facelab.matching._files import open_vectors
    from facelab.matching._matcher import Matcher
    from facelab.matching._pairwise import pairwise
    from facelab.matching._results import Matches, RangeMatches
    from facelab.matching._types import Metric, SearchPolicy

__all__ = [
    "FileSearch",
    "Matcher",
    "Matches",
    "Metric",
    "RangeMatches",
    "SearchPolicy",
    "check_output",
    "kernels",
    "match_files",
    "open_vectors",
    "oracle",
    "pairwise",
    "search_cluster",
    "threads",
]
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submodules={"kernels", "oracle", "threads"},
    submod_attrs={
        "_cluster": ["search_cluster"],
        "_file_search": ["FileSearch", "check_output", "match_files"],
        "_files": ["open_vectors"],
        "_matcher": ["Matcher"],
        "_pairwise": ["pairwise"],
        "_results": ["Matches", "RangeMatches"],
        "_types": ["Metric", "SearchPolicy"],
    },
)
