"""Looking after collections: verify every byte, repair what a crash or a loss left, and compare two copies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError, FacelabError, IntegrityError
from facelab.core.hashing import sha256_bytes
from facelab.core.result import Result
from facelab.index import _disk as disk
from facelab.index import _log as logs
from facelab.index._collection import METADATA, Collection
from facelab.index._durable import no_step, writer_lock
from facelab.index._facts import Facts
from facelab.index._generation import Generation, Pointer, damaged, new_token
from facelab.index._results import ShardState
from facelab.index._segment import Segment
from facelab.index.metadata._contract import Metadata, Outcome
from facelab.index.metadata._settle import settle
from facelab.index.metadata._sqlite import SqliteMetadata


@dataclass(frozen=True)
class Verification(Result):
    """What `verify` found: sentences, none where every byte is what was written.

    `generation` is None where there are several shards, and where none could be opened. `notes` say what may be
    damage and may be a call that was interrupted: the disk does not tell.
    """

    path: str
    generation: int | None
    vectors: int | None
    problems: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing was found."""
        return not self.problems

    def text(self) -> str:
        """Return the finding in one line per problem."""
        if self.good:
            known = "" if self.generation is None else f"generation {self.generation}, "
            noted = "".join(f"; {n}" for n in self.notes)
            return f"{self.path}: {known}{self.vectors} vectors, all as written{noted}"
        return "\n".join(f"{self.path}: {p}" for p in self.problems)


def verify(path: str | os.PathLike[str], *, metadata: Metadata | None = None) -> Verification:
    """Read all files of a collection's current generation and compare them with their hashes.

    Parameters
    ----------
    path : path-like
        The collection's folder. A writer may be at work meanwhile.
    metadata : Metadata, optional
        As it was created with.

    Returns
    -------
    Verification

    Raises
    ------
    BadInputError
        There is no collection.
    """
    place = _place(Path(path), metadata)
    try:
        state = disk.load(place)
    except (IntegrityError, OSError) as e:
        said = f"{e.what}: {e.got}" if isinstance(e, FacelabError) else str(e)
        where = f" ({e.where})" if isinstance(e, FacelabError) and e.where else ""
        return Verification(str(path), None, None, [said + where])
    problems = [p for part in state.view.parts for p in part.segment.verify()]
    problems += _twice(state)
    torn = state.replayed.torn
    notes = [f"the log ends in {torn} bytes of no whole record: {_TORN}"] if torn else []
    return Verification(str(path), state.generation.number, state.view.live, problems, notes)


_TORN = "a call that was interrupted, or damage to the last one"


def _twice(state: disk.State) -> list[str]:
    """Return a sentence where an id has two live rows: what no call could have made."""
    seen: set[str] = set()
    twice = set()
    for part, row in state.view.items():
        name = part.id_of(row)
        twice |= {name} & seen
        seen.add(name)
    return [f"{len(twice)} ids have more than one row, {min(twice)!r} first"] if twice else []


@dataclass(frozen=True)
class Repair(Result):
    """What `repair` did, and the generation that is current now (None where there are several shards)."""

    path: str
    generation: int | None
    vectors: int
    actions: list[str]

    def text(self) -> str:
        """Return what was done."""
        done = "; ".join(self.actions) or "nothing was to be done"
        known = "" if self.generation is None else f"generation {self.generation}, "
        return f"{self.path}: {done} ({known}{self.vectors} vectors)"


def repair(
    path: str | os.PathLike[str], *, metadata: Metadata | None = None, older: bool = False
) -> Repair:
    """Make the newest whole generation the current one where the metadata are lost, damaged or name missing files.

    Files that a crash left behind are removed. Contents are compared with their hashes before anything is chosen.

    Parameters
    ----------
    path : path-like
        The collection's folder; no writer may be at work.
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
    """
    root = Path(path)
    place, actions = _place(root, metadata), []
    with writer_lock(root):
        if metadata is None:
            actions += moved_away(root)
        named, version, whole = _named(place)
        if named is None or not whole:
            named, version = _restore(place, named, version, older, actions)
        state = disk.fenced(place, disk.load(place))
        removed = disk.clean(place, state)
        if removed:
            actions.append(f"removed {len(removed)} files that no generation names")
        return Repair(str(path), state.generation.number, state.view.live, actions)


def moved_away(root: Path) -> list[str]:
    """Move a damaged SQLite file aside; it is kept for a look at what happened to it."""
    path = root / METADATA
    try:
        SqliteMetadata(path).keys()
        return []
    except IntegrityError:
        kept = root / f"{METADATA}.damaged-{new_token()}"
        path.rename(kept)
        for suffix in ("-journal", "-wal", "-shm"):
            (root / f"{METADATA}{suffix}").unlink(missing_ok=True)
        return [f"moved the damaged metadata to {kept.name}"]


def _named(place: disk.Place) -> tuple[Pointer | None, int | None, bool]:
    """Return the pointer in the metadata, its version, and whether what it names can be opened."""
    found = place.metadata.get(place.facts.key)
    if found is None:
        return None, None, False
    try:
        pointer, version = disk.read_pointer(place)
    except IntegrityError:
        return None, found.version, False
    try:
        disk.load(place)
        return pointer, version, True
    except (IntegrityError, OSError):
        return pointer, version, False


