"""What readers of a collection call: searches, entries, state. Each call sees one unchanging view."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.index import _disk as disk
from facelab.index._facts import Facts
from facelab.index._ids import check_id
from facelab.index._log import Log
from facelab.index._results import Entry, Hits, ShardState, Status
from facelab.index._rows import DTYPES, check_matrix, read_info
from facelab.index._source import Source, check_source
from facelab.index._view import Active, Part, View, check_k, nearest, within
from facelab.matching import Metric

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

FLUSH_ROWS = 8192


class Reading:
    """A collection that is read; `Writing` adds the rest."""

    def __init__(
        self, place: disk.Place, state: disk.State, log: Log | None, stack: contextlib.ExitStack
    ):
        self._place, self._state, self._log, self._stack = place, state, log, stack
        self._view, self._lock = state.view, threading.RLock()
        self._unsure = self._closed = False
        self._recovered = self._warning = ""
        self.flush_rows, self._patience, self._process = FLUSH_ROWS, 1, os.getpid()
        self.metric = Metric.of(place.facts.metric)

    def __len__(self) -> int:
        return self._view.live

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._view.find([name])[0] >= 0)

    def search(self, queries: ArrayLike, k: int, *, source: Source | None = None) -> Hits:
        """Return the k nearest vectors of each query, best first; all there are where there are fewer than k.

        The answers, distances bit by bit included, are those of a matcher that is built from the same vectors in the
        order in which they were added.

        Parameters
        ----------
        queries : (n, d) array of float32, float16 or int8
        k : int
        source : Source
            What the queries come from; needed where the collection has one.

        Raises
        ------
        BadInputError
            The queries do not fit, come from another source, or k is not a whole number from 1.
        """
        view, asked = self._asked(queries, source)
        distances, numbers = nearest(view, asked, check_k(k), self.metric)
        return self._hits(view, distances, list(numbers))

    def search_within(
        self, queries: ArrayLike, threshold: float, *, source: Source | None = None
    ) -> Hits:
        """Return all vectors within a threshold of each query, best first.

        Parameters
        ----------
        queries : (n, d) array of float32, float16 or int8
        threshold : float
            For "cosine" and "ip" the least similarity, for "l2" and "sqeuclidean" the largest distance.
            `facelab.matching.Metric.from_cosine` converts.
        source : Source
            As for `search`.

        Raises
        ------
        BadInputError
            The queries do not fit, or the threshold is not one of this metric.
        """
        view, asked = self._asked(queries, source)
        found = within(view, asked, threshold, self.metric)
        return self._hits(view, [d for d, _ in found], [n for _, n in found])

    def _asked(self, queries: ArrayLike, source: Source | None) -> tuple[View, NDArray[Any]]:
        self._check_open()
        facts = self._place.facts
        check_source(facts.source, source, self._place.root)
        array = queries if isinstance(queries, np.ndarray) else np.asarray(queries, np.float32)
        dtype = array.dtype.newbyteorder("=")
        wanted = dtype if dtype.name in DTYPES else self._place.dtype
        return self._view, check_matrix(array, facts.dimension, wanted, "the queries")

    def _hits(self, view: View, distances: Any, numbers: Sequence[NDArray[np.int64]]) -> Hits:
        known: dict[int, tuple[str, str | None]] = {}
        for number in set().union(*(n.tolist() for n in numbers)):
            part, row = view.place(number)
            known[number] = part.id_of(row), read_info(part.info_of(row))[0]
        ids = [[known[n][0] for n in row.tolist()] for row in numbers]
        labels = [[known[n][1] for n in row.tolist()] for row in numbers]
        return Hits(ids, distances, labels, str(self.metric))

    def get(self, name: str) -> Entry | None:
        """Return the entry of an id, None where there is none."""
        with self._lock:
            self._check_open()
            number = int(self._view.find([check_id(name)])[0])
            return None if number < 0 else _entry(*self._view.place(number))

    def items(self) -> Iterator[Entry]:
        """Yield all entries in the order in which they were added, as they are now."""
        self._check_open()
        return (_entry(part, row) for part, row in self._view.items())

    def refresh(self) -> int:
        """Let a reader see what was written since it opened; return the generation's number."""
        with self._lock:
            self._check_open()
            if self._log is None:
                self._state = disk.load(self._place)
                self._view = self._state.view
            return self._state.generation.number

    @property
    def path(self) -> Path:
        """The collection's folder."""
        return self._place.root

    @property
    def facts(self) -> Facts:
        """What the collection is and stays."""
        return self._place.facts

    def shard_state(self) -> ShardState:
        """Return the generation that searches see, and the version of its key."""
        pointer, facts = self._state.pointer, self._place.facts
        version = self._state.version
        return ShardState(facts.name, facts.shard, pointer.generation, version, pointer.live)

    def replaced(self) -> bool:
        """Return whether a newer generation than the one that searches see is current."""
        return disk.read_pointer(self._place)[1] != self._state.version

    def status(self) -> Status:
        """Return the collection's size and state."""
        view, state, facts = self._view, self._state, self._place.facts
        log = self._log.size if self._log is not None else state.replayed.whole
        return Status(
            name=facts.name,
            shard=facts.shard,
            dimension=facts.dimension,
            dtype=facts.dtype,
            metric=facts.metric,
            source=facts.source.to_dict() if facts.source else None,
            metadata=self._place.metadata.name,
            generation=state.generation.number,
            vectors=view.live,
            deleted=sum(len(p) - p.live for p in view.all),
            segments=len(view.parts),
            active=len(view.active),
            log_bytes=log,
            bytes=sum(p.segment.nbytes for p in view.parts),
            recovered=self._recovered,
            warning=self._warning,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise BadInputError("the collection is closed", fix="open it again")


def _entry(part: Part | Active, row: int) -> Entry:
    label, payload = read_info(part.info_of(row))
    return Entry(part.id_of(row), part.vector_of(row), label, payload)
