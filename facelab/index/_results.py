"""What a collection answers: hits of a search, one entry, and its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelab.core.result import Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Hits(Result):
    """The nearest vectors of each query, best first.

    Attributes
    ----------
    ids : list of list of str
        Per query; equal distances are in the order in which the vectors were added.
    distances : (n, k) float32, or a list of (t,) float32 for a search by threshold
        L2, squared L2, 1 - cosine, or the inner product (largest first).
    labels : list of list of (str or None)
    metric : str

    Examples
    --------
    >>> import numpy as np
    >>> Hits([["a"]], np.zeros((1, 1), np.float32), [["anna"]], "cosine").rows()
    [{'query': 0, 'rank': 1, 'id': 'a', 'label': 'anna', 'distance': 0.0}]
    """

    ids: list[list[str]]
    distances: NDArray[np.float32] | Sequence[NDArray[np.float32]]
    labels: list[list[str | None]]
    metric: str

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per hit: query, rank (from 1), id, label, distance."""
        return [
            {"query": q, "rank": rank, "id": name, "label": label, "distance": float(distance)}
            for q, (names, labels) in enumerate(zip(self.ids, self.labels))
            for rank, (name, label, distance) in enumerate(
                zip(names, labels, self.distances[q]), start=1
            )
        ]


@dataclass(frozen=True, eq=False)
class Entry(Result):
    """One vector of a collection: its id, numbers, label and payload."""

    id: str
    vector: NDArray[Any]
    label: str | None
    payload: dict[str, Any] | None


@dataclass(frozen=True)
class Status(Result):
    """The state of a collection.

    Attributes
    ----------
    vectors, deleted : int
        Vectors that a search finds, and rows that are only marked as deleted.
    segments, active : int
        Segments on disk, and rows since the last generation.
    log_bytes, bytes : int
        Size of the log, and of all segments.
    recovered : str
        What opening found and put right, or nothing.
    warning : str
        Why the last generation could not be written, or nothing.
    """

    name: str
    shard: str
    dimension: int
    dtype: str
    metric: str
    source: dict[str, str] | None
    metadata: str
    generation: int
    vectors: int
    deleted: int
    segments: int
    active: int
    log_bytes: int
    bytes: int
    recovered: str = ""
    warning: str = ""


@dataclass(frozen=True)
class ShardState(Result):
    """One shard as the metadata name it: generation, version of the key, and vectors at that generation."""

    name: str
    shard: str
    generation: int
    version: int
    vectors: int
