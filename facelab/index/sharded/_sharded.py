"""One collection in several shards: each id belongs to one shard, and a search asks all of them."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError, FacelabError, IntegrityError
from facelab.core.lifetime import Closing
from facelab.core.result import Result
from facelab.index._collection import Collection
from facelab.index._ids import check_id
from facelab.index._results import Entry, Hits, ShardState
from facelab.index._rows import Rows, check_distinct
from facelab.index._source import Source
from facelab.index._view import check_k
from facelab.index.metadata._contract import Metadata
from facelab.index.metadata._sqlite import SqliteMetadata
from facelab.index.sharded._layout import METADATA, Layout, check_shards, is_sharded
from facelab.index.sharded._making import check_alike, make
from facelab.index.sharded._merge import merged
from facelab.matching import Metric

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

LOOKS = 20
"""Times that a reader looks for a moment at which no shard was replaced while it opened them."""


class PartialWriteError(FacelabError):
    """A call reached some shards and not others; the error names them. Repeating it as an upsert is harmless."""


@dataclass(frozen=True)
class ShardedStatus(Result):
    """The state of a sharded collection; `shards` are the generations that searches see, one per shard."""

    name: str
    dimension: int
    dtype: str
    metric: str
    source: dict[str, str] | None
    metadata: str
    shards: list[ShardState]
    vectors: int
    deleted: int
    segments: int
    active: int
    log_bytes: int
    bytes: int
    recovered: str = ""
    warning: str = ""


class ShardedCollection(Closing):
    """A collection in several shards, each a `Collection` in its own folder, with one store of metadata.

    A hash of the id names its shard. Searches ask every shard. Their answers are those of one collection with the same
    vectors, except that equal distances are in the order of the shards. Readers see generations of all shards that were
    current at one moment. A call that touches several shards is checked as a whole before the first is written; each
    shard then takes its part whole or not at all. `PartialWriteError` names those that did. A search beside such a call
    may meet the new rows of one shard and not yet those of another.

    Make one with `ShardedCollection.create` or `ShardedCollection.open`.

    Attributes
    ----------
    metric : Metric
        How vectors are compared.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> folder = Path(tempfile.mkdtemp()) / "faces"
    >>> with ShardedCollection.create(folder, shards=3, dimension=4, metric="l2") as faces:
    ...     _ = faces.add(np.eye(4, dtype=np.float32), ids=["w", "x", "y", "z"])
    ...     faces.search(np.eye(4, dtype=np.float32)[2:3], 1).ids
    [['y']]
    >>> with ShardedCollection.open(folder, write=False) as faces:
    ...     len(faces), [s.generation for s in faces.versions()]
    (4, [1, 1, 1])
    """

    def __init__(
        self,
        layout: Layout,
        shards: Sequence[Collection],
        metadata: Metadata,
        stack: contextlib.ExitStack,
    ) -> None:
        self._layout, self._shards, self._metadata, self._stack = layout, shards, metadata, stack
        self._lock = (
            threading.RLock()
        )  # of calls that write: they are checked before the first shard is
        self.metric: Metric = shards[0].metric

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        shards: int,
        dimension: int,
        metric: str = "cosine",
        dtype: str = "float32",
        source: Source | None = None,
        name: str | None = None,
        namespace: str = "",
        metadata: Metadata | None = None,
        threads: int | None = None,
    ) -> ShardedCollection:
        """Create a collection of `shards` shards in a new folder and open it for writing.

        Parameters
        ----------
        path : path-like
            A folder that does not exist yet.
        shards : int
            1 to 256; the number stays what it is, since it decides where an id belongs.
        metadata : Metadata, optional
            Names the generations of all shards; one SQLite file in the folder by default.
        dimension, metric, dtype, source, name, namespace, threads
            As for `Collection.create`.

        Raises
        ------
        BadInputError
            The folder exists, or a value has the wrong form.
        PublishError
            The metadata name other shards of this name.
        """
        root, count = Path(path), check_shards(shards)
        if root.exists():
            raise BadInputError(
                "the folder exists already",
                where=root,
                expected="a new folder",
                fix="open the collection, or choose another name",
            )
        layout = Layout(root, root.resolve().name if name is None else name, count)
        facts: dict[str, Any] = {
            "dimension": dimension,
            "metric": metric,
            "dtype": dtype,
            "source": source,
            "namespace": namespace,
        }
        make(layout, metadata, facts)
        return cls.open(root, metadata=metadata, threads=threads)

    @staticmethod
    def is_at(path: str | os.PathLike[str]) -> bool:
        """Return whether a folder holds a sharded collection."""
        return is_sharded(Path(path))

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        metadata: Metadata | None = None,
        write: bool = True,
        metric: str | None = None,
        source: Source | None = None,
        threads: int | None = None,
    ) -> ShardedCollection:
        """Open all shards; parameters and errors are those of `Collection.open`."""
        layout = Layout.read(Path(path))
        meta = metadata or SqliteMetadata(layout.root / METADATA)
        options: dict[str, Any] = {"metric": metric, "source": source, "threads": threads}
        with contextlib.ExitStack() as stack:
            shards = [
                stack.enter_context(Collection.open(f, metadata=meta, write=write, **options))
                for f in layout.folders
            ]
            check_alike(layout, shards)
            opened = cls(layout, shards, meta, stack.pop_all())
        if not write:
            opened._at_one_moment()
        return opened

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._shard(name)

    @property
    def path(self) -> Path:
        """The collection's folder."""
        return self._layout.root

    def add(
        self,
        vectors: ArrayLike,
        ids: Sequence[str] | None = None,
        *,
        labels: Sequence[str | None] | None = None,
        payloads: Sequence[Mapping[str, Any] | None] | None = None,
        source: Source | None = None,
    ) -> list[str]:
        """Add vectors under new ids and return the ids; see `Collection.add`. Raises PartialWriteError too."""
        with self._lock:
            rows = self._shards[0].rows_of(vectors, ids, labels, payloads, source)
            for shard, part in self._parts(rows):
                shard.check_new(part, made=ids is None)
            self._put(rows)
        return list(rows.ids)

    def upsert(
        self,
        vectors: ArrayLike,
        ids: Sequence[str],
        *,
        labels: Sequence[str | None] | None = None,
        payloads: Sequence[Mapping[str, Any] | None] | None = None,
        source: Source | None = None,
    ) -> int:
        """Add or replace vectors; return how many were replaced. Raises PartialWriteError too."""
        with self._lock:
            return self._put(self._shards[0].rows_of(vectors, ids, labels, payloads, source))

    def delete(self, ids: Sequence[str], *, missing_ok: bool = False) -> int:
        """Delete vectors by id and return how many there were; see `Collection.delete`."""
        if isinstance(ids, (str, bytes)):
            raise BadInputError("ids must be a list", got=repr(ids)[:80], fix=f"[{ids!r}]")
        names = [check_id(name) for name in ids]
        check_distinct(names)
        where = self._layout.shard_of(names)
        with self._lock:
            absent = [n for n, s in zip(names, where) if n not in self._shards[s]]
            if absent and not missing_ok:
                raise BadInputError(
                    "an id is not in the collection",
                    where=self.path,
                    got=", ".join(absent[:5])[:200],
                    fix="check the id, or pass missing_ok=True",
                )
            parts = {int(s): _chosen(names, where == s) for s in np.unique(where)}
            return sum(
                self._each(
                    {
                        s: partial(self._shards[s].delete, mine, missing_ok=True)
                        for s, mine in parts.items()
                    }
                )
            )

    def get(self, name: str) -> Entry | None:
        """Return the entry of an id, None where there is none."""
        return self._shard(check_id(name)).get(name)

    def items(self) -> Iterator[Entry]:
        """Yield all entries, shard by shard."""
        for shard in self._shards:
            yield from shard.items()

    def search(self, queries: ArrayLike, k: int, *, source: Source | None = None) -> Hits:
        """Return the k nearest vectors of each query over all shards, best first; see `Collection.search`."""
        most = check_k(k)
        found = [shard.search(queries, most, source=source) for shard in self._shards]
        return merged(found, self.metric, most)

    def search_within(
        self, queries: ArrayLike, threshold: float, *, source: Source | None = None
    ) -> Hits:
        """Return all vectors within a threshold of each query, best first; see `Collection.search_within`."""
        found = [shard.search_within(queries, threshold, source=source) for shard in self._shards]
        return merged(found, self.metric, None)

    def versions(self) -> list[ShardState]:
        """Return the generations that searches see, one per shard, with the versions of their keys."""
        return [shard.shard_state() for shard in self._shards]

    def refresh(self) -> list[ShardState]:
        """Let a reader see what was written since it opened, in all shards as of one moment."""
        for shard in self._shards:
            shard.refresh()
        self._at_one_moment()
        return self.versions()

    def flush(self) -> list[int]:
        """Write what each log holds as its own generation and return their numbers."""
        return self._each({i: s.flush for i, s in enumerate(self._shards)})

    def compact(self) -> list[int]:
        """Write each shard into one segment and return the generations' numbers."""
        return self._each({i: s.compact for i, s in enumerate(self._shards)})

    def status(self) -> ShardedStatus:
        """Return the collection's size and state, summed over its shards."""
        states = [s.status() for s in self._shards]
        first = states[0]
        sums = ("vectors", "deleted", "segments", "active", "log_bytes", "bytes")
        told: dict[str, Any] = {
            field: "; ".join(
                f"shard {s.shard}: {text}" for s in states if (text := getattr(s, field))
            )
            for field in ("recovered", "warning")
        }
        figures: dict[str, Any] = {name: sum(getattr(s, name) for s in states) for name in sums}
        return ShardedStatus(
            self._layout.name,
            first.dimension,
            first.dtype,
            first.metric,
            first.source,
            first.metadata,
            self.versions(),
            **figures,
            **told,
        )

    def close(self) -> None:
        """Let go of all shards' files and writers' locks. Nothing is lost without it."""
        self._stack.close()

    def _shard(self, name: str) -> Collection:
        return self._shards[int(self._layout.shard_of([name])[0])]

    def _parts(self, rows: Rows) -> Iterator[tuple[Collection, Rows]]:
        where = self._layout.shard_of(rows.ids)
        for s in np.unique(where):
            mine = where == s
            part = Rows(_chosen(rows.ids, mine), _chosen(rows.infos, mine), rows.vectors[mine])
            yield self._shards[int(s)], part

    def _put(self, rows: Rows) -> int:
        calls = {int(s.facts.shard): partial(s.put, part) for s, part in self._parts(rows)}
        return sum(self._each(calls))

    def _each(self, calls: Mapping[int, Any]) -> list[Any]:
        """Make one call per shard; where one fails after others were done, say which."""
        done: dict[int, Any] = {}
        for shard, call in calls.items():
            try:
                done[shard] = call()
            except FacelabError as e:
                if not done:
                    raise
                raise PartialWriteError(
                    f"shard {shard} failed after others were written: {e.what}",
                    where=self.path,
                    expected=f"shards {_listed(calls)}",
                    got=f"done: {_listed(done)}; {e.got or 'not done'}",
                    fix="put the disk right and repeat the call with upsert, or delete with missing_ok=True",
                ) from e
        return list(done.values())

    def _at_one_moment(self) -> None:
        """Open shards again until none was replaced between the first look and the last.

        Then all generations that were read were current when the last shard had been opened and the first was not
        yet looked at again.
        """
        for _ in range(LOOKS):
            moved = [shard for shard in self._shards if shard.replaced()]
            if not moved:
                return
            for shard in moved:
                shard.refresh()
        raise IntegrityError(
            "the shards were replaced faster than they could be opened",
            where=self.path,
            got=f"{LOOKS} looks",
            fix="open the collection again while fewer generations are written",
        )


def _chosen(values: Sequence[Any], mine: np.ndarray) -> list[Any]:
    return [v for v, m in zip(values, mine) if m]


def _listed(shards: Any) -> str:
    return ", ".join(map(str, shards)) or "none"
