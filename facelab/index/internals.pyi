from ._ids import image_id, vector_id
from ._results import Hits
from ._source import Source
from ._upkeep import difference, shards
from .histories._check import check_history
from .histories._operation import Operation, read_history, save_history
from .metadata._contract import Metadata, Outcome, Swap
from .metadata._local_etcd import local_etcd
from .stores._contract import VectorStore

__all__ = [
    "Hits",
    "Metadata",
    "Operation",
    "Outcome",
    "Source",
    "Swap",
    "VectorStore",
    "check_history",
    "difference",
    "image_id",
    "local_etcd",
    "read_history",
    "save_history",
    "shards",
    "vector_id",
]