def _restore(
    place: disk.Place,
    named: Pointer | None,
    version: int | None,
    older: bool,
    actions: list[str],
) -> tuple[Pointer, int]:
    reasons = []
    for path, generation in _candidates(place.root, reasons):
        if named is not None and generation.number < named.generation and not older:
            reasons.append(f"{path.name} is older than generation {named.generation}")
            continue
        try:
            _check_whole(place, path, generation)
        except (FacelabError, OSError) as e:
            reasons.append(f"{path.name}: {e}".splitlines()[0])
            continue
        pointer = Pointer(
            place.facts.uid,
            generation.number,
            path.name,
            sha256_bytes(path.read_bytes()),
            new_token(),
            generation.after,
            generation.live,
        )
        swap = settle(place.metadata, place.facts.key, version, pointer.to_bytes())
        if swap.outcome is Outcome.DONE and swap.version is not None:
            actions.append(f"made generation {generation.number} the current one")
            return pointer, swap.version
        reasons.append(f"the metadata were replaced meanwhile: {swap.reason}")
    raise IntegrityError(
        "no generation can be made the current one",
        where=place.root,
        got="; ".join(reasons)[:300] or "there are no generations",
        fix="restore the folder from a copy"
        if older
        else "restore the folder from a copy, or go back with --older (what came later is lost)",
    )


def _candidates(root: Path, reasons: list[str]) -> Iterator[tuple[Path, Generation]]:
    """Yield the generations on disk whose content is what their name says, newest first."""
    for path in sorted((root / "generations").glob("*.json"), reverse=True):
        try:
            if sha256_bytes(path.read_bytes())[:16] not in path.name:
                raise damaged(path, "its content has changed")
            yield path, Generation.read(path)
        except (FacelabError, OSError) as e:
            reasons.append(f"{path.name}: {e}".splitlines()[0])


def _check_whole(place: disk.Place, path: Path, generation: Generation) -> None:
    if generation.collection != place.facts.uid:
        raise damaged(path, "a generation of another collection")
    for entry in generation.segments:
        problems = Segment(place.root / "segments", entry).verify()
        if problems:
            raise damaged(path, problems[0])
    facts = place.facts
    logs.replay(
        disk.log_path(place, generation), facts.uid, generation.number, facts.dimension, place.dtype
    )


@dataclass(frozen=True)
class Difference(Result):
    """How two collections differ: ids that only one has, and ids whose vector, label or payload differ."""

    first: str
    second: str
    both: int
    only_first: list[str]
    only_second: list[str]
    changed: list[str]

    @property
    def alike(self) -> bool:
        """Whether both hold the same."""
        return not (self.only_first or self.only_second or self.changed)

    def text(self) -> str:
        """Return the difference in one line."""
        if self.alike:
            return f"both hold the same {self.both} vectors"
        parts = {
            f"only in {self.first}": self.only_first,
            f"only in {self.second}": self.only_second,
            "changed": self.changed,
        }
        found = "; ".join(f"{len(v)} {k} ({v[0]!r} first)" for k, v in parts.items() if v)
        return f"{self.both} alike; {found}"


def difference(first: Collection, second: Collection) -> Difference:
    """Compare two collections by content: order, segments and generations do not count.

    Parameters
    ----------
    first, second : Collection
        Of one dimension, metric and source.

    Returns
    -------
    Difference
        What differs, empty where nothing does.

    Raises
    ------
    BadInputError
        The collections hold vectors of different kinds.
    """
    kinds = [_kind(c) for c in (first, second)]
    if kinds[0] != kinds[1]:
        raise BadInputError(
            "these collections hold vectors of different kinds",
            expected=kinds[0],
            got=kinds[1],
            fix="compare copies of one collection",
        )
    ours, theirs = (
        {e.id: (e.vector.tobytes(), e.label, e.payload) for e in c.items()} for c in (first, second)
    )
    changed = sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name])
    return Difference(
        str(first.path),
        str(second.path),
        len(ours.keys() & theirs.keys()) - len(changed),
        sorted(ours.keys() - theirs.keys()),
        sorted(theirs.keys() - ours.keys()),
        changed,
    )


def _kind(c: Collection) -> tuple[Any, ...]:
    s = c.status()
    return s.dimension, s.dtype, s.metric, str(s.source)


def shards(metadata: Metadata, name: str = "") -> list[ShardState]:
    """Return the current generation of every shard that the metadata know.

    Parameters
    ----------
    metadata : Metadata
    name : str
        Of the collection; all collections where it is empty.

    Returns
    -------
    list of ShardState
        The current generation of every shard that the metadata know.
    """
    states = []
    for key in metadata.keys(f"{name}/" if name else ""):
        found = metadata.get(key)
        if found is not None:
            with contextlib.suppress(IntegrityError):
                pointer = Pointer.read(found.value, key)
                collection, _, shard = key.rpartition("/")
                states.append(
                    ShardState(collection, shard, pointer.generation, found.version, pointer.live)
                )
    return states


def _place(root: Path, metadata: Metadata | None) -> disk.Place:
    facts = Facts.read(root)
    return disk.Place(root, facts, metadata or SqliteMetadata(root / METADATA), None, no_step)
