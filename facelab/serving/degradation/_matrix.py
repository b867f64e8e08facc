"""`Degradation`: the matrix's rows, which of them are active, and what happened."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facelab.core import degraded
from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.project import package_file
from facelab.core.result import Result
from facelab.core.toml_files import read_toml

SCHEMA = "facelab.degradation/2"
KEPT = 1000


@dataclass(frozen=True)
class Row:
    """One fallback: trigger → response → what is lost → way back, with the two numbers that the code follows."""

    name: str
    part: str
    trigger: str
    response: str
    lost: str
    back: str
    limit: float
    back_s: float


@dataclass(frozen=True)
class Matrix(Result):
    """The rows of a matrix, in the file's order."""

    entries: tuple[Row, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per fallback."""
        return [asdict(r) for r in self.entries]

    def named(self, name: str) -> Row:
        """Return a row. Raises BadInputError with the nearest name."""
        for row in self.entries:
            if row.name == name:
                return row
        names = [r.name for r in self.entries]
        raise BadInputError(
            f"the matrix has no row {name!r}{did_you_mean(name, names)}",
            expected=", ".join(names),
            fix="choose one of these",
        )


def load_matrix(path: str | os.PathLike[str] | None = None) -> Matrix:
    """Read a degradation matrix (`facelab.degradation/2`), by default the one of the package.

    Parameters
    ----------
    path : str or path or None
        A file.

    Returns
    -------
    Matrix
        The matrix.

    Raises
    ------
    BadInputError
        A row lacks a key, has an unknown one or a number out of range, or two have one name.

    Examples
    --------
    >>> type(load_matrix()).__name__
    'Matrix'
    """
    where = Path(path) if path is not None else package_file("serving/degradation/matrix.toml")
    raw = read_toml(where, "degradation matrix")
    if raw.get("schema") != SCHEMA or not isinstance(raw.get("row"), list) or not raw["row"]:
        raise BadInputError(
            "the file is not a degradation matrix",
            where=where,
            expected=f'schema = "{SCHEMA}" and [[row]] tables',
            got=str(raw.get("schema")),
            fix="copy facelab's own matrix, serving/degradation/matrix.toml, and change it",
        )
    entries = tuple(_row(r, f"{where}: row {k}") for k, r in enumerate(raw["row"], 1))
    names = [r.name for r in entries]
    needed = {r.name for r in load_matrix().entries} if path is not None else set(names)
    if len(set(names)) != len(names) or set(names) != needed:
        raise BadInputError(
            "the matrix's rows are not the service's",
            where=where,
            expected=", ".join(sorted(needed)),
            got=", ".join(names),
            fix="keep every row once; what may be changed are its numbers and texts",
        )
    return Matrix(entries)


def _row(raw: Any, where: str) -> Row:
    fields = Row.__dataclass_fields__
    if not isinstance(raw, dict) or set(raw) != set(fields):
        odd = sorted(set(raw) ^ set(fields)) if isinstance(raw, dict) else ["no table"]
        raise BadInputError(
            "a row lacks a key or has an unknown one",
            where=where,
            expected=", ".join(fields),
            got=", ".join(odd),
            fix="write every key once",
        )
    for name in ("limit", "back_s"):
        value = raw[name]
        if type(value) not in (int, float) or not 0 <= value <= 1e6:
            raise BadInputError(
                f"{name!r} is out of range",
                where=where,
                expected="a number from 0 to 1,000,000",
                got=repr(value),
                fix="write a number from 0 to 1 000 000",
            )
    texts = {k: raw[k] for k in fields if k not in ("limit", "back_s")}
    if not all(isinstance(v, str) and v.strip() for v in texts.values()):
        raise BadInputError("a text is missing", where=where, fix="write every text")
    return Row(**texts, limit=float(raw["limit"]), back_s=float(raw["back_s"]))


class Degradation:
    """Which fallbacks are active. It is safe from several threads.

    Parameters
    ----------
    matrix : Matrix or None
        None: the package's.
    clock : callable
        Seconds; for tests.

    Examples
    --------
    >>> state = Degradation()
    >>> state.trip("workers_down", "10 restarts in a minute"); state.active()
    ('workers_down',)
    >>> state.calm("workers_down"); state.active()
    ()
    """

    def __init__(
        self, matrix: Matrix | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.matrix, self._clock = matrix or load_matrix(), clock
        self._lock = threading.RLock()
        self._since: dict[str, tuple[float, str]] = {}
        self._calm: dict[str, float] = {}
        self.events: list[dict[str, Any]] = []
        self.workers: Callable[[], Any] = lambda: None
        """Returns the report of supervised workers, or None without them; `/metrics` shows it."""

    def trip(self, name: str, why: str = "") -> None:
        """Say that a trigger holds now."""
        self.matrix.named(name)
        with self._lock:
            self._calm.pop(name, None)
            if name not in self._since:
                self._since[name] = (self._clock(), why)
                degraded.enter(name)

    def calm(self, name: str) -> None:
        """Say that a trigger no longer holds; the way back is taken after `back_s` seconds of that."""
        self.matrix.named(name)
        with self._lock:
            if name in self._since:
                self._calm.setdefault(name, self._clock())
                self._settle()

    def end(self, name: str) -> None:
        """Take a fallback back at once, without seconds of calm: what it stood for is there again."""
        self.matrix.named(name)
        with self._lock:
            if name in self._since:
                self._calm[name] = float("-inf")
                self._settle()

    def _settle(self) -> None:
        for name, began in list(self._calm.items()):
            if self._clock() - began >= self.matrix.named(name).back_s:
                since, why = self._since.pop(name)
                del self._calm[name]
                degraded.leave(name)
                seconds = self._clock() - since
                event = {"name": name, "why": why, "began": since, "seconds": seconds}
                self.events.append(event)
                del self.events[:-KEPT]

    def active(self) -> tuple[str, ...]:
        """Return the names of the active fallbacks, in the matrix's order."""
        with self._lock:
            self._settle()
            return tuple(r.name for r in self.matrix.entries if r.name in self._since)

    def since(self, began: float) -> list[str]:
        """Return the fallbacks that began after a time of the clock, those that have ended included."""
        with self._lock:
            ended = [e["name"] for e in self.events if e["began"] >= began]
            return ended + [name for name, (at, _) in self._since.items() if at >= began]

    def close(self) -> None:
        """Take every fallback back: the service ends."""
        with self._lock:
            for name in list(self._since):
                self._calm[name] = float("-inf")
            self._settle()
