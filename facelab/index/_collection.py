"""A collection of vectors on disk: what was acknowledged is there after any crash, and searches are exact."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from facelab.core.errors import BadInputError
from facelab.core.lifetime import Closing
from facelab.index import _disk as disk
from facelab.index._durable import FACTS, OnStep, no_step, sync_folder, writer_lock
from facelab.index._facts import Facts, make_facts
from facelab.index._generation import Generation, Pointer, new_token
from facelab.index._log import Log, create
from facelab.index._source import Source, check_source
from facelab.index._writing import Writing
from facelab.index.metadata._contract import Metadata
from facelab.index.metadata._sqlite import SqliteMetadata
from facelab.matching import Metric

METADATA = "metadata.sqlite"


class Collection(Writing, Closing):
    """Vectors with ids, labels and payloads, searched exactly and kept in files.

    Make one with `Collection.create` or `Collection.open`. One process writes; any number may read. A call that
    returns has reached the disk. A call that raises has changed nothing, unless its error says that its fate is
    unknown: opening the collection again then finds out.

    Searches of one thread see either all or nothing of a call of another.

    Attributes
    ----------
    facts : Facts
        What never changes: id, name, dimension, dtype, metric, source.

    Examples
    --------
    >>> import numpy as np
    >>> folder = tempfile.mkdtemp()
    >>> faces = Collection.create(Path(folder) / "faces", dimension=3, metric="cosine")
    >>> faces.add(np.eye(3, dtype=np.float32), ids=["x", "y", "z"], labels=["anna", "ben", None])
    ['x', 'y', 'z']
    >>> faces.delete(["y"])
    1
    >>> faces.search(np.array([[0, 1, 0.5]], np.float32), 1).ids
    [['z']]
    >>> faces.close()
    >>> with Collection.open(Path(folder) / "faces", write=False) as again:
    ...     len(again), again.get("x").label
    (2, 'anna')
    """

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        dimension: int,
        metric: str = "cosine",
        dtype: str = "float32",
        source: Source | None = None,
        name: str | None = None,
        shard: str = "0",
        namespace: str = "",
        metadata: Metadata | None = None,
        threads: int | None = None,
        on_step: OnStep = no_step,
    ) -> Collection:
        """Create a collection in a new folder and open it for writing.

        Parameters
        ----------
        path : path-like
            A folder that does not exist yet.
        dimension : int
            Length of a vector.
        metric : str
            "cosine", "l2", "sqeuclidean" or "ip"; it stays what it is.
        dtype : str
            "float32", "float16" or "int8".
        source : Source, optional
            The model and spec that the vectors come from; those of another are refused from then on.
        name, shard : str
            Together the key in the metadata; the name is the folder's where none is given.
        namespace : str
            Stands before ids that are made from vectors.
        metadata : Metadata, optional
            Where the current generation is named; a SQLite file in the folder by default.
        threads : int, optional
            Threads of a search; None for all cores.
        on_step : callable, optional
            Called with the name of each step of a write before it is taken.

        Raises
        ------
        BadInputError
            The folder exists, or a value has the wrong form.
        PublishError
            The metadata name another collection with this name and shard.
        """
        root = Path(path)
        if root.exists():
            raise BadInputError(
                "the folder exists already",
                where=root,
                expected="a new folder",
                fix="open the collection, or choose another name",
            )
        facts = make_facts(
            name=root.resolve().name if name is None else name,
            shard=shard,
            dimension=dimension,
            dtype=dtype,
            metric=metric,
            source=source,
            namespace=namespace,
        )
        root.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{root.name[:40]}.", dir=root.parent))
        try:
            own = disk.Place(made, facts, metadata or _own(made), threads, on_step)
            pointer = _first(own)
            if metadata is None:
                disk.swap_pointer(own, None, pointer)
            sync_folder(made)
            made.chmod(0o755)
            on_step("folder.rename")
            made.rename(root)
            sync_folder(root.parent)
        except OSError as e:
            shutil.rmtree(made, ignore_errors=True)
            raise _not_made(root, e) from None
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        if metadata is not None:
            _register(disk.Place(root, facts, metadata, threads, on_step), pointer)
        return cls.open(root, metadata=metadata, threads=threads, on_step=on_step)

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
        on_step: OnStep = no_step,
    ) -> Collection:
        """Open a collection: its prepared segments are mapped, and its log is replayed.

        Parameters
        ----------
        path : path-like
            The folder.
        metadata : Metadata, optional
            As it was created with.
        write : bool
            Whether to write; one process may.
        metric, source : optional
            What the caller takes for granted; the collection must have been created with it.
        threads, on_step
            As for `create`.

        Raises
        ------
        BadInputError
            There is no collection, another process writes to it, or it has a different metric or source.
        IntegrityError
            A file is damaged or missing. Contents of segments are compared with their hashes by `verify` only.
        """
        root = Path(path)
        facts = Facts.read(root)
        if metric is not None and Metric.of(metric) is not Metric.of(facts.metric):
            raise BadInputError(
                "the collection has a different metric",
                where=root,
                expected=facts.metric,
                got=metric,
                fix="convert the threshold (Metric.from_cosine), or make a new collection",
            )
        if source is not None:
            check_source(facts.source, source, root)
        place = disk.Place(root, facts, metadata or _own(root), threads, on_step)
        with contextlib.ExitStack() as stack:
            if write:
                stack.enter_context(writer_lock(root))
            state = disk.load(place)
            log = None
            if write:
                state = disk.fenced(place, state)
                log = Log(disk.log_path(place, state.generation), state.replayed, on_step)
                stack.callback(log.close)
            opened = cls(place, state, log, stack.pop_all())
        opened._recovered = _told(state.replayed.torn, disk.clean(place, state) if write else [])
        return opened

    def close(self) -> None:
        """Let go of the files and of the writer's lock. Nothing is lost without it."""
        with self._lock:
            self._closed = True
            if self._log is not None:
                self._log.close()
            self._stack.close()


def _register(place: disk.Place, pointer: Pointer) -> None:
    """Name a new collection in metadata that others share; its folder goes where they refuse."""
    try:
        disk.swap_pointer(place, None, pointer)
    except disk.PublishError:
        shutil.rmtree(place.root, ignore_errors=True)
        raise


def _own(root: Path) -> SqliteMetadata:
    return SqliteMetadata(root / METADATA)


def _first(place: disk.Place) -> Pointer:
    for folder in disk.FOLDERS:
        (place.root / folder).mkdir()
    place.facts.write(place.root)
    token = new_token()
    create(place.root / "logs" / f"{token}.log", place.facts.uid, 1)
    first = Generation(place.facts.uid, 1, token, None, f"{token}.log", 0)
    return first.write(place.root / "generations", place.on_step)


def _told(torn: int, removed: list[str]) -> str:
    parts = [f"{torn} bytes of an unfinished record were left out"] if torn else []
    parts += [f"{len(removed)} unfinished files were removed"] if removed else []
    return "; ".join(parts)


def _not_made(root: Path, e: OSError) -> BadInputError:
    return BadInputError(
        f"the collection cannot be created ({FACTS})",
        where=root,
        got=e.strerror or str(e),
        fix="check the folder and the disk",
    )
