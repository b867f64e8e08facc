"""Vectors in Valkey, which stores them; each client searches a copy in memory that follows the changes."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError, IntegrityError
from facelab.index._disk import applied
from facelab.index._ids import check_id
from facelab.index._log import Delete, Put
from facelab.index._results import Entry, Hits
from facelab.index._rows import Rows, check_distinct, read_info
from facelab.index._source import Source
from facelab.index._view import Active, Buffer, View, check_k, nearest, within
from facelab.index.stores._contract import check_stored, check_threshold, facts_text
from facelab.index.stores._server_store import ServerStore
from facelab.matching import Metric

if TYPE_CHECKING:
    import valkey  # noqa: F401  (the store is generic over its clients)
    from numpy.typing import ArrayLike

    Step = tuple[int, str, list[str], list[bytes]]
    """Version, "put" or "delete", ids, and the rows of a put."""

CHANGES = 1000
"""Changes that the server keeps for clients that follow; a client that is further behind reads everything."""
_WRITE = """
local facts, rows, version, changes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local kind, strict, n = ARGV[1], ARGV[2], tonumber(ARGV[3])
local known = 0
for i = 1, n do
  if redis.call('HEXISTS', rows, ARGV[3 + i]) == 1 then
    known = known + 1
    if kind == 'put' and strict == '1' then return {-1, ARGV[3 + i]} end
  elseif kind == 'delete' and strict == '1' then
    return {-1, ARGV[3 + i]}
  end
end
local now = redis.call('INCR', version)
local ids = {}
for i = 1, n do
  local id = ARGV[3 + i]
  if kind == 'put' then
    redis.call('HSET', rows, id, struct.pack('<I4I4', now, i) .. ARGV[3 + n + i])
  else
    redis.call('HDEL', rows, id)
  end
  ids[i] = id
