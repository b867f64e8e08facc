"""What the one writer of a collection calls. An operation is in the log before it is seen."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError, FacelabError, IntegrityError
from facelab.index import _disk as disk
from facelab.index._ids import check_id
from facelab.index._log import Delete, Log, LogError, Put
from facelab.index._reading import Reading
from facelab.index._rows import Rows, check_distinct, make_rows
from facelab.index._source import Source, check_source
from facelab.index._view import View

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike


FLUSH_BYTES = 64 << 20
"""Bytes of a log after which a generation is written, however few rows are new: opening reads it all."""


class Writing(Reading):
    """A collection that is read and written."""

    def add(
        self,
        vectors: ArrayLike,
        ids: Sequence[str] | None = None,
        *,
        labels: Sequence[str | None] | None = None,
        payloads: Sequence[Mapping[str, Any] | None] | None = None,
        source: Source | None = None,
    ) -> list[str]:
        """Add vectors under new ids, all or none, and return the ids.

        Parameters
        ----------
        vectors : (n, d) array of the collection's dtype
        ids : sequence of str, optional
            Made from the vectors by `vector_id` where none are given.
        labels : sequence of (str or None), optional
        payloads : sequence of (dict or None), optional
            JSON objects of at most 64 KiB.
        source : Source
            What the vectors come from; needed where the collection has one.

        Raises
        ------
        BadInputError
            An id is there already, or a value has the wrong form; nothing is added.
        IntegrityError
            An id made from a vector is that of a different vector: a collision.
        LogError
            The disk refused; the error says what is known.
        """
        with self._lock:
            rows = self.rows_of(vectors, ids, labels, payloads, source)
            self.check_new(rows, made=ids is None)
            self.put(rows)
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
        """Add vectors, replacing those of the same ids with label and payload; return how many were replaced.

        Parameters and errors are those of `add`; a replaced vector counts as added last.
        """
        return self.put(self.rows_of(vectors, ids, labels, payloads, source))

    def delete(self, ids: Sequence[str], *, missing_ok: bool = False) -> int:
        """Delete vectors by id, all or none, and return how many there were.

        Raises BadInputError where an id is not there, unless `missing_ok`; LogError where the disk refused.
        """
        with self._lock:
            self._check_writable()
            if isinstance(ids, (str, bytes)):
                raise BadInputError("ids must be a list", got=repr(ids)[:80], fix=f"[{ids!r}]")
            names = [check_id(name) for name in ids]
            check_distinct(names)
            numbers = self._view.find(names)
            absent = [n for n, row in zip(names, numbers) if row < 0]
            if absent and not missing_ok:
                raise BadInputError(
                    "an id is not in the collection",
                    where=self._place.root,
                    got=", ".join(absent[:5])[:200],
                    fix="check the id, or pass missing_ok=True",
                )
            known = [n for n, row in zip(names, numbers) if row >= 0]
            if known:
                self._logged(Delete(known))
                self._flush_if_due()
        return len(known)

    def flush(self) -> int:
        """Write what the log holds as its own generation and return its number."""
        with self._lock:
            self._check_writable()
            if self._state.replayed.operations or (self._log and self._log.count):
                self._publish(self._view, None, whole=False)
        return self._state.generation.number

    def compact(self) -> int:
        """Write all vectors into one segment, without deleted rows, and return the generation's number."""
        with self._lock:
            self._check_writable()
            self._publish(self._view, None, whole=True)
        return self._state.generation.number

    def rows_of(
        self,
        vectors: ArrayLike,
        ids: Sequence[str] | None,
        labels: Sequence[str | None] | None,
        payloads: Sequence[Mapping[str, Any] | None] | None,
        source: Source | None,
    ) -> Rows:
        """Return what a call would write, checked as a whole; nothing is written. Errors are those of `add`."""
        self._check_writable()
        facts = self._place.facts
        check_source(facts.source, source, self._place.root)
        return make_rows(
            vectors,
            ids,
            labels,
            payloads,
            dimension=facts.dimension,
            dtype=self._place.dtype,
            namespace=facts.namespace,
        )

    def check_new(self, rows: Rows, *, made: bool) -> None:
        """Raise BadInputError where an id is there already, IntegrityError where ids `made` from vectors collide."""
        numbers = self._view.find(rows.ids)
        if not (numbers >= 0).any():
            return
        first = int((numbers >= 0).argmax())
        part, row = self._view.place(int(numbers[first]))
        same = np.array_equal(part.vector_of(row), rows.vectors[first])
        if made and not same:
            raise IntegrityError(
                "two different vectors have one id",
                where=rows.ids[first],
                expected="one vector per id",
                fix="give ids of your own to these two",
            )
        raise BadInputError(
            "an id is in the collection already" + (", with this vector" if same else ""),
            where=self._place.root,
            got=rows.ids[first],
            fix="use upsert to replace it, or another id",
        )

    def put(self, rows: Rows) -> int:
        """Write rows of `rows_of` in the place of those with the same ids; return how many were replaced."""
        with self._lock:
            self._check_writable()
            numbers = self._view.find(rows.ids)
            there = numbers[numbers >= 0]
            if len(rows) >= self.flush_rows:
                self._publish(self._view.changed(there, 0), rows, whole=False)
            elif len(rows):
                self._view.active.buffer.reserve(len(rows))
                self._logged(Put(rows))
                self._flush_if_due()
        return len(there)

    def _flush_if_due(self) -> None:
        """Write a generation where the log has grown; after a failure only once it has doubled."""
        assert self._log is not None
        rows, size = len(self._view.active), self._log.size
        if rows < self.flush_rows * self._patience and size < FLUSH_BYTES * self._patience:
            return
        try:
            self._publish(self._view, None, whole=False)
            self._patience = 1
        except (FacelabError, OSError) as e:  # the rows are in the log: the call itself is done
            self._patience *= 2
            self._warning = f"no generation could be written: {e.args[0] if e.args else e}"

    def _logged(self, operation: Put | Delete) -> None:
        """Log an operation, then show it. An interruption in between leaves the collection to be opened again."""
        assert self._log is not None
        self._unsure = True
        try:
            self._log.append(operation)
        except BaseException:
            self._unsure = self._log.broken
            raise
        self._view = disk.applied(self._view, operation)
        self._unsure = False

    def _publish(self, view: View, more: Rows | None, *, whole: bool) -> None:
        try:
            state = disk.publish(self._place, self._state, view, more, whole=whole)
            self._unsure = True
            path = disk.log_path(self._place, state.generation)
            log = Log(path, state.replayed, self._place.on_step)
        except BaseException as e:
            # an OSError comes before the metadata are asked, so that no request can be under way
            self._settle_publication(under_way=not isinstance(e, OSError))
            if isinstance(e, OSError):
                raise _not_published(self._place.root, e) from None
            raise
        old, self._log = self._log, log
        self._state, self._view = state, state.view
        self._warning, self._unsure = "", False
        if old is not None:
            old.close()
        self._place.on_step("cleanup")
        disk.clean(self._place, self._state)

    def _settle_publication(self, *, under_way: bool) -> None:
        """After a failed publication: go on with the old generation only where it is still the current one."""
        self._unsure = True
        with contextlib.suppress(FacelabError, OSError):
            pointer, version = disk.read_pointer(self._place)
            same = pointer == self._state.pointer and version == self._state.version
            if same and not (under_way and self._place.metadata.late):
                self._unsure = False
                disk.clean(self._place, self._state)

    def _check_writable(self) -> None:
        self._check_open()
        if os.getpid() != self._process:
            raise BadInputError(
                "the collection was opened for writing by another process",
                where=self._place.root,
                expected=f"process {self._process}",
                got=f"process {os.getpid()}, forked from it",
                fix="open the collection in the process that writes",
            )
        if self._log is None:
            raise BadInputError(
                "the collection was opened for reading",
                where=self._place.root,
                fix="open it with write=True",
            )
        if self._unsure:
            raise LogError(
                "an earlier write to this collection was interrupted",
                where=self._place.root,
                fix="close the collection and open it again: opening finds out what is true",
            )
        self._log.check()


def _not_published(root: Path, e: OSError) -> disk.PublishError:
    return disk.PublishError(
        "a generation cannot be written; what was acknowledged before is in the log",
        where=root,
        got=e.strerror or str(e),
        fix="free some space or check the disk",
    )
