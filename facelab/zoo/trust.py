"""The record of trust: which files without a published hash, and which converted ones, this checkout relies on.

One JSON object a line: hash, size, name, source, how it came to be trusted, when and by whom. The record is stored
outside the folders of weights and data, so that anyone who can put a file there cannot make it trusted.
"""

from __future__ import annotations

import datetime
import functools
import getpass
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.core.files import dumps, loads_strict
from facelab.core.hashing import refuse_giant, sha256_file, sha256_json
from facelab.core.project import installation_root

How = Literal["first use", "converted", "made here"]
MAX_RECORD = 16 << 20


@dataclass(frozen=True)
class Trusted:
    """One trusted file. `source` is an address or path, for a converted file its source's hash and the version."""

    sha256: str
    bytes: int
    name: str
    source: str
    how: How
    who: str
    at: str


def record_file() -> Path:
    """Return the record's file: `FACELAB_TRUST`, else `.facelab/trust.jsonl` of this installation."""
    return Path(os.environ.get("FACELAB_TRUST") or installation_root() / ".facelab" / "trust.jsonl")


def is_trusted(name: str, sha256: str) -> bool:
    """Return whether somebody here trusted a file of this content under this asset's name."""
    return any(t.name == name and t.sha256 == sha256 and t.how == "first use" for t in entries())


def conversion(name: str, source: str) -> str | None:
    """Return the hash of the file that was converted from `source` (its hash and the converter's version), or None."""
    found = [
        t.sha256
        for t in entries()
        if t.name == name and t.source == source and t.how == "converted"
    ]
    return found[-1] if found else None


def entries() -> tuple[Trusted, ...]:
    """Return the whole record, oldest first. A line that cannot be read trusts nothing."""
    path = record_file()
    try:
        stat = path.stat()
    except OSError:
        return ()
    return _read(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=4)
def _read(path: Path, stamp: int, size: int) -> tuple[Trusted, ...]:
    if size > MAX_RECORD:
        raise BadInputError(
            "the record of trust is too large",
            where=path,
            expected=f"at most {MAX_RECORD} bytes",
            got=f"{size} bytes",
            fix="remove the file; what it trusted is asked for again",
        )
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found.append(Trusted(**loads_strict(line)))
        except (BadInputError, TypeError):
            continue
    return tuple(found)


def remember(name: str, sha256: str, size: int, source: str, how: How) -> bool:
    """Append one entry to the record; return whether it could be written."""
    entry = Trusted(sha256, size, name, source, how, _who(), _now())
    path = record_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # one write of less than a page: lines of two processes do not mix
        with path.open("a", encoding="utf-8") as f:
            f.write(dumps(asdict(entry)) + "\n")
    except OSError:
        return False
    return True


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):
        return f"user {os.getuid()}"


TRUST_MODEL = "FACELAB_TRUST_MODEL"
"""Set (by `--trust-model`) where the user says that TensorFlow may run this call's model without a sandbox."""


def content_hash(path: Path) -> tuple[str, int]:
    """Return the SHA-256 and the size of a file, or of everything in a folder (a SavedModel)."""
    refuse_giant(path)
    if path.is_file():
        return sha256_file(path), path.stat().st_size
    files = sorted(p for p in path.rglob("*") if p.is_file())
    listed = [[p.relative_to(path).as_posix(), sha256_file(p)] for p in files]
    return sha256_json(listed), sum(p.stat().st_size for p in files)


def vouch(path: Path) -> None:
    """Remember a model that facelab made here, so that it may be run where no sandbox can be had."""
    sha, size = content_hash(path)
    if not is_vouched(path, sha):
        remember(path.name, sha, size, str(path.resolve()), "made here")


def is_vouched(path: Path, sha: str | None = None) -> bool:
    """Return whether facelab made a model of this very content here."""
    known = {t.sha256 for t in entries() if t.how == "made here"}
    return bool(known) and (sha or content_hash(path)[0]) in known


def may_run_freely(path: Path) -> bool:
    """Return whether TensorFlow may run a model in this process: the user says so, or facelab made it."""
    return bool(os.environ.get(TRUST_MODEL)) or is_vouched(path)


def refuse_stranger(path: object, doing: str, why: str) -> UnsupportedError:
    """Return the error for a model that could do anything, where nothing would hold it."""
    return UnsupportedError(
        f"{doing} would run whatever the model holds, and nothing would hold it",
        where=path,
        expected="a kernel with Landlock (Linux 5.13 or newer), or a model that you trust",
        got=why,
        fix="if you know who made the model, say --trust-model (or set FACELAB_TRUST_MODEL=1); "
        "or use its .tflite or .onnx",
    )
