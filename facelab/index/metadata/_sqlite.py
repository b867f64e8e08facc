"""Metadata in a SQLite file: the default, for one machine. Writers may be killed at any time."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from facelab.core.errors import IntegrityError
from facelab.index.metadata._contract import (
    Metadata,
    Outcome,
    Swap,
    Versioned,
    check_key,
    check_value,
)
from facelab.index.metadata._settle import UnreachableError

_TABLES = """
create table if not exists facelab_metadata (key text primary key, value blob not null, version integer not null);
create table if not exists facelab_revision (one integer primary key check (one = 1), revision integer not null);
insert or ignore into facelab_revision values (1, 0);
"""


class SqliteMetadata(Metadata):
    """Metadata in one SQLite file, shared by processes of one machine.

    Each call opens the file, so that an object survives a fork and holds no lock between calls. A commit reaches the
    disk before it returns (rollback journal, `synchronous=EXTRA`).

    Parameters
    ----------
    path : path-like
        The file; it is made on the first write.
    busy_s : float
        How long to wait for another writer, seconds.

    Examples
    --------
    >>> import tempfile
    >>> meta = SqliteMetadata(Path(tempfile.mkdtemp()) / "m.sqlite")
    >>> first = meta.swap("faces/0", None, b"one")
    >>> first.outcome.value, meta.swap("faces/0", None, b"two").outcome.value, meta.get("faces/0").value
    ('done', 'not done', b'one')
    """

    name = "sqlite"

    def __init__(self, path: str | os.PathLike[str], *, busy_s: float = 10.0):
        self.path, self.busy_s = Path(path), busy_s

    @contextlib.contextmanager
    def _opened(self, *, write: bool) -> Iterator[sqlite3.Connection]:
        mode = "rwc" if write else "rw"
        connection = sqlite3.connect(
            f"file:{_quoted(self.path.absolute())}?mode={mode}",
            uri=True,
            timeout=self.busy_s,
            isolation_level=None,
        )
        try:
            if write:
                connection.execute("pragma synchronous=extra")
            yield connection
        finally:
            connection.close()

    def get(self, key: str) -> Versioned | None:
        """Return the value and version of a key; see `Metadata.get`."""
        row = self._read(
            "select value, version from facelab_metadata where key = ?", (check_key(key),)
        )
        return Versioned(bytes(row[0][0]), int(row[0][1])) if row else None

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that begin with a prefix, sorted."""
        rows = self._read("select key from facelab_metadata order by key", ())
        return [str(key) for (key,) in rows if str(key).startswith(prefix)]

    def _read(self, statement: str, values: tuple[str, ...]) -> list[tuple]:
        if not self.path.exists():
            return []
        try:
            with self._opened(write=False) as connection:
                return connection.execute(statement, values).fetchall()
        except sqlite3.OperationalError as e:
            if "no such table" in str(e):
                return []
            raise self._unreachable(e) from None
        except sqlite3.DatabaseError as e:
            raise self._damaged(e) from None

    def swap(self, key: str, expected: int | None, value: bytes) -> Swap:
        """Replace a value if its version is still `expected`; see `Metadata.swap`."""
        check_key(key), check_value(value)
        committing = False
        try:
            with self._opened(write=True) as connection:
                _make_tables(connection)
                connection.execute("begin immediate")
                row = connection.execute(
                    "select version from facelab_metadata where key = ?", (key,)
                ).fetchone()
                if (row[0] if row else None) != expected:
                    connection.execute("rollback")
                    return Swap(Outcome.NOT_DONE, compared=True, reason="another version is there")
                version = _next_revision(connection)
                connection.execute(
                    "insert into facelab_metadata values (?, ?, ?) on conflict (key) do update "
                    "set value = excluded.value, version = excluded.version",
                    (key, value, version),
                )
                committing = True
                connection.execute("commit")
                return Swap(Outcome.DONE, version)
        except sqlite3.OperationalError as e:
            # locked, read-only or a full disk; a commit that failed may or may not have reached the disk
            return Swap(Outcome.UNKNOWN if committing else Outcome.NOT_DONE, reason=str(e)[:200])
        except sqlite3.DatabaseError as e:
            raise self._damaged(e) from None

    def _unreachable(self, e: Exception) -> UnreachableError:
        return UnreachableError(
            "the metadata cannot be read",
            where=self.path,
            got=str(e)[:200],
            fix="check who may read the file, and whether another process holds its lock",
        )

    def _damaged(self, e: Exception) -> IntegrityError:
        return IntegrityError(
            "the metadata file is damaged",
            where=self.path,
            expected="a SQLite file of facelab",
            got=str(e)[:200],
            fix="move it away, then: facelab index repair",
        )


def _make_tables(connection: sqlite3.Connection) -> None:
    known = connection.execute(
        "select count(*) from sqlite_master where name in ('facelab_metadata', 'facelab_revision')"
    ).fetchone()[0]
    if known < 2:
        connection.executescript(f"begin immediate; {_TABLES} commit;")


def _next_revision(connection: sqlite3.Connection) -> int:
    connection.execute("update facelab_revision set revision = revision + 1")
    return int(connection.execute("select revision from facelab_revision").fetchone()[0])


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path))
