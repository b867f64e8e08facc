from . import kernels, oracle, threads
from ._cluster import search_cluster
from ._file_search import check_output

__all__ = [
    "check_output",
    "kernels",
    "oracle",
    "search_cluster",
    "threads",
]
