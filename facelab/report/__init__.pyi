from . import style
from ._index import write_index

__all__ = [
    "style",
    "write_index",
]
