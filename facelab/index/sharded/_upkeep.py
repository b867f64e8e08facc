"""Verify and repair a collection, whether it is in one folder or in several shards."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from facelab.index import _upkeep as single
from facelab.index._upkeep import Repair, Verification
from facelab.index.metadata._contract import Metadata
from facelab.index.metadata._sqlite import SqliteMetadata
from facelab.index.sharded._layout import METADATA, Layout, is_sharded


def verify(path: str | os.PathLike[str], *, metadata: Metadata | None = None) -> Verification:
    """Read all files of a collection's current generation and compare them with their hashes.

    Parameters
    ----------
    path : path-like
        The collection's folder; of a sharded one all shards are read. A writer may be at work meanwhile.
    metadata : Metadata, optional
        As it was created with.

    Returns
    -------
    Verification

    Raises
    ------
    BadInputError
        There is no collection.

    Examples
    --------
    >>> found = verify("people")
    >>> found.good, found.vectors
    (True, 3)
    """
    root = Path(path)
    if not is_sharded(root):
        return single.verify(root, metadata=metadata)
    meta = metadata or SqliteMetadata(root / METADATA)
    found = [single.verify(f, metadata=meta) for f in Layout.read(root).folders]
    problems = [f"shard {i}: {p}" for i, v in enumerate(found) for p in v.problems]
    notes = [f"shard {i}: {n}" for i, v in enumerate(found) for n in v.notes]
    counts = [v.vectors for v in found if v.vectors is not None]
    total = sum(counts) if len(counts) == len(found) else None
    return Verification(str(path), None, total, problems, notes)


def repair(
    path: str | os.PathLike[str], *, metadata: Metadata | None = None, older: bool = False
) -> Repair:
    """Make the newest whole generation the current one where the metadata are lost, damaged or name missing files.

    Files that a crash left behind are removed. Contents are compared with their hashes before anything is chosen.

    Parameters
    ----------
    path : path-like
        The collection's folder, all shards of it where it has several; no writer may be at work.
    metadata : Metadata, optional
        As it was created with.
    older : bool
        Whether to go back to a generation before the one that the metadata name: what was written since is lost.

    Returns
    -------
    Repair
        What was repaired.

    Raises
    ------
    IntegrityError
        No generation is whole, or only an older one is and `older` is not set.

    Examples
    --------
    >>> repair("people").text()
    'people: nothing was to be done (generation 1, 3 vectors)'
    """
    root = Path(path)
    if not is_sharded(root):
        return single.repair(root, metadata=metadata, older=older)
    actions = [] if metadata else single.moved_away(root)
    meta = metadata or SqliteMetadata(root / METADATA)
    done = [single.repair(f, metadata=meta, older=older) for f in Layout.read(root).folders]
    actions += [f"shard {i}: {a}" for i, r in enumerate(done) for a in r.actions]
    return replace(
        done[0],
        path=str(path),
        generation=None,
        vectors=sum(r.vectors for r in done),
        actions=actions,
    )
