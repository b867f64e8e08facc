"""The errors a user sees: what, where, expected, got, and what to do next."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Generator
from difflib import get_close_matches
from typing import Any

from facelab.core import escape


class FacelabError(Exception):
    """A failure that a user can act on; printed without a traceback by the command line.

    Each field is one sentence or less. `what` says what failed; `where` names the file, line, stage or
    cell; `expected` and `got` are the two values that differ; `fix` is the next thing to do.

    >>> e = BadInputError("the box is empty", where="labels.csv:7", expected="x2 > x1", got="x1=9, x2=4",
    ...                   fix="correct the row or drop it")
    >>> print(e)
    the box is empty
      where:    labels.csv:7
      expected: x2 > x1
      got:      x1=9, x2=4
      fix:      correct the row or drop it
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        got: object = None,
        fix: str | None = None,
    ):
        self.what = what
        self.where = None if where is None else str(where)
        self.expected = None if expected is None else str(expected)
        self.got = None if got is None else str(got)
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        # lines of a field are indented, so that none of them passes for a field or a verdict
        lines = [_shown(self.what, "  ")]
        for name in ("where", "expected", "got", "fix"):
            value = getattr(self, name)
            if value is not None:
                lines.append(f"  {name + ':':<9} {_shown(value, ' ' * 12, cut=name == 'got')}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions with keyword-only fields do not survive pickling by default; runner processes need it.
        return _rebuild, (type(self), self.__dict__.copy())

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON, `error` naming the class."""
        fields = {n: getattr(self, n) for n in ("what", "where", "expected", "got", "fix")}
        return {"error": type(self).__name__, **fields}


def _shown(text: str, indent: str = "", *, cut: bool = True) -> str:
    """Return text that is fit for a terminal: cut where it is long, control characters as escapes.

    >>> _shown("a\\0b"), len(_shown("x" * 9999))
    ('a\\\\x00b', 421)
    """
    most = 400 if cut else 4000
    shown = escape.block(text[:most], indent)
    return shown if len(text) <= most else f"{shown} … ({len(text):,} characters)"


def _rebuild(cls: type[FacelabError], state: dict[str, Any]) -> FacelabError:
    error = cls.__new__(cls)
    Exception.__init__(error, state["what"])
    error.__dict__.update(state)
    return error


class BadInputError(FacelabError):
    """The input (a file, an array, an option) is not what the operation takes. Exit code 2."""

    exit_code = 2


_OS_FIXES = {
    errno.ENOENT: "check the path",
    errno.EACCES: "check who may read or write it, or choose another path",
    errno.EPERM: "check who may read or write it, or choose another path",
    errno.EROFS: "choose a path that can be written",
    errno.ENOSPC: "free some space, or choose another disk",
    errno.EFBIG: "choose another disk, or a larger limit of a file's size",
    errno.EDQUOT: "free some space, or choose another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EISDIR: "name a file, not a folder",
    errno.ENOTDIR: "name a folder, not a file",
    errno.EEXIST: "choose another name",
}
NO_ROOM = errno.ENOSPC, errno.EDQUOT, errno.EFBIG


def from_os(e: OSError) -> BadInputError:
    """Return the error that tells a user what the system refused, and where.

    >>> print(from_os(PermissionError(errno.EACCES, "Permission denied", "data/x")))
    a file or folder cannot be read or written
      where:    data/x
      got:      Permission denied
      fix:      check who may read or write it, or choose another path
    """
    what = (
        "the system refused an operation"
        if e.filename is None
        else "a file or folder cannot be read or written"
    )
    name = e.filename
    if e.errno in NO_ROOM and e.filename2 is not None:
        name = e.filename2  # where it was copied to
    where = os.fsdecode(name) if isinstance(name, bytes) else name
    if e.errno in NO_ROOM and isinstance(where, str):
        # a temporary folder is gone when this is read: what it is in is what has no room
        where = re.split(r"[^/\\]*\.fltmp\b", where)[0].rstrip("/\\") or where
    return BadInputError(
        what,
        where=where,
        got=e.strerror or str(e) or type(e).__name__,
        fix=_OS_FIXES.get(e.errno or 0, "check the path, the disk and the network"),
    )


class MissingAssetError(FacelabError):
    """A model or data file is not here and could not be had. Exit code 2."""

    exit_code = 2


class IntegrityError(FacelabError):
    """A file's bytes are not the promised ones (size, hash, truncation). Exit code 2."""

    exit_code = 2


class UnsupportedError(FacelabError):
    """The request is understood, but this backend, platform or build does not offer it. Exit code 2."""

    exit_code = 2


class CheckFailedError(FacelabError):
    """A measured figure misses its budget, or two things that must agree do not. Exit code 1."""


@contextlib.contextmanager
def at(where: object) -> Generator[None]:
    """Put the place before what errors of this block name as theirs: what checks an array does not know its file.

    >>> with at("pairs.npz"):
    ...     raise BadInputError("an embedding holds NaN", where="a[3]")
    Traceback (most recent call last):
    facelab.core.errors.BadInputError: an embedding holds NaN
      where:    pairs.npz: a[3]
    """
    try:
        yield
    except FacelabError as e:
        if e.where is None or str(where) not in e.where:
            e.where = str(where) if e.where is None else f"{where}: {e.where}"
        raise


def did_you_mean(name: str, known: Any) -> str:
    """Return `; did you mean 'x'?` for the closest known name, or an empty string.

    >>> did_you_mean("treshold", ["threshold", "seed"])
    "; did you mean 'threshold'?"
    >>> did_you_mean("zzz", ["threshold"])
    ''
    """
    close = get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
