"""What a pool keeps: resources that rest, resources that are lent, and callers that wait."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Generic, TypeVar

from facelab.serving.pools._lease import Taker

T = TypeVar("T")


@dataclass
class Entry(Generic[T]):
    """A resource, when it was made and when it was used last (monotonic seconds)."""

    value: T
    born: float
    used: float


@dataclass
class Out(Generic[T]):
    """A resource that is lent, to whom, and whether an alarm was raised for its age."""

    entry: Entry[T]
    taker: Taker
    told: bool = False


class Waiter(Generic[T]):
    """A caller that waits; `granted` without an entry is the right to make one."""

    __slots__ = ("entry", "granted", "ready")

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.granted = False
        self.entry: Entry[T] | None = None
