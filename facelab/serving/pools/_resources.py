"""Pools of what a device lends out: ONNX Runtime sessions, PostgreSQL connections, Valkey clients."""

from __future__ import annotations

import os
import selectors
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from facelab.core.errors import UnsupportedError
from facelab.serving.pools._pool import Pool
from facelab.zoo.runtimes import Model, open_model

if TYPE_CHECKING:
    import psycopg
    import valkey


def onnx_sessions(
    path: str | os.PathLike, *, size: int, threads: int = 1, **options: Any
) -> Pool[Model]:
    """Return a pool of opened models, each with its own runtime session.

    Parameters
    ----------
    path : path
        A model file of any runtime that facelab opens.
    size : int
        Sessions at most; each holds its weights.
    threads : int
        Threads of each session. With `size` sessions, `size * threads` should not exceed the cores.
    **options
        Further options of `Pool`.

    Returns
    -------
    Pool[Model]
        A pool of opened models, each with its own runtime session.
    """
    model = Path(path)
    options.setdefault("name", f"sessions of {model.name}")
    options.setdefault("close", lambda m: m.close())
    return Pool(lambda: open_model(model, threads=threads), size=size, **options)


def postgres_connections(dsn: str, *, size: int, **options: Any) -> Pool[psycopg.Connection]:
    """Return a pool of PostgreSQL connections (the extra `services`).

    A connection that comes back inside a transaction is rolled back; one that the server closed is replaced, also while
    it rested: a server that was restarted costs the calls that were under way, and none after them. One that rested
    for more than `check_after_s` is tried with an empty query too, since a network can go without a word.

    Parameters
    ----------
    dsn : str
        What psycopg takes: a URL or `key=value` pairs.
    size : int
        Connections at most.
    **options
        Further options of `Pool`.

    Returns
    -------
    Pool[psycopg.Connection]
        A pool of PostgreSQL connections (the extra `services`).

    Raises
    ------
    UnsupportedError
        psycopg is not installed.

    Examples
    --------
    >>> pool = postgres_connections("postgresql:///faces", size=4)
    >>> with pool.acquire() as lease:
    ...     lease.value.execute("select 1").fetchone()
    (1,)
    """
    psycopg = _need("psycopg", "PostgreSQL connections")
    options.setdefault("name", "PostgreSQL")
    patience = options.pop("check_after_s", 1.0)
    rests: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    def reset(connection: psycopg.Connection) -> None:
        _rolled_back(connection)
        rests[connection] = time.monotonic()

    def check(connection: psycopg.Connection) -> bool:
        if _hung_up(connection):
            return False
        rested = time.monotonic() - rests.get(connection, 0.0)
        return rested < patience or _answers(connection)

    return Pool(
        lambda: psycopg.connect(dsn, connect_timeout=5),
        size=size,
        close=lambda c: c.close(),
        reset=reset,
        check=check,
        check_after_s=0.0,
        **options,
    )


def _rolled_back(connection: psycopg.Connection) -> None:
    """Leave no transaction open. Raises where the connection is gone, so that the pool replaces it."""
    import psycopg

    if connection.closed:
        raise psycopg.OperationalError("closed by the server")
    connection.rollback()


def _hung_up(connection: psycopg.Connection) -> bool:
    """Return whether the server said something to a resting connection: that it ends, or the end of the stream."""
    if connection.closed:
        return True
    with selectors.DefaultSelector() as ready:
        ready.register(connection.fileno(), selectors.EVENT_READ)
        return bool(ready.select(0))


def _answers(connection: psycopg.Connection) -> bool:
    connection.execute("")
    connection.rollback()
    return not connection.closed


def valkey_clients(url: str, *, size: int, **options: Any) -> Pool[valkey.Valkey]:
    """Return a pool of Valkey clients with one connection each (the extra `services`).

    Parameters
    ----------
    url : str
        `valkey://host:port/db` or `unix:///path`.
    size : int
        Clients at most.
    **options
        Further options of `Pool`.

    Returns
    -------
    Pool[valkey.Valkey]
        A pool of Valkey clients with one connection each (the extra `services`).

    Raises
    ------
    UnsupportedError
        The package valkey is not installed.
    """
    module = _need("valkey", "Valkey clients")
    options.setdefault("name", "Valkey")

    def make() -> Any:
        client = module.Valkey.from_url(
            url, single_connection_client=True, socket_connect_timeout=5, socket_timeout=5
        )
        client.ping()
        return client

    return Pool(make, size=size, close=_closed, check=lambda c: bool(c.ping()), **options)


def _closed(client: valkey.Valkey) -> None:
    connection = client.connection
    client.close()
    if connection is not None:
        connection.disconnect()


def _need(module: str, what: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as e:
        raise UnsupportedError(
            f"{what} need the extra `services`",
            got=str(e),
            fix="install it: pip install 'facelab[services]'",
        ) from None
