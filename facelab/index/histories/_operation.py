"""One call of one client, with its times and its answer; histories as lines of JSON."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from facelab.core.errors import BadInputError
from facelab.core.files import dumps, loads_strict, read_input, write_text

MAX_FILE = 256 << 20


@dataclass(frozen=True)
class Operation:
    """A read or a compare-and-swap as its client saw it.

    Parameters
    ----------
    client : str
    key : str
    kind : {"read", "swap"}
    call : float
        Seconds on a clock that all clients share, when the call was made.
    ret : float or None
        When the answer came; None where it never did.
    value : str or None
        What was read (None: there is no such key), or what the swap wanted to write.
    expected : str or None
        The value that the swap named as the present one (None: there is none).
    done : bool or None
        The swap's outcome; None where it is unknown. Reads have True.

    Examples
    --------
    >>> Operation("c", "k", "swap", 0.0, 1.0, "a", None, True).unknown
    False
    """

    client: str
    key: str
    kind: Literal["read", "swap"]
    call: float
    ret: float | None
    value: str | None
    expected: str | None = None
    done: bool | None = True

    def __post_init__(self) -> None:
        texts = (self.client, self.key)
        good = self.kind in ("read", "swap") and all(isinstance(t, str) for t in texts)
        times = [self.call] if self.ret is None else [self.call, self.ret]
        good = good and all(isinstance(t, (int, float)) and math.isfinite(t) for t in times)
        if not good or (self.ret is not None and self.ret < self.call) or self._half():
            raise BadInputError(
                "an operation of a history has the wrong form",
                expected="a read or a swap whose answer does not come before its call",
                got=str(asdict(self))[:200],
                fix="record the clock before the call and after the answer",
            )

    def _half(self) -> bool:
        """Return whether an outcome and the time of the answer contradict each other."""
        known = isinstance(self.done, bool)
        return (self.done is not None and not known) or (known and self.ret is None)

    @property
    def unknown(self) -> bool:
        """Whether it may or may not have taken place."""
        return self.done is None

    def __str__(self) -> str:
        if self.kind == "read":
            return f"client {self.client} read {self.value!r}"
        said = {True: "done", False: "refused", None: "unknown"}[self.done]
        return f"client {self.client} swapped {self.expected!r} → {self.value!r}: {said}"


def save_history(path: str | os.PathLike[str], operations: Iterable[Operation]) -> Path:
    """Write a history, one operation per line, atomically.

    Parameters
    ----------
    path : str or path
        A file.
    operations : Iterable[Operation]
        What clients called and saw.

    Returns
    -------
    path
        The path of the file.
    """
    return write_text(path, "".join(dumps(asdict(o)) + "\n" for o in operations))


def read_history(path: str | os.PathLike[str]) -> list[Operation]:
    """Read a history.

    Parameters
    ----------
    path : str or path
        A file.

    Returns
    -------
    list of Operation
        The operations.

    Raises
    ------
    BadInputError
        With the line for one that is not an operation.
    """
    try:
        lines = read_input(path, max_bytes=MAX_FILE, what="history").split(b"\n")
    except OSError as e:
        raise BadInputError(
            "the history cannot be read", where=path, got=e.strerror, fix="check the path"
        ) from None
    found: list[Operation] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            found.append(_operation(line, f"{path}:{number}"))
    return found


def _operation(line: bytes, where: str) -> Operation:
    try:
        value: Any = loads_strict(line)
        return Operation(**value)
    except (BadInputError, TypeError) as e:
        raise BadInputError(
            "a line of the history is not an operation",
            where=where,
            got=str(e).splitlines()[0][:160],
            fix="facelab index history writes histories",
        ) from None
