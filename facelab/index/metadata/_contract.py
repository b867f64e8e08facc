"""The contract: read a key, replace its value if nobody else did, and say honestly what is known afterwards."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum

from facelab.core.errors import BadInputError

MAX_VALUE = 1 << 20
_KEY = re.compile(r"[A-Za-z0-9._-]{1,64}(/[A-Za-z0-9._-]{1,64}){0,7}")


class Outcome(StrEnum):
    """What is known about a compare-and-swap once it has returned.

    >>> Outcome.UNKNOWN.value
    'unknown'
    """

    DONE = "done"
    """The value was replaced."""
    NOT_DONE = "not done"
    """It was not and will not be: another version stood there, or the request never left."""
    UNKNOWN = "unknown"
    """The answer was lost: it may have been replaced, or may be later. `settle` finds out."""


@dataclass(frozen=True)
class Versioned:
    """A value and the version that a swap must name. Versions of a key only grow and are never used twice."""

    value: bytes
    version: int


@dataclass(frozen=True)
class Swap:
    """The answer to one compare-and-swap.

    Attributes
    ----------
    outcome : Outcome
    version : int or None
        The new version where it is done.
    compared : bool
        Whether the server compared and found another version; False where a request that is not done never left.
    reason : str
        What was seen where it is not done or unknown.
    """

    outcome: Outcome
    version: int | None = None
    compared: bool = False
    reason: str = ""


class Metadata(ABC):
    """A small store of keys that are replaced by compare-and-swap; reads and swaps are linearizable."""

    name: str = ""
    late: bool = False
    """Whether a swap whose answer was lost may still take effect later: a request on its way through a network."""

    @abstractmethod
    def get(self, key: str) -> Versioned | None:
        """Return the value and version of a key, None where there is none. Raises UnreachableError."""

    @abstractmethod
    def swap(self, key: str, expected: int | None, value: bytes) -> Swap:
        """Replace the value if its version is still `expected` (None: if there is none). Sends once, never retries."""

    @abstractmethod
    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that begin with a prefix, sorted."""

    def close(self) -> None:  # noqa: B027
        """Let go of connections, where there are any; the object may not be used afterwards."""


def check_key(key: str) -> str:
    """Return a key of plain words between slashes. Raises BadInputError for another.

    >>> check_key("faces/0")
    'faces/0'
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key) or ".." in key:
        raise BadInputError(
            "a metadata key has the wrong form",
            expected="words of letters, digits, '.', '_' and '-' between slashes",
            got=repr(key)[:120],
            fix="give the collection such a name (name=, --name); its folder may be called otherwise",
        )
    return key


def check_value(value: bytes) -> bytes:
    """Return a value of at most 1 MiB. Raises BadInputError for a larger one: etcd would refuse it."""
    if not isinstance(value, bytes) or len(value) > MAX_VALUE:
        raise BadInputError(
            "a metadata value is too large",
            expected=f"at most {MAX_VALUE} bytes",
            got=f"{len(value)} bytes" if isinstance(value, bytes) else type(value).__name__,
            fix="store large things in files and their hash here",
        )
    return value
