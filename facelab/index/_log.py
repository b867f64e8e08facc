"""The log of a collection: what was acknowledged since the last generation, one checked record per call.

A record is `magic, length, CRC of the payload, CRC of these twelve bytes`, then the payload: `kind, length of the JSON,
JSON, vectors`. It is written with one call and synchronised before the call that it belongs to returns.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import FacelabError, IntegrityError
from facelab.core.files import loads_strict
from facelab.index._durable import OnStep, sync_folder, write_all, write_durably
from facelab.index._rows import Rows

MAGIC = b"FLx1"
_HEAD = struct.Struct("<4sIII")
_BODY = struct.Struct("<BI")
MAX_RECORD = 1 << 30
OPEN, PUT, DELETE = 0, 1, 2


class LogError(FacelabError):
    """The log could not be written; what the call wanted is not done, or its fate is unknown."""


@dataclass(frozen=True, eq=False)
class Put:
    """Rows that were added, or that replaced rows of the same ids."""

    rows: Rows


@dataclass(frozen=True)
class Delete:
    """Ids that were deleted."""

    ids: list[str]


Operation = Put | Delete


def record(kind: int, head: dict[str, Any], tail: bytes | memoryview = b"") -> bytes:
    """Return the bytes of one record."""
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    payload = b"".join((_BODY.pack(kind, len(text)), text, bytes(tail)))
    if len(payload) > MAX_RECORD:
        raise LogError(
            "one call is too large for the log",
            expected=f"at most {MAX_RECORD} bytes",
            got=f"{len(payload)} bytes",
            fix="add fewer vectors at a time",
        )
    start = struct.pack("<4sII", MAGIC, len(payload), zlib.crc32(payload))
    return start + struct.pack("<I", zlib.crc32(start)) + payload


def encode(number: int, operation: Operation) -> bytes:
    """Return the record of an operation; `number` counts the operations of a log from 0."""
    if isinstance(operation, Delete):
        return record(DELETE, {"n": number, "ids": operation.ids})
    rows = operation.rows
    head = {"n": number, "ids": rows.ids, "infos": [i.decode() for i in rows.infos]}
    return record(PUT, head, rows.vectors.reshape(-1).view(np.uint8).data)


def create(path: Path, collection: str, generation: int) -> None:
    """Make a new log. Its first record names the collection, so that no log of another one is replayed."""
    write_durably(path, record(OPEN, {"collection": collection, "generation": generation}))
    sync_folder(path.parent)


@dataclass(frozen=True, eq=False)
class Replay:
    """What a log holds: its operations, the bytes that are whole, and how many torn bytes follow them."""

    operations: list[Operation]
    whole: int
    torn: int


def replay(
    path: Path, collection: str, generation: int, dimension: int, dtype: np.dtype[Any]
) -> Replay:
    """Read a log. A torn last record was never acknowledged and is left out.

    Raises IntegrityError where a damaged record is followed by a whole one: acknowledged operations are lost.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise _damaged(path, e.strerror or str(e)) from None
    operations: list[Operation] = []
    whole, first = 0, True
    for kind, head, tail, end in _records(path, data):
        if first:
            wanted = {"collection": collection, "generation": generation}
            if kind != OPEN or head != wanted:
                raise _damaged(path, f"the log of another collection or generation ({head})")
            first = False
        elif head.get("n") != len(operations):
            raise _damaged(path, f"operation {head.get('n')} where {len(operations)} is due")
        else:
            operations.append(_operation(path, kind, head, tail, dimension, dtype))
        whole = end
    if first:
        raise _damaged(path, "no whole first record")
    return Replay(operations, whole, len(data) - whole)


def _records(path: Path, data: bytes) -> Iterator[tuple[int, dict[str, Any], memoryview, int]]:
    at, view = 0, memoryview(data)
    while at < len(data):
        length = _whole(view, at)
        if length is None:
            _refuse_damage(path, data, at)
            return
        payload = view[at + _HEAD.size : at + _HEAD.size + length]
        kind, size = _BODY.unpack_from(payload)
        text = bytes(payload[_BODY.size : _BODY.size + size])
        head = loads_strict(text, where=path, max_bytes=MAX_RECORD)
        at += _HEAD.size + length
        yield kind, head, payload[_BODY.size + size :], at


