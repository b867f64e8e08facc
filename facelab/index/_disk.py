"""From the disk into memory and back: opening a generation with its log, and publishing the next one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, FacelabError, IntegrityError
from facelab.index import _log as logs
from facelab.index._durable import OnStep
from facelab.index._facts import Facts
from facelab.index._generation import (
    Generation,
    Pointer,
    new_token,
    packed_marks,
    remove_unnamed,
)
from facelab.index._rows import Rows
from facelab.index._segment import Segment, write_segment
from facelab.index._view import Active, Buffer, Part, View
from facelab.index.metadata._contract import Metadata, Outcome
from facelab.index.metadata._settle import settle

FOLDERS = ("segments", "logs", "generations")


class PublishError(FacelabError):
    """A generation could not be published; what was acknowledged before stays in the log."""


@dataclass(frozen=True, eq=False)
class Place:
    """Where a collection is: its folder, its facts, its metadata, and what each step is reported to."""

    root: Path
    facts: Facts
    metadata: Metadata
    threads: int | None
    on_step: OnStep

    @property
    def dtype(self) -> np.dtype[Any]:
        """The vectors' number type."""
        return np.dtype(self.facts.dtype)

    def empty(self) -> Active:
        """Return active rows with nothing in them."""
        buffer = Buffer(self.facts.dimension, self.dtype)
        return Active(buffer, self.facts.metric, self.threads)


@dataclass(frozen=True, eq=False)
class State:
    """An opened generation: what searches see, the pointer, its version, and the log as it was read."""

    view: View
    pointer: Pointer
    version: int
    generation: Generation
    replayed: logs.Replay


def load(place: Place) -> State:
    """Open the current generation and replay its log; a generation that is replaced meanwhile is opened again."""
    while True:
        before, _ = read_pointer(place)
        try:
            return _load(place)
        except FileNotFoundError:
            pointer, _ = read_pointer(place)
            if pointer == before:  # nobody replaced it meanwhile: its files are missing indeed
                break
    raise IntegrityError(
        "files of the current generation are missing",
        where=place.root,
        expected=f"generation {pointer.generation} ({pointer.file})",
        got="a copy that is behind, or files that were removed",
        fix="facelab index repair, or copy the folder again",
    )


def read_pointer(place: Place) -> tuple[Pointer, int]:
    """Return the pointer in the metadata and its version. Raises IntegrityError where there is none."""
    found = place.metadata.get(place.facts.key)
    if found is None:
        raise IntegrityError(
            "the metadata know nothing of this collection",
            where=place.root,
            expected=f"the key {place.facts.key} in {place.metadata.name}",
            fix="facelab index repair, or open it with the metadata it was created with",
        )
    pointer = Pointer.read(found.value, place.facts.key)
    if pointer.collection != place.facts.uid:
        raise BadInputError(
            "the metadata belong to another collection of this name",
            where=place.facts.key,
            expected=place.facts.uid,
            got=pointer.collection,
            fix="give each collection its own name",
        )
    return pointer, found.version


def _load(place: Place) -> State:
    pointer, version = read_pointer(place)
    path = place.root / "generations" / pointer.file
    if not path.exists():
        raise FileNotFoundError(path)
    generation = Generation.read(path, pointer.sha256)
    parts = tuple(
        Part(
            Segment(place.root / "segments", entry, place.threads),
            generation.marks(entry),
        )
        for entry in generation.segments
    )
    log = log_path(place, generation)
    if not log.exists():
        raise FileNotFoundError(log)
    facts = place.facts
    replayed = logs.replay(log, facts.uid, generation.number, facts.dimension, place.dtype)
    view = View(parts, place.empty())
    if view.live != generation.live:
        raise IntegrityError(
            "a generation holds another number of vectors than it says",
            where=path,
            expected=generation.live,
            got=view.live,
            fix="facelab index verify",
        )
    for operation in replayed.operations:
        view = applied(view, operation)
    return State(view, pointer, version, generation, replayed)


def log_path(place: Place, generation: Generation) -> Path:
    """Return the log of a generation."""
    return place.root / "logs" / generation.log


