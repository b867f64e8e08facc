"""A new sharded collection: whole before anybody sees it, and its shards alike whenever it is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError, IntegrityError
from facelab.core.safety.scratch import ScratchFolder
from facelab.index import _disk as disk
from facelab.index._collection import Collection
from facelab.index._durable import sync_folder
from facelab.index.metadata._contract import Metadata, Outcome, check_key
from facelab.index.metadata._settle import settle
from facelab.index.metadata._sqlite import SqliteMetadata
from facelab.index.sharded._layout import METADATA, Layout


def make(layout: Layout, metadata: Metadata | None, facts: Mapping[str, Any]) -> None:
    """Make the shards in a temporary folder, and name them in metadata that others share once the folder is whole."""
    root = layout.root
    check_key(layout.keys[0])
    if metadata is not None and (known := metadata.keys(f"{layout.name}/")):
        raise disk.PublishError(
            "the metadata name another collection with this name",
            where=metadata.name,
            got=", ".join(known[:5])[:200],
            fix="choose another name, or open that collection",
        )
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        made = ScratchFolder(prefix=f".{root.name[:40]}.", dir=root.parent)
        with made as name:
            pointers = _filled(Layout(Path(name), layout.name, layout.shards), metadata, facts)
            made.keep(root)
        sync_folder(root.parent)
    except OSError as e:
        raise BadInputError(
            "the collection cannot be created",
            where=root,
            got=e.strerror or str(e),
            fix="check the folder and the disk",
        ) from None
    if metadata is not None:
        _register(layout, metadata, pointers)


def _filled(made: Layout, metadata: Metadata | None, facts: Mapping[str, Any]) -> list[bytes]:
    """Make the shards in the temporary folder of `made`; return the values of their keys in the metadata."""
    own = SqliteMetadata(made.root / METADATA)
    for i, folder in enumerate(made.folders):
        Collection.create(folder, name=made.name, shard=str(i), metadata=own, **facts).close()
    pointers = [own.get(key) for key in made.keys]
    if metadata is not None:
        own.path.unlink()
    made.write()
    made.root.chmod(0o755)
    return [p.value for p in pointers if p is not None]


def _register(layout: Layout, metadata: Metadata, pointers: Sequence[bytes]) -> None:
    """Name the shards of a whole folder in metadata that others share; `repair` goes on where this ends early."""
    for key, pointer in zip(layout.keys, pointers, strict=True):
        swap = settle(metadata, key, None, pointer)
        if swap.outcome is not Outcome.DONE:
            raise disk.PublishError(
                "the shards are made, but the metadata do not name all of them",
                where=key,
                got=swap.reason,
                fix="facelab index repair, with the same metadata"
                if not swap.compared
                else "remove the folder and choose another name: somebody took this one meanwhile",
            )


def check_alike(layout: Layout, shards: Sequence[Collection]) -> None:
    """Raise IntegrityError where a shard's folder holds a shard of another collection."""
    kinds = []
    for i, shard in enumerate(shards):
        facts = shard.facts
        if (facts.name, facts.shard) != (layout.name, str(i)):
            raise IntegrityError(
                "a shard's folder holds another shard",
                where=shard.path,
                expected=f"{layout.name}/{i}",
                got=facts.key,
                fix="restore the folder from a copy",
            )
        kinds.append((facts.dimension, facts.dtype, facts.metric, facts.source, facts.namespace))
    if len(set(kinds)) > 1:
        raise IntegrityError(
            "the shards hold vectors of different kinds",
            where=layout.root,
            got="; ".join(map(str, dict.fromkeys(kinds)))[:200],
            fix="restore the folders from a copy",
        )
