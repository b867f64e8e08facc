"""Metadata by address: `sqlite:FILE` or `etcd:http://host:port,…`."""

from __future__ import annotations

from pathlib import Path

from facelab.core import plugins
from facelab.core.errors import BadInputError
from facelab.index.metadata._contract import Metadata
from facelab.index.metadata._etcd import EtcdMetadata
from facelab.index.metadata._sqlite import SqliteMetadata


def open_metadata(address: str) -> Metadata:
    """Return the metadata store at an address.

    Parameters
    ----------
    address : str
        `sqlite:FILE`, or `etcd:` and one or more endpoints between commas, or `NAME:REST` for a store that another
        package brings (entry points `facelab.stores`).

    Returns
    -------
    Metadata
        Reads (`get`, `keys`) and compare-and-swap (`swap`).

    Raises
    ------
    BadInputError
        The address has the wrong form.
    UnsupportedError
        The client library is not installed.

    Examples
    --------
    >>> open_metadata("sqlite:/tmp/metadata.sqlite").name
    'sqlite'
    """
    kind, found, rest = str(address).partition(":")
    if found and rest and kind == "sqlite":
        return SqliteMetadata(Path(rest))
    if found and rest and kind == "etcd":
        return EtcdMetadata([part.strip() for part in rest.split(",") if part.strip()])
    if found and kind in plugins.installed("facelab.stores"):
        plugins.refuse_twins("facelab.stores", ["sqlite", "etcd"])
        return plugins.load("facelab.stores", kind)(rest)
    raise BadInputError(
        "there is no metadata store at this address",
        expected="sqlite:FILE or etcd:http://host:2379",
        got=str(address)[:120],
        fix="use one of the two forms",
    )
