"""What every store of vectors offers; `Collection`, `PostgresStore` and `ValkeyStore` keep it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from facelab.core.errors import BadInputError, FacelabError
from facelab.index._facts import Facts, make_facts
from facelab.index._results import Entry, Hits
from facelab.index._source import Source, check_source
from facelab.matching import Metric

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from numpy.typing import ArrayLike

T_co = TypeVar("T_co", covariant=True)


class StoreError(FacelabError):
    """A server refused or did not answer; the error says whether the call is not done or its fate is unknown."""


@runtime_checkable
class VectorStore(Protocol):
    """Vectors by id, with labels and payloads, searched exactly. Calls are all or nothing.

    `Collection.add` and its neighbours say what parameters mean and which errors are raised.
    """

    def add(
        self,
        vectors: ArrayLike,
        ids: Sequence[str] | None = None,
        *,
        labels: Sequence[str | None] | None = None,
        payloads: Sequence[Mapping[str, Any] | None] | None = None,
        source: Source | None = None,
    ) -> list[str]:
        """Add vectors under new ids and return the ids."""
        ...

    def upsert(
        self,
        vectors: ArrayLike,
        ids: Sequence[str],
        *,
        labels: Sequence[str | None] | None = None,
        payloads: Sequence[Mapping[str, Any] | None] | None = None,
        source: Source | None = None,
    ) -> int:
        """Add vectors or replace those of the same ids; return how many were replaced."""
        ...

    def delete(self, ids: Sequence[str], *, missing_ok: bool = False) -> int:
        """Delete vectors by id and return how many there were."""
        ...

    def get(self, name: str) -> Entry | None:
        """Return the entry of an id, None where there is none."""
        ...

    def search(self, queries: ArrayLike, k: int, *, source: Source | None = None) -> Hits:
        """Return the k nearest vectors of each query."""
        ...

    def search_within(
        self, queries: ArrayLike, threshold: float, *, source: Source | None = None
    ) -> Hits:
        """Return all vectors within a threshold of each query."""
        ...

    def __len__(self) -> int:
        """Return the number of vectors."""
        ...


class Leased(Protocol[T_co]):
    """A resource that is lent; `facelab.serving.Pool` gives such leases."""

    @property
    def value(self) -> T_co:
        """The resource."""
        ...


class Lender(Protocol[T_co]):
    """A pool: `facelab.serving.postgres_connections` and `valkey_clients` make such."""

    def acquire(
        self, who: str | None = None, *, deadline_s: float | None = None
    ) -> AbstractContextManager[Leased[T_co]]:
        """Return a lease as a context manager."""
        ...


def server_facts(name: str, dimension: int, metric: str, source: Source | None) -> Facts:
    """Return checked facts of a store on a server; servers keep float32."""
    return make_facts(
        name=name,
        shard="0",
        dimension=dimension,
        dtype="float32",
        metric=metric,
        source=source,
        namespace="",
        uid="",
    )


def facts_text(facts: Facts) -> str:
    """Return facts as JSON, to be stored with the vectors."""
    return json.dumps(facts.to_dict(), sort_keys=True)


def check_stored(facts: Facts, text: str) -> None:
    """Raise BadInputError where a store was created for vectors of another kind."""
    stored = json.loads(text)
    source = Source(**stored["source"]) if stored["source"] else None
    check_source(source, facts.source, facts.name)
    for what in ("dimension", "metric"):
        if stored[what] != getattr(facts, what):
            raise BadInputError(
                f"the store has a different {what}",
                where=facts.name,
                expected=stored[what],
                got=getattr(facts, what),
                fix="open it as it was created, or use another name",
            )


def check_threshold(metric: Metric, threshold: float) -> float:
    """Return a threshold of a metric. Raises BadInputError for one that is not."""
    import math

    number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool)
    good = number and math.isfinite(threshold)
    if good and metric is Metric.COSINE:
        good = -1 <= threshold <= 1
    elif good and not metric.is_similarity:
        good = threshold >= 0
    if not good:
        raise BadInputError(
            f"the threshold is not one of {metric}",
            got=repr(threshold),
            fix="Metric.from_cosine and Metric.to_cosine convert for unit vectors",
        )
    return float(threshold)
