from . import kernels, oracle, threads
from ._cluster import search_cluster
from ._file_search import FileSearch, check_output, match_files
from ._files import open_vectors
from ._matcher import Matcher
from ._pairwise import pairwise
from ._prepared import Prepared
from ._results import Matches, RangeMatches
from ._types import Metric, SearchPolicy

__all__ = [
    "FileSearch",
    "Matcher",
    "Matches",
    "Metric",
    "Prepared",
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
