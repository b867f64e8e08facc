from ._collection import Collection
from ._ids import image_id, vector_id
from ._results import Hits
from ._source import Source, source_of
from ._upkeep import difference, repair, shards, verify
from .histories._check import check_history
from .histories._operation import Operation, read_history, save_history
from .metadata._contract import Metadata, Outcome, Swap
from .metadata._local_etcd import local_etcd
from .metadata._open import open_metadata
from .stores._contract import VectorStore
from .stores._postgres import PostgresStore
from .stores._valkey import ValkeyStore

__all__ = [
    "Collection",
    "Hits",
    "Metadata",
    "Operation",
    "Outcome",
    "PostgresStore",
    "Source",
    "Swap",
    "ValkeyStore",
    "VectorStore",
    "check_history",
    "difference",
    "image_id",
    "local_etcd",
    "open_metadata",
    "read_history",
    "repair",
    "save_history",
    "shards",
    "source_of",
    "vector_id",
    "verify",
]
