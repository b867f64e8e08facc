"""What the stores on servers share: the facts, a pool of connections, and the form of rows and queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from facelab.index._rows import Rows, check_matrix, make_rows
from facelab.index._source import Source, check_source
from facelab.index.stores._contract import Lender, StoreError, server_facts
from facelab.matching import Metric

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Connection = TypeVar("Connection")


class ServerStore(Generic[Connection]):
    """A named set of float32 vectors on a server, reached over lent connections."""

    server: str
    """The server's name in messages."""

    def __init__(
        self,
        pool: Lender[Connection],
        name: str,
        *,
        dimension: int,
        metric: str = "cosine",
        source: Source | None = None,
    ):
        self.facts = server_facts(name, dimension, metric, source)
        self.metric, self._pool = Metric.of(self.facts.metric), pool
        self._open()

    def _open(self) -> None:
        """Create what is not on the server yet, and check what is."""
        raise NotImplementedError

    def _failure(self, error: Exception, *, done_is_unknown: bool) -> StoreError:
        """Return the error for a call that the server refused."""
        fate = "whether the call is done is unknown" if done_is_unknown else "the call is not done"
        return StoreError(
            f"{self.server} refused: {fate}",
            where=self.facts.name,
            got=str(error).split("\n", 1)[0][:200] or type(error).__name__,
            fix="check the server, then look with get() and call again",
        )

    def _rows(self, vectors: Any, ids: Any, labels: Any, payloads: Any, source: Any) -> Rows:
        check_source(self.facts.source, source, self.facts.name)
        return make_rows(
            vectors,
            ids,
            labels,
            payloads,
            dimension=self.facts.dimension,
            dtype=np.dtype(np.float32),
            namespace="",
        )

    def _queries(self, queries: ArrayLike, source: Source | None) -> np.ndarray:
        check_source(self.facts.source, source, self.facts.name)
        return check_matrix(queries, self.facts.dimension, np.dtype(np.float32), "the queries")
