from . import runtimes
from ._catalogue import load_catalogue
from ._loading import available, load
from ._store import fetch, find, status

__all__ = [
    "available",
    "fetch",
    "find",
    "load",
    "load_catalogue",
    "runtimes",
    "status",
]
