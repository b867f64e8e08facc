from ._results import Hits
from .histories._operation import Operation, save_history
from .metadata._contract import Metadata, Outcome, Swap
from .metadata._local_etcd import local_etcd
from .stores._contract import VectorStore

__all__ = [
    "Hits",
    "Metadata",
    "Operation",
    "Outcome",
    "Swap",
    "VectorStore",
    "local_etcd",
    "save_history",
]