end
redis.call('XADD', changes, 'MAXLEN', '=', ARGV[4 + 2 * n], now .. '-1', 'kind', kind, 'ids', cjson.encode(ids))
return {known, tostring(now)}
"""


class ValkeyStore(ServerStore["valkey.Valkey"]):
    """A store of vectors in Valkey. Answers are those of a `Collection`, bit by bit.

    How durable a write is depends on the server: without `appendonly yes` and `appendfsync always` a crash there
    loses what it had acknowledged.

    Parameters
    ----------
    pool : Lender of valkey clients
        `facelab.serving.valkey_clients(url, size=…)`.
    name, dimension, metric, source
        As for `PostgresStore`.

    Raises
    ------
    BadInputError
        The server holds vectors of another kind under this name.
    StoreError
        The server refused or did not answer.

    Examples
    --------
    >>> from facelab.serving.internals import valkey_clients
    >>> store = ValkeyStore(valkey_clients("valkey://localhost", size=4), "people", dimension=512, metric="cosine")
    """

    server = "Valkey"

    def _open(self) -> None:
        parts = ("facts", "rows", "version", "changes")
        self._keys = [f"facelab:{{{self.facts.name}}}:{k}" for k in parts]
        self._lock, self._version = threading.Lock(), 0
        self._view = self._empty()
        text = facts_text(self.facts)
        self._do(lambda c: c.set(self._keys[0], text, nx=True), write=True)
        check_stored(self.facts, self._do(lambda c: c.get(self._keys[0])).decode())

    def _empty(self) -> View:
        buffer = Buffer(self.facts.dimension, np.dtype(np.float32))
        return View((), Active(buffer, self.facts.metric, None))

    def _do(self, work: Any, *, write: bool = False) -> Any:
        import valkey

        try:
            with self._pool.acquire(f"index {self.facts.name}") as lease:
                return work(lease.value)
        except valkey.ValkeyError as e:
            lost = isinstance(e, (valkey.ConnectionError, valkey.TimeoutError)) and write
            raise self._failure(e, done_is_unknown=lost) from None

    def _write(self, kind: str, strict: bool, ids: Sequence[str], values: list[bytes]) -> int:
        values = values or [b""] * len(ids)
        words = [kind, "1" if strict else "0", len(ids), *ids, *values, CHANGES]
        found, what = self._do(lambda c: c.eval(_WRITE, 4, *self._keys, *words), write=True)
        if found < 0:
            there = "already" if kind == "put" else "not"
            raise BadInputError(
                f"an id is in the collection {there}" if kind == "put" else "an id is not there",
                where=self.facts.name,
                got=what.decode(),
                fix="use upsert to replace it" if kind == "put" else "pass missing_ok=True",
            )
        return int(found)

    def _put(self, rows: Rows, *, strict: bool) -> int:
        if not len(rows):
            return 0
        values = [
            struct.pack("<I", len(info)) + info + vector.tobytes()
            for info, vector in zip(rows.infos, rows.vectors)
        ]
        return self._write("put", strict, rows.ids, values)

    def add(
        self,
        vectors: ArrayLike,
        ids: Sequence[str] | None = None,
        *,
        labels: Sequence[str | None] | None = None,
        payloads: Sequence[Mapping[str, Any] | None] | None = None,
        source: Source | None = None,
    ) -> list[str]:
        """Add vectors under new ids, all or none, and return the ids; see `Collection.add`."""
        rows = self._rows(vectors, ids, labels, payloads, source)
        self._put(rows, strict=True)
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
        """Add vectors or replace those of the same ids; return how many were replaced."""
        return self._put(self._rows(vectors, ids, labels, payloads, source), strict=False)

    def delete(self, ids: Sequence[str], *, missing_ok: bool = False) -> int:
        """Delete vectors by id, all or none, and return how many there were."""
        names = [check_id(name) for name in ids]
        check_distinct(names)
        return self._write("delete", not missing_ok, names, []) if names else 0

    def get(self, name: str) -> Entry | None:
        """Return the entry of an id, None where there is none."""
        raw = self._do(lambda c: c.hget(self._keys[1], check_id(name)))
        if raw is None:
            return None
        _, info, vector = self._row(raw)
        label, payload = read_info(info)
        return Entry(name, vector.copy(), label, payload)

    def _row(self, raw: bytes) -> tuple[tuple[int, int], bytes, np.ndarray]:
        version, place, size = struct.unpack_from("<III", raw)
        vector = np.frombuffer(raw, np.float32, offset=12 + size) if len(raw) > 12 + size else None
        if vector is None or len(vector) != self.facts.dimension:
            raise IntegrityError(
                "a row in Valkey has the wrong form",
                where=self.facts.name,
                fix="look for another program that writes these keys",
            )
        return (version, place), raw[12 : 12 + size], vector

    def _current(self) -> View:
        """Return the view after all changes on the server."""
        with self._lock:
            steps = self._do(self._changes)
            if steps is None:
                self._reload()
                return self._view
            for version, kind, ids, raws in steps:
                self._apply(kind, ids, raws)
                self._version = version
            return self._view

    def _changes(self, client: Any) -> list[Step] | None:
        """Return the changes since the copy was made, or None where everything must be read again.

        A row is used for a change only where that very change wrote it: what was changed again meanwhile is read
        again, with everything else, in one transaction.
        """
        now = int(client.get(self._keys[2]) or 0)
        if now == self._version:
            return []
        if not self._version < now <= self._version + CHANGES // 2 or not self._version:
            return None
        found = client.xrange(self._keys[3], min=f"{self._version + 1}-0", max=f"{now}-1")
        steps: list[Step] = []
        for entry, fields in found:
            version, kind = int(entry.split(b"-")[0]), fields[b"kind"].decode()
            ids = json.loads(fields[b"ids"])
            raws = client.hmget(self._keys[1], ids) if kind == "put" else []
            if any(r is None or struct.unpack_from("<I", r)[0] != version for r in raws):
                return None
            steps.append((version, kind, ids, raws))
        complete = [s[0] for s in steps] == list(range(self._version + 1, now + 1))
        return steps if complete else None

    def _apply(self, kind: str, ids: list[str], raws: list[bytes]) -> None:
        if kind == "delete":
            self._view = applied(self._view, Delete(ids))
            return
        rows = [self._row(raw) for raw in raws]
        put = Rows(ids, [r[1] for r in rows], np.stack([r[2] for r in rows]))
        self._view = applied(self._view, Put(put))

    def _reload(self) -> None:
        def work(client: Any) -> Any:
            with client.pipeline(transaction=True) as pipe:
                return pipe.get(self._keys[2]).hgetall(self._keys[1]).execute()

        version, found = self._do(work)
        rows = sorted(((*self._row(raw), name.decode()) for name, raw in found.items()), key=_place)
        self._view, self._version = self._empty(), int(version or 0)
        if rows:
            put = Rows([r[3] for r in rows], [r[1] for r in rows], np.stack([r[2] for r in rows]))
            self._view = applied(self._view, Put(put))

    def search(self, queries: ArrayLike, k: int, *, source: Source | None = None) -> Hits:
        """Return the k nearest vectors of each query; see `Collection.search`."""
        asked, view = self._asked(queries, source)
        distances, numbers = nearest(view, asked, check_k(k), self.metric)
        return _hits(view, distances, list(numbers), self.metric)

    def search_within(
        self, queries: ArrayLike, threshold: float, *, source: Source | None = None
    ) -> Hits:
        """Return all vectors within a threshold of each query; see `Collection.search_within`."""
        asked, view = self._asked(queries, source)
        found = within(view, asked, check_threshold(self.metric, threshold), self.metric)
        return _hits(view, [d for d, _ in found], [n for _, n in found], self.metric)

    def _asked(self, queries: ArrayLike, source: Source | None) -> tuple[np.ndarray, View]:
        return self._queries(queries, source), self._current()

    def __len__(self) -> int:
        return int(self._do(lambda c: c.hlen(self._keys[1])))


def _place(row: tuple[Any, ...]) -> Any:
    return row[0]


def _hits(view: View, distances: Any, numbers: list[Any], metric: Metric) -> Hits:
    places = [[view.place(n) for n in row.tolist()] for row in numbers]
    ids = [[part.id_of(row) for part, row in mine] for mine in places]
    labels = [[read_info(part.info_of(row))[0] for part, row in mine] for mine in places]
    return Hits(ids, distances, labels, str(metric))
