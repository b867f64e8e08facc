from . import mirror, runtimes
from ._catalogue import ModelEntry, load_catalogue
from ._loading import available, load
from ._store import fetch, find, require, status

__all__ = [
    "ModelEntry",
    "available",
    "fetch",
    "find",
    "load",
    "load_catalogue",
    "mirror",
    "require",
    "runtimes",
    "status",
]
