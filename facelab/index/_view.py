"""What a search sees: an unchanging picture of a collection, made again by each write and shared by all readers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.index._rows import Rows
from facelab.index._segment import Segment, id_keys
from facelab.matching import Matcher, Metric

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Found = tuple[NDArray[np.float32], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Part:
    """A segment and which of its rows were deleted since it was written."""

    segment: Segment
    deleted: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.segment)

    @cached_property
    def live(self) -> int:
        """Rows that are not deleted."""
        return len(self) - (0 if self.deleted is None else int(self.deleted.sum()))

    @property
    def matcher(self) -> Matcher:
        """What searches the rows."""
        return self.segment.matcher

    def without(self, rows: NDArray[np.int64]) -> Part:
        """Return the part with more rows deleted."""
        if not len(rows):
            return self
        deleted = np.zeros(len(self), bool) if self.deleted is None else self.deleted.copy()
        deleted[rows] = True
        return Part(self.segment, deleted)

    def live_rows(self) -> NDArray[np.int64]:
        """Return the numbers of the rows that are not deleted."""
        return np.arange(len(self)) if self.deleted is None else np.flatnonzero(~self.deleted)

    def id_of(self, row: int) -> str:
        """Return the id of a row."""
        return self.segment.id_of(row)

    def info_of(self, row: int) -> bytes:
        """Return a row's label and payload as JSON bytes."""
        return self.segment.info_of(row)

    def vector_of(self, row: int) -> NDArray[Any]:
        """Return a copy of a row's vector."""
        return self.segment.vectors[row].copy()


class Buffer:
    """Rows since the last generation. Rows are only appended, so that older views stay what they were."""

    def __init__(self, dimension: int, dtype: np.dtype[Any]):
        self.ids: list[str] = []
        self.infos: list[bytes] = []
        self.places: dict[str, int] = {}
        self._vectors = np.empty((64, dimension), dtype)

    def reserve(self, count: int) -> None:
        """Make room for more rows: what may run out of memory happens before anything is logged."""
        wanted = len(self.ids) + count
        if wanted > len(self._vectors):
            larger = np.empty(
                (max(wanted, 2 * len(self._vectors)), *self._vectors.shape[1:]), self._vectors.dtype
            )
            larger[: len(self.ids)] = self._vectors[: len(self.ids)]
            self._vectors = larger

    def append(self, rows: Rows) -> None:
        """Append rows whose ids have no live row here."""
        first = len(self.ids)
        self.reserve(len(rows))
        self._vectors[first : first + len(rows)] = rows.vectors
        self.ids += rows.ids
        self.infos += rows.infos
        self.places.update(zip(rows.ids, range(first, first + len(rows))))

    def vectors(self, count: int) -> NDArray[Any]:
        """Return the first rows, without copying them."""
        return self._vectors[:count]


@dataclass(frozen=True, eq=False)
class Active:
    """The first `count` rows of a buffer, and which of them were deleted."""

    buffer: Buffer
    metric: str
    threads: int | None
    count: int = 0
    deleted: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return self.count

    @cached_property
    def live(self) -> int:
        """Rows that are not deleted."""
        return self.count - (0 if self.deleted is None else int(self.deleted.sum()))

    @cached_property
    def matcher(self) -> Matcher:
        """What searches the rows; they are few, so codes would cost more than they save."""
        return Matcher(self.buffer.vectors(self.count), self.metric, "exhaustive", self.threads)

    def with_rows(self, count: int, deleted: NDArray[np.int64]) -> Active:
        """Return the buffer's first `count` rows with more of the earlier ones deleted."""
        marks = np.zeros(count, bool)
        if self.deleted is not None:
            marks[: self.count] = self.deleted
        marks[deleted] = True
        return replace(self, count=count, deleted=marks if marks.any() else None)

    def live_rows(self) -> NDArray[np.int64]:
        """Return the numbers of the rows that are not deleted."""
        return np.arange(self.count) if self.deleted is None else np.flatnonzero(~self.deleted)

    def id_of(self, row: int) -> str:
        """Return the id of a row."""
        return self.buffer.ids[row]

    def info_of(self, row: int) -> bytes:
        """Return a row's label and payload as JSON bytes."""
        return self.buffer.infos[row]

    def vector_of(self, row: int) -> NDArray[Any]:
        """Return a copy of a row's vector."""
        return self.buffer.vectors(self.count)[row].copy()

    def rows(self, keep: NDArray[np.int64]) -> Rows:
        """Return some rows, in order, as they were put."""
        ids = [self.buffer.ids[r] for r in keep]
        infos = [self.buffer.infos[r] for r in keep]
        return Rows(ids, infos, self.buffer.vectors(self.count)[keep])


