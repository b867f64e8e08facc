"""A generation: which segments and which log are the collection. A file that never changes, named in the metadata."""

from __future__ import annotations

import base64
import contextlib
import secrets
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, IntegrityError
from facelab.core.files import dumps, loads_strict, read_input
from facelab.core.hashing import sha256_bytes
from facelab.index._durable import OnStep, sync_folder, write_durably
from facelab.index._view import Part

SCHEMA = "facelab.index.generation/1"
MAX_FILE = 256 << 20


@dataclass(frozen=True)
class Pointer:
    """What the metadata say: the number of the current generation, its file and hash, and the one before."""

    collection: str
    generation: int
    file: str
    sha256: str
    token: str
    after: str | None
    live: int

    def to_bytes(self) -> bytes:
        """Return the pointer as JSON; its token makes it unlike any other."""
        return dumps(self.__dict__).encode()

    @classmethod
    def read(cls, raw: bytes, where: object) -> Pointer:
        """Return a pointer from the metadata. Raises IntegrityError for anything else."""
        try:
            value = loads_strict(raw)
            pointer = cls(**value)
            good = isinstance(pointer.generation, int) and "/" not in pointer.file
            good = good and isinstance(pointer.sha256, str) and isinstance(pointer.token, str)
        except (BadInputError, TypeError):
            good = False
        if not good:
            raise IntegrityError(
                "the metadata of the collection have the wrong form",
                where=where,
                expected=SCHEMA,
                got=repr(raw[:80]),
                fix="facelab index repair",
            )
        return pointer


@dataclass(frozen=True)
class Generation:
    """The content of a generation's file.

    `deleted` maps a segment's name to its deleted rows, packed; `number` counts generations from 1.
    """

    collection: str
    number: int
    token: str
    after: str | None
    log: str
    live: int
    segments: list[dict[str, Any]] = field(default_factory=list)
    deleted: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path, on_step: OnStep) -> Pointer:
        """Write the file and return the pointer that names it."""
        raw = dumps({"schema": SCHEMA, **self.__dict__}).encode()
        name = f"{self.number:012d}-{sha256_bytes(raw)[:16]}.json"
        on_step("generation.write")
        write_durably(folder / name, raw)
        sync_folder(folder)
        return Pointer(
            self.collection,
            self.number,
            name,
            sha256_bytes(raw),
            self.token,
            self.after,
            self.live,
        )

    @classmethod
    def read(cls, path: Path, sha256: str | None = None) -> Generation:
        """Read a generation's file. Raises IntegrityError where it is not what the metadata name."""
        raw = read_input(path, max_bytes=MAX_FILE, what="generation")
        if sha256 is not None and sha256_bytes(raw) != sha256:
            raise damaged(path, "its content has changed")
        try:
            value = loads_strict(raw, where=path, max_bytes=MAX_FILE)
            if value.pop("schema", None) != SCHEMA:
                raise damaged(path, "another version")
            return cls(**value)
        except (BadInputError, TypeError, AttributeError):
            raise damaged(path, "another form") from None

    def marks(self, entry: dict[str, Any]) -> np.ndarray | None:
        """Return which rows of a segment are deleted, or None."""
        packed = self.deleted.get(entry["name"])
        if packed is None:
            return None
        bits = np.frombuffer(zlib.decompress(base64.b64decode(packed)), np.uint8)
        return np.unpackbits(bits, count=entry["rows"]).astype(bool)


def new_token() -> str:
    """Return a word that no other generation has."""
    return secrets.token_hex(8)


def packed_marks(parts: tuple[Part, ...]) -> dict[str, str]:
    """Return the deleted rows of segments as text."""
    return {
        p.segment.entry["name"]: base64.b64encode(
            zlib.compress(np.packbits(p.deleted).tobytes())
        ).decode()
        for p in parts
        if p.deleted is not None
    }


def damaged(path: Path, got: str) -> IntegrityError:
    """Return the error for a generation's file that is not what was written."""
    return IntegrityError(
        "a generation of the collection is damaged",
        where=path,
        expected=SCHEMA,
        got=got,
        fix="facelab index repair, or restore the collection from a copy",
    )


def remove_unnamed(root: Path, keep: Generation, file: str) -> list[str]:
    """Remove what a crash left behind: segments, logs and generations that the current one does not name."""
    import shutil

    named = {e["name"] for e in keep.segments}
    removed = []
    for folder, wanted in (("segments", named), ("logs", {keep.log}), ("generations", {file})):
        for path in sorted((root / folder).iterdir()):
            if path.name in wanted:
                continue
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                removed.append(f"{folder}/{path.name}")
    return removed
