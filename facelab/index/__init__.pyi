from ._collection import Collection
from ._source import source_of
from .metadata._open import open_metadata
from .sharded._sharded import ShardedCollection
from .sharded._upkeep import repair, verify
from .stores._postgres import PostgresStore
from .stores._valkey import ValkeyStore

__all__ = [
    "Collection",
    "PostgresStore",
    "ShardedCollection",
    "ValkeyStore",
    "open_metadata",
    "repair",
    "source_of",
    "verify",
]
