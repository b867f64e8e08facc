"""Vectors in PostgreSQL with pgvector; the server searches, exactly, without an approximate index."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from facelab.core.errors import BadInputError
from facelab.index._ids import check_id
from facelab.index._results import Entry, Hits
from facelab.index._rows import check_distinct, read_info
from facelab.index._source import Source
from facelab.index._view import check_k
from facelab.index.stores._contract import check_stored, check_threshold, facts_text
from facelab.index.stores._server_store import ServerStore
from facelab.matching import Metric

if TYPE_CHECKING:
    import psycopg
    from numpy.typing import ArrayLike

_OPERATORS = {Metric.COSINE: "<=>", Metric.L2: "<->", Metric.SQEUCLIDEAN: "<->", Metric.IP: "<#>"}
_KNOWN: WeakSet[Any] = WeakSet()
"""Connections that know the type `vector`."""


class PostgresStore(ServerStore["psycopg.Connection"]):
    """A store of vectors in one table. Distances are pgvector's: float32 sums, which differ in their last digits.

    Parameters
    ----------
    pool : Lender of psycopg connections
        `facelab.serving.postgres_connections(dsn, size=…)`.
    name : str
        The table is named after it.
    dimension : int
        1 to 16 000.
    metric : str
        As for `Collection.create`; a table that was made with another is refused.
    source : Source, optional
        As for `Collection.create`.

    Raises
    ------
    BadInputError
        The table holds vectors of another kind.
    StoreError
        The server refused; pgvector must be installed there.

    Examples
    --------
    >>> from facelab.serving import postgres_connections
    >>> pool = postgres_connections("postgresql:///faces", size=4)
    >>> store = PostgresStore(pool, "people", dimension=512, metric="cosine")
    """

    server = "PostgreSQL"

    def _open(self) -> None:
        digest = hashlib.blake2b(self.facts.name.encode(), digest_size=6).hexdigest()
        self.table = f"facelab_{digest}"
        self._distance = _distance(self.metric)
        self._do(self._create, ready=False)

    def _create(self, connection: Any) -> None:
        connection.execute("create extension if not exists vector")
        connection.execute(
            "create table if not exists facelab_stores (name text primary key, facts text not null)"
        )
        connection.execute(
            "insert into facelab_stores values (%s, %s) on conflict do nothing",
            (self.facts.name, facts_text(self.facts)),
        )
        row = connection.execute(
            "select facts from facelab_stores where name = %s", (self.facts.name,)
        ).fetchone()
        check_stored(self.facts, _text(row[0]) if row else "")
        connection.execute(
            f"create table if not exists {self.table} (id text primary key, seq bigserial not null, "
            f"info bytea not null, embedding vector({self.facts.dimension}) not null)"
        )

    def _do(self, work: Any, *, read: bool = False, ready: bool = True) -> Any:
        """Run work in one transaction on a lent connection."""
        import psycopg

        committing = False
        try:
            with self._pool.acquire(f"index {self.facts.name}") as lease:
                connection = lease.value
                with connection.transaction():
                    if read:
                        connection.execute("set transaction isolation level repeatable read")
                    if ready:
                        _know_vectors(connection)
                    found = work(connection)
                    committing = not read
                return found
        except psycopg.errors.UniqueViolation as e:
            raise BadInputError(
                "an id is in the collection already",
                where=self.facts.name,
                got=str(e.diag.message_detail)[:200],
                fix="use upsert to replace it, or another id",
            ) from None
        except psycopg.Error as e:
            raise self._failure(e, done_is_unknown=committing) from None

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

        def work(connection: Any) -> None:
            with (
                connection.cursor() as cursor,
                cursor.copy(
                    f"copy {self.table} (id, info, embedding) from stdin with (format binary)"
                ) as copy,
            ):
                copy.set_types(["text", "bytea", "vector"])
                for name, info, vector in zip(rows.ids, rows.infos, rows.vectors):
                    copy.write_row((name, info, vector))

        if len(rows):
            self._do(work)
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
        rows = self._rows(vectors, ids, labels, payloads, source)

        def work(connection: Any) -> int:
            gone = connection.execute(
                f"delete from {self.table} where id = any(%s)", (rows.ids,)
            ).rowcount
            with connection.cursor() as cursor:
                cursor.executemany(
                    f"insert into {self.table} (id, info, embedding) values (%s, %s, %s)",
                    list(zip(rows.ids, rows.infos, rows.vectors)),
                )
            return gone

        return int(self._do(work)) if len(rows) else 0

    def delete(self, ids: Sequence[str], *, missing_ok: bool = False) -> int:
        """Delete vectors by id, all or none, and return how many there were."""
        names = [check_id(name) for name in ids]
        check_distinct(names)

        def work(connection: Any) -> int:
            count = connection.execute(
                f"delete from {self.table} where id = any(%s)", (names,)
            ).rowcount
            if count < len(names) and not missing_ok:
                raise BadInputError(
                    "an id is not in the collection",
                    where=self.facts.name,
                    expected=f"{len(names)} ids",
                    got=f"{count} of them",
                    fix="check the ids, or pass missing_ok=True",
                )
            return count

        return int(self._do(work)) if names else 0

    def get(self, name: str) -> Entry | None:
        """Return the entry of an id, None where there is none."""
        check_id(name)

        def work(connection: Any) -> Any:
            return connection.execute(
                f"select info, embedding from {self.table} where id = %s", (name,)
            ).fetchone()

        row = self._do(work, read=True)
        if row is None:
            return None
        label, payload = read_info(bytes(row[0]))
        return Entry(name, _numbers(row[1]), label, payload)

    def search(self, queries: ArrayLike, k: int, *, source: Source | None = None) -> Hits:
        """Return the k nearest vectors of each query; see `Collection.search`."""
        asked, count = self._queries(queries, source), check_k(k)
        statement = (
            f"select id, info, d from (select id, info, seq, {self._distance} as d "
            f"from {self.table}) x order by d, seq limit {count}"
        )
        rows = self._do(lambda c: [c.execute(statement, (q,)).fetchall() for q in asked], read=True)
        hits = self._hits(rows)
        width = len(hits.distances[0]) if len(asked) else 0
        table = np.array(list(hits.distances), np.float32).reshape(len(asked), width)
        return Hits(hits.ids, table, hits.labels, hits.metric)

    def search_within(
        self, queries: ArrayLike, threshold: float, *, source: Source | None = None
    ) -> Hits:
        """Return all vectors within a threshold of each query; see `Collection.search_within`."""
        asked, t = self._queries(queries, source), check_threshold(self.metric, threshold)
        limit = {Metric.COSINE: 1 - t, Metric.IP: -t}.get(self.metric, t)
        statement = (
            f"select id, info, d from (select id, info, seq, {self._distance} as d "
            f"from {self.table}) x where d <= %s order by d, seq"
        )
        rows = self._do(
            lambda c: [c.execute(statement, (q, limit)).fetchall() for q in asked], read=True
        )
        return self._hits(rows)

    def _hits(self, rows: list[list[tuple[str, bytes, float]]]) -> Hits:
        sign = -1 if self.metric is Metric.IP else 1
        return Hits(
            [[_text(r[0]) for r in mine] for mine in rows],
            [np.array([sign * r[2] for r in mine], np.float32) for mine in rows],
            [[read_info(bytes(r[1]))[0] for r in mine] for mine in rows],
            str(self.metric),
        )

    def __len__(self) -> int:
        return int(
            self._do(lambda c: c.execute(f"select count(*) from {self.table}").fetchone()[0])
        )


def _distance(metric: Metric) -> str:
    """Return the SQL of a distance that grows; the cosine with a zero vector is NaN there and 1 here."""
    plain = f"(embedding {_OPERATORS[metric]} %s)"
    if metric is Metric.COSINE:
        return f"coalesce(nullif({plain}, 'NaN'), 1)"
    if metric is Metric.SQEUCLIDEAN:
        return f"power({plain}, 2)"
    return plain


def _know_vectors(connection: psycopg.Connection) -> None:
    if connection not in _KNOWN:
        from pgvector.psycopg import register_vector

        register_vector(connection)
        _KNOWN.add(connection)


def _text(value: str | bytes) -> str:
    """Return a text. A database in SQL_ASCII knows no encoding, and psycopg gives its texts as bytes."""
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _numbers(value: Any) -> np.ndarray:
    return np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value, np.float32)
