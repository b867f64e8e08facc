"""A segment: rows that never change, with everything a search needs, as files that are mapped into memory."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import IntegrityError
from facelab.core.files import dumps, loads_strict
from facelab.core.hashing import sha256_bytes
from facelab.index._durable import OnStep, sync_folder, write_durably
from facelab.index._rows import Rows
from facelab.matching import Matcher, Prepared

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = "facelab.index.segment/1"
HEAD, ARRAYS = "segment.json", "arrays.bin"
PAGE = 4096
_TEXTS = ("ids", "infos")


def id_key(name: str) -> int:
    """Return the 64-bit number that an id is looked up by; equal numbers are distinguished by the ids themselves.

    >>> id_key("a") == id_key("a"), id_key("a") == id_key("b")
    (True, False)
    """
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8"), digest_size=8).digest(), "little")


def id_keys(names: Sequence[str]) -> NDArray[np.uint64]:
    """Return the look-up numbers of ids."""
    return np.fromiter((id_key(n) for n in names), np.uint64, len(names))


def write_segment(
    folder: Path, rows: Rows, metric: str, threads: int | None, on_step: OnStep
) -> dict[str, Any]:
    """Prepare rows and write them as a new segment below `folder`; return its entry for a generation."""
    prepared = Prepared.of(Matcher(rows.vectors, metric, threads=threads))
    keys = id_keys(rows.ids)
    order = np.argsort(keys, kind="stable")
    arrays = {**prepared.arrays, "keys": keys[order], "key_rows": order.astype(np.int64)}
    for name, texts in zip(_TEXTS, ([i.encode() for i in rows.ids], rows.infos)):
        arrays[name] = np.frombuffer(b"".join(texts), np.uint8)
        lengths = np.fromiter((len(t) for t in texts), np.int64, len(texts))
        arrays[f"{name}_ends"] = np.cumsum(lengths)
    name = secrets.token_hex(8)
    target = folder / name
    target.mkdir(parents=True)
    on_step("segment.write")
    facts = _write_arrays(target / ARRAYS, arrays)
    head = {"schema": SCHEMA, "rows": len(rows), "matcher": prepared.header, "arrays": facts}
    text = dumps(head, indent=1).encode()
    write_durably(target / HEAD, text)
    on_step("segment.sync")
    sync_folder(target)
    sync_folder(folder)
    return {"name": name, "rows": len(rows), "sha256": sha256_bytes(text)}


def _write_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Write arrays into one file, each at the start of a page, and return where each is and its hash."""
    facts: dict[str, Any] = {}
    pieces: list[memoryview | bytes] = []
    at = 0
    for name, array in arrays.items():
        raw = _raw(array)
        facts[name] = {
            "at": at,
            "dtype": array.dtype.name,
            "shape": list(array.shape),
            "sha256": hashlib.sha256(raw).hexdigest(),
        }
        gap = -len(raw) % PAGE
        pieces += [raw, bytes(gap)]
        at += len(raw) + gap
    write_durably(path, pieces)
    return facts


class Segment:
    """A written segment, opened: a matcher, and ids that are found without reading them all.

    Opening checks the header's hash and each file's size; `verify` reads everything.
    """

    def __init__(self, folder: Path, entry: dict[str, Any], threads: int | None = None):
        self.entry, self.folder = entry, folder / str(entry["name"])
        self.head = self._head()
        whole = self._mapped()
        self._arrays = {n: _cut(whole, f) for n, f in self.head["arrays"].items()}
        prepared = {k: v for k, v in self._arrays.items() if k in _MATCHER}
        self.matcher = Prepared(self.head["matcher"], prepared).matcher(threads)
        if len(self.matcher) != self.entry["rows"]:
            raise self._damaged("another number of rows", self.entry["rows"], len(self.matcher))

    def __len__(self) -> int:
        return len(self.matcher)

    @property
    def vectors(self) -> NDArray[Any]:
        """The vectors, (rows, d)."""
        return self._arrays["vectors"]

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return sum(int(a.nbytes) for a in self._arrays.values())

    def id_of(self, row: int) -> str:
        """Return the id of a row."""
        return self._text("ids", row).decode()

    def info_of(self, row: int) -> bytes:
        """Return a row's label and payload as JSON bytes."""
        return self._text("infos", row)

    def _text(self, name: str, row: int) -> bytes:
        ends = self._arrays[f"{name}_ends"]
        first = int(ends[row - 1]) if row else 0
        return self._arrays[name][first : int(ends[row])].tobytes()

    def find(self, names: Sequence[str], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the row of each id, -1 where it is not here."""
        sorted_keys = self._arrays["keys"]
        first = np.searchsorted(sorted_keys, keys, "left")
        last = np.searchsorted(sorted_keys, keys, "right")
        rows = np.full(len(names), -1, np.int64)
        for i in np.flatnonzero(last > first):
            for place in range(int(first[i]), int(last[i])):
                row = int(self._arrays["key_rows"][place])
                if self.id_of(row) == names[int(i)]:
                    rows[i] = row
        return rows

    def rows(self, keep: NDArray[np.int64]) -> Rows:
        """Return some rows, in order, as they were put."""
        ids = [self.id_of(int(r)) for r in keep]
        return Rows(ids, [self.info_of(int(r)) for r in keep], self.vectors[keep])

    def verify(self) -> list[str]:
        """Read every file and return one sentence per array that is not what was written."""
        return [
            f"{self.folder.name}: the content of {name!r} has changed"
            for name, facts in self.head["arrays"].items()
            if hashlib.sha256(_raw(self._arrays[name])).hexdigest() != facts["sha256"]
        ]

    def _head(self) -> dict[str, Any]:
        path = self.folder / HEAD
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            raise
        except OSError as e:
            raise self._damaged("cannot be read", "a file", e.strerror) from None
        if sha256_bytes(raw) != self.entry["sha256"]:
            raise self._damaged("has changed", self.entry["sha256"], sha256_bytes(raw))
        head = loads_strict(raw, where=path)
        if head.get("schema") != SCHEMA:
            raise self._damaged("has a different version", SCHEMA, head.get("schema"))
        return head

    def _mapped(self) -> NDArray[np.uint8]:
        path, facts = self.folder / ARRAYS, self.head["arrays"].values()
        wanted = max(f["at"] + -(-_nbytes(f) // PAGE) * PAGE for f in facts)
        size = path.stat().st_size
        if size != wanted:
            raise self._damaged("has a different size", wanted, size)
        # copy-on-write: kernels are compiled for arrays that may be written, and the file stays as it is
        return np.memmap(path, np.uint8, "c").view(np.ndarray)

    def _damaged(self, what: str, expected: object, got: object) -> IntegrityError:
        return IntegrityError(
            f"a file of a segment {what}",
            where=self.folder,
            expected=expected,
            got=got,
            fix="facelab index verify names every damaged file; restore it from a copy",
        )


def _raw(array: NDArray[Any]) -> memoryview:
    """Return an array's bytes."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _nbytes(facts: dict[str, Any]) -> int:
    return int(np.prod(facts["shape"], dtype=np.int64)) * np.dtype(facts["dtype"]).itemsize


def _cut(whole: NDArray[np.uint8], facts: dict[str, Any]) -> NDArray[Any]:
    """Return one array of a segment's file, without copying it."""
    raw = whole[facts["at"] : facts["at"] + _nbytes(facts)]
    return raw.view(np.dtype(facts["dtype"])).reshape(facts["shape"])


_MATCHER = ("vectors", "squares", "codes", "params", "corrections", "mean")
