from ._collection import Collection
from ._ids import image_id, vector_id
from ._results import Hits
from ._source import Source, source_of
from .metadata._contract import Outcome
from .metadata._local_etcd import local_etcd
from .metadata._open import open_metadata

__all__ = [
    "Collection",
    "Hits",
    "Outcome",
    "Source",
    "image_id",
    "local_etcd",
    "open_metadata",
    "source_of",
    "vector_id",
]