def applied(view: View, operation: logs.Operation) -> View:
    """Return the view after an operation; the buffer grows, so only the newest view may be changed."""
    names = operation.ids if isinstance(operation, logs.Delete) else operation.rows.ids
    numbers = view.find(names)
    numbers = numbers[numbers >= 0]
    if isinstance(operation, logs.Delete):
        return view.changed(numbers, 0)
    changed = view.changed(numbers, len(operation.rows))
    view.active.buffer.append(operation.rows)
    return changed


def publish(place: Place, state: State, view: View, more: Rows | None, *, whole: bool) -> State:
    """Write the next generation of a view and of `more` rows, and make it the current one.

    Raises PublishError where another writer was faster or nothing could be written; the old generation stays.
    """
    parts, pending = _gathered(view, more, whole=whole)
    written = [
        Part(Segment(place.root / "segments", _written(place, rows), place.threads))
        for rows in pending
        if len(rows)
    ]
    parts = (*parts, *written)
    token = new_token()
    place.on_step("log.create")
    number = state.generation.number + 1
    logs.create(place.root / "logs" / f"{token}.log", place.facts.uid, number)
    generation = Generation(
        place.facts.uid,
        number,
        token,
        state.generation.token,
        f"{token}.log",
        sum(p.live for p in parts),
        [p.segment.entry for p in parts],
        packed_marks(parts),
    )
    pointer = generation.write(place.root / "generations", place.on_step)
    version = swap_pointer(place, state.version, pointer)
    place.on_step("metadata.swapped")
    fresh = View(parts, place.empty())
    size = (place.root / "logs" / generation.log).stat().st_size
    return State(fresh, pointer, version, generation, logs.Replay([], size, 0))


def _written(place: Place, rows: Rows) -> dict[str, Any]:
    return write_segment(
        place.root / "segments", rows, place.facts.metric, place.threads, place.on_step
    )


def swap_pointer(place: Place, expected: int | None, pointer: Pointer) -> int:
    """Make a pointer the current one and return its version. Raises PublishError, UnsettledError."""
    place.on_step("metadata.swap")
    swap = settle(place.metadata, place.facts.key, expected, pointer.to_bytes())
    if swap.outcome is Outcome.DONE and swap.version is not None:
        return swap.version
    raise PublishError(
        "another writer published a generation of this collection"
        if swap.compared
        else "a generation cannot be published",
        where=place.facts.key,
        got=swap.reason,
        fix="close the collection and open it again"
        if swap.compared
        else "check the metadata store; what was acknowledged is in the log",
    )


def _gathered(view: View, more: Rows | None, *, whole: bool) -> tuple[tuple[Part, ...], list[Rows]]:
    """Return the parts that stay and the rows of one new segment.

    The last parts are merged while the new one would be more than half as large, so that a row is written again only
    as often as the collection doubles, and there are few segments.
    """
    pending = [view.active.rows(view.active.live_rows())]
    if more is not None:
        pending.append(more)
    parts = [p for p in view.parts if p.live]
    while parts:
        waiting = sum(map(len, pending))
        sparse = any(2 * p.live < len(p) for p in parts)
        if not whole and parts[-1].live >= 2 * waiting and not sparse:
            break
        part = parts.pop()
        pending.insert(0, part.segment.rows(part.live_rows()))
    return tuple(parts), [_joined(pending)]


def _joined(rows: list[Rows]) -> Rows:
    filled = [r for r in rows if len(r)] or rows[:1]
    return Rows(
        [i for r in filled for i in r.ids],
        [i for r in filled for i in r.infos],
        np.concatenate([r.vectors for r in filled]),
    )


def fenced(place: Place, state: State) -> State:
    """Take the collection over: where a lost swap of an earlier writer may still arrive, make it fail."""
    if not place.metadata.late:
        return state
    pointer = Pointer(**{**state.pointer.__dict__, "token": new_token()})
    version = swap_pointer(place, state.version, pointer)
    return State(state.view, pointer, version, state.generation, state.replayed)


def clean(place: Place, state: State) -> list[str]:
    """Remove files that the current generation does not name; only the writer may."""
    return remove_unnamed(place.root, state.generation, state.pointer.file)