def _whole(view: memoryview, at: int) -> int | None:
    """Return the payload's length of the record at a place, None where there is no whole one."""
    if len(view) - at < _HEAD.size:
        return None
    magic, length, crc, head_crc = _HEAD.unpack_from(view, at)
    if magic != MAGIC or zlib.crc32(view[at : at + 12]) != head_crc:
        return None
    payload = view[at + _HEAD.size : at + _HEAD.size + length]
    if len(payload) < length or length < _BODY.size or zlib.crc32(payload) != crc:
        return None
    return length


def _refuse_damage(path: Path, data: bytes, at: int) -> None:
    """Raise IntegrityError if a whole record follows: a torn write is always the last one."""
    view, place = memoryview(data), data.find(MAGIC, at + 1)
    while place >= 0:
        if _whole(view, place) is not None:
            raise _damaged(
                path, f"a damaged record at byte {at}, and whole records from byte {place}"
            )
        place = data.find(MAGIC, place + 1)


def _operation(
    path: Path,
    kind: int,
    head: dict[str, Any],
    tail: memoryview,
    dimension: int,
    dtype: np.dtype[Any],
) -> Operation:
    ids, infos = head.get("ids"), head.get("infos", [])
    if not isinstance(ids, list) or not isinstance(infos, list) or kind not in (PUT, DELETE):
        raise _damaged(path, "a record of another form")
    if kind == DELETE:
        return Delete(ids)
    if len(ids) != len(infos) or len(tail) != len(ids) * dimension * dtype.itemsize:
        raise _damaged(path, "a record of another form")
    vectors = np.frombuffer(tail, dtype).reshape(len(ids), dimension)
    return Put(Rows(ids, [i.encode() for i in infos], vectors))


def _damaged(path: Path, got: str) -> IntegrityError:
    return IntegrityError(
        "the log of a collection is damaged",
        where=path,
        expected="whole records up to the last",
        got=got,
        fix="restore the collection from a copy",
    )


class Log:
    """The end of a log that operations are appended to."""

    def __init__(self, path: Path, replayed: Replay, on_step: OnStep):
        self.path, self.count, self.size = path, len(replayed.operations), replayed.whole
        self._on_step, self.broken = on_step, False
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if replayed.torn:
            os.ftruncate(self._fd, self.size)
            os.fsync(self._fd)
        os.lseek(self._fd, 0, os.SEEK_END)

    def append(self, operation: Operation) -> None:
        """Write an operation and wait until it is on the disk.

        Raises LogError: the operation is not done where writing failed and could be taken back; where the disk did
        not confirm, its fate is unknown until the collection is opened again.
        """
        self.check()
        self._check_own()
        data = encode(self.count, operation)
        self._on_step("log.write")
        try:
            write_all(self._fd, data)
            self._on_step("log.sync")
            self._sync()
            self._on_step("log.synced")
        except BaseException as e:
            # also Ctrl-C: what was not acknowledged must not stand before the next record
            self._take_back()
            if isinstance(e, OSError):
                raise _failed(self.path, e, "the operation is not done") from None
            raise
        self.count, self.size = self.count + 1, self.size + len(data)

    def _sync(self) -> None:
        try:
            os.fsync(self._fd)
        except (
            OSError
        ) as e:  # the system may have dropped the pages: a second fsync would say yes to nothing
            self.broken = True
            raise _failed(self.path, e, "whether the operation is done is unknown") from None

    def _check_own(self) -> None:
        """Raise LogError where the file is not as this writer left it: another one is at work, or it was removed."""
        now = os.fstat(self._fd)
        if now.st_nlink and now.st_size == self.size:
            return
        self.broken = True
        got = f"{now.st_size} bytes" if now.st_nlink else "a removed file"
        raise LogError(
            "the log was changed or removed by somebody else: the operation is not done",
            where=self.path,
            expected=f"{self.size} bytes, as this writer left it",
            got=got,
            fix="see that only one process writes, then open the collection again",
        )

    def check(self) -> None:
        """Raise LogError where an earlier write left the log in an unknown state."""
        if self.broken:
            raise LogError(
                "an earlier write to this collection failed",
                where=self.path,
                fix="close the collection and open it again: opening finds out what is true",
            )

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._fd, self.size)
            os.fsync(self._fd)  # else a power cut could bring the record back
            os.lseek(self._fd, self.size, os.SEEK_SET)
        except OSError:
            self.broken = True

    def close(self) -> None:
        """Close the file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            self.close()


def _failed(path: Path, e: OSError, what: str) -> LogError:
    return LogError(
        f"the log cannot be written: {what}",
        where=path,
        got=e.strerror or str(e),
        fix="free some space or check the disk, then open the collection again",
    )
