from . import kernels, oracle, threads
from ._file_search import check_output

__all__ = [
    "check_output",
    "kernels",
    "oracle",
    "threads",
]