@dataclass(frozen=True, eq=False)
class View:
    """Parts in the order in which their rows were added, the active rows last."""

    parts: tuple[Part, ...]
    active: Active

    @cached_property
    def live(self) -> int:
        """Vectors that a search can find."""
        return sum(p.live for p in self.all)

    @property
    def all(self) -> tuple[Part | Active, ...]:
        """The parts and the active rows."""
        return (*self.parts, self.active)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The number of the first row of each of `all`."""
        return np.cumsum([0, *(len(p) for p in self.all)])

    def place(self, number: int) -> tuple[Part | Active, int]:
        """Return the part of a row number, and the row within it."""
        which = int(np.searchsorted(self.starts, number, "right")) - 1
        return self.all[which], number - int(self.starts[which])

    def find(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return the row number of each id, -1 where there is no live row of it."""
        found = np.full(len(names), -1, np.int64)
        keys = id_keys(names)
        for part, start in zip(self.parts, self.starts):
            rows = part.segment.find(names, keys)
            if part.deleted is not None:
                rows[(rows >= 0) & part.deleted[rows]] = -1
            found = np.where(rows >= 0, rows + start, found)
        start, deleted = int(self.starts[-2]), self.active.deleted
        for i, name in enumerate(names):
            row = self.active.buffer.places.get(name, -1)
            if 0 <= row < self.active.count and not (deleted is not None and deleted[row]):
                found[i] = start + row
        return found

    def changed(self, numbers: NDArray[np.int64], added: int) -> View:
        """Return the view without the rows of these numbers and with `added` more rows of the buffer."""
        parts = []
        for part, first in zip(self.parts, self.starts):
            mine = numbers[(numbers >= first) & (numbers < first + len(part))] - first
            parts.append(part.without(mine))
        first = int(self.starts[-2])
        mine = numbers[numbers >= first] - first
        return View(tuple(parts), self.active.with_rows(self.active.count + added, mine))

    def items(self) -> Iterator[tuple[Part | Active, int]]:
        """Yield each live row in the order in which it was added."""
        for part in self.all:
            for row in part.live_rows():
                yield part, int(row)


def nearest(view: View, queries: NDArray[Any], k: int, metric: Metric) -> Found:
    """Return (distances, row numbers) of the k nearest live rows, equal distances by the order of adding."""
    k = min(k, view.live)
    lists = [
        _nearest_live(part, queries, min(k, part.live), int(start))
        for part, start in zip(view.all, view.starts)
        if part.live
    ]
    if not lists:
        return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    distances = np.concatenate([d for d, _ in lists], axis=1)
    numbers = np.concatenate([n for _, n in lists], axis=1)
    keys = -distances if metric is Metric.IP else distances
    order = np.lexsort((numbers, keys), axis=1)[:, :k]
    return np.take_along_axis(distances, order, 1), np.take_along_axis(numbers, order, 1)


def _nearest_live(part: Part | Active, queries: NDArray[Any], k: int, start: int) -> Found:
    """Search a part for its k nearest live rows: a few more are asked for, and more again where that was too few."""
    distances = np.empty((len(queries), k), np.float32)
    rows = np.empty((len(queries), k), np.int64)
    dead, left = len(part) - part.live, np.arange(len(queries))
    ask = k if not dead else min(len(part), k + 2 + 2 * k * dead // len(part))
    while len(left):
        found = part.matcher.search(queries[left], ask)
        alive = np.ones(found.ids.shape, bool) if part.deleted is None else ~part.deleted[found.ids]
        enough = alive.sum(axis=1) >= k
        # a stable sort on "is dead" moves the live ones to the front in their order
        order = np.argsort(~alive[enough], axis=1, kind="stable")[:, :k]
        distances[left[enough]] = np.take_along_axis(found.distances[enough], order, 1)
        rows[left[enough]] = np.take_along_axis(found.ids[enough], order, 1)
        left, ask = left[~enough], min(len(part), 4 * ask)
    return distances, rows + start


def within(view: View, queries: NDArray[Any], threshold: float, metric: Metric) -> list[Found]:
    """Return per query (distances, row numbers) of all live rows within a threshold, best first."""
    lists: list[list[Found]] = [[] for _ in queries]
    for part, start in zip(view.all, view.starts):
        if not part.live:
            continue
        for q, (rows, distances) in enumerate(part.matcher.range_search(queries, threshold)):
            alive = slice(None) if part.deleted is None else ~part.deleted[rows]
            lists[q].append((distances[alive], rows[alive] + start))
    return [_sorted(found, metric) for found in lists]


def _sorted(found: list[Found], metric: Metric) -> Found:
    if not found:
        return np.empty(0, np.float32), np.empty(0, np.int64)
    distances, numbers = (np.concatenate(x) for x in zip(*found))
    order = np.lexsort((numbers, -distances if metric is Metric.IP else distances))
    return distances[order], numbers[order]


def check_k(k: Any) -> int:
    """Return k as an integer from 1. Raises BadInputError."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise BadInputError("k must be an integer from 1", got=repr(k), fix="k=1 finds the nearest")
    return int(k)
