from ._file_search import match_files
from ._files import open_vectors
from ._matcher import Matcher
from ._pairwise import pairwise
from ._prepared import Prepared
from ._types import Metric, SearchPolicy

__all__ = [
    "Matcher",
    "Metric",
    "Prepared",
    "SearchPolicy",
    "match_files",
    "open_vectors",
    "pairwise",
]
