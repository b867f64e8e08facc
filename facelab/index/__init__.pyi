from ._collection import Collection
from ._ids import image_id, vector_id
from ._source import Source, source_of
from ._upkeep import difference, shards
from .histories._check import check_history
from .histories._operation import read_history
from .metadata._open import open_metadata
from .sharded._sharded import ShardedCollection
from .sharded._upkeep import repair, verify
from .stores._postgres import PostgresStore
from .stores._valkey import ValkeyStore

__all__ = [
    "Collection",
    "PostgresStore",
    "ShardedCollection",
    "Source",
    "ValkeyStore",
    "check_history",
    "difference",
    "image_id",
    "open_metadata",
    "read_history",
    "repair",
    "shards",
    "source_of",
    "vector_id",
    "verify",
]
