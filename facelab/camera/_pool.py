"""A pool of frame memory: no page fault per frame, and no frame whose pixels change behind its reader."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.camera._errors import PoolExhaustedError, StaleFrameError
from facelab.core.errors import BadInputError
from facelab.core.result import Result

POISON = 0xA5
"""What a released slot is filled with when a pool poisons."""


@dataclass(frozen=True)
class PoolReport(Result):
    """What a pool has seen.

    `exhausted` counts requests that found no free slot; `recovered` counts slots whose frame was dropped without
    `release()`; `stale_uses` counts uses after a release, each of which raised; `held` names who holds a slot now.
    """

    slots: int
    slot_bytes: int
    free: int
    most_in_use: int
    acquired: int
    released: int
    recovered: int
    exhausted: int
    stale_uses: int
    held: tuple[tuple[str, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON; `held` as rows of name and seconds."""
        return {**self.__dict__, "held": [list(row) for row in self.held]}


class _Memory:
    """The base of a loan's array: it lives as long as any view of the array, and no longer."""

    __slots__ = ("__array_interface__", "__weakref__", "_row")

    def __init__(self, row: np.ndarray) -> None:
        self._row = row
        self.__array_interface__ = row.__array_interface__


class Slot:
    """One loan of a slot: an array, its number and the generation that makes the loan unlike the next one."""

    __slots__ = ("_finalizer", "_pool", "array", "generation", "index")

    def __init__(self, pool: FramePool, index: int, generation: int, row: np.ndarray) -> None:
        self._pool, self.index, self.generation = pool, index, generation
        memory = _Memory(row)
        self.array = np.asarray(memory)
        # Not the slot but the memory is watched: an array taken out of a dropped frame still keeps the loan.
        self._finalizer = weakref.finalize(memory, pool._recover, index, generation)
        self._finalizer.atexit = False

    @property
    def alive(self) -> bool:
        """Whether the memory still belongs to this loan."""
        return self._pool._generation[self.index] == self.generation

    def check(self) -> None:
        """Raise StaleFrameError if the memory was given back."""
        if not self.alive:
            self._pool._stale += 1
            raise StaleFrameError(
                "a frame is used after it was given back to its pool",
                where=f"{self._pool.name}, slot {self.index}",
                expected=f"generation {self.generation}",
                got=f"generation {self._pool._generation[self.index]}",
                fix="copy the frame before release() if it must live longer",
            )

    def release(self) -> None:
        """Give the slot back. Raises StaleFrameError if that was done before."""
        self.check()
        self._finalizer.detach()
        self._pool._give_back(self.index, self.generation, "released")


class FramePool:
    """A fixed number of equal slots that frames borrow and give back.

    Each loan has a generation number. Reading `Frame.data` after the loan ended raises StaleFrameError. An array that
    was taken out of a frame before `release()` cannot be called back: `poison=True` fills it, so that tests see its
    use. A loan that nobody gives back ends when the frame and every array of it are gone; that is counted.

    Parameters
    ----------
    slots
        How many frames can be out at once.
    slot_bytes
        Bytes of the largest frame.
    name
        What errors call the pool.
    poison
        Fill slots on release with 0xA5.
    memory
        A writable buffer of `slots * slot_bytes` bytes to use, such as shared memory; by default the pool makes one.
    on_free
        Called with a slot's number whenever it becomes free again.

    Examples
    --------
    >>> pool = FramePool(slots=1, slot_bytes=16)
    >>> slot = pool.acquire(12)
    >>> slot.array.shape
    (12,)
    >>> pool.acquire(1)
    Traceback (most recent call last):
    facelab.camera._errors.PoolExhaustedError: no slot of the frame pool is free
      where:    frames
      expected: at most 1 frames in use
      got:      somebody held for 0.0 s
      fix:      release frames sooner (with frame: ...), or make the pool larger
    >>> slot.release()
    >>> slot.alive
    False
    """

    def __init__(
        self,
        *,
        slots: int,
        slot_bytes: int,
        name: str = "frames",
        poison: bool = False,
        memory: Any = None,
        on_free: Callable[[int], None] | None = None,
    ) -> None:
        if slots < 1 or slot_bytes < 1:
            raise BadInputError(
                "a frame pool needs at least one slot of one byte",
                where=name,
                got=f"{slots} slots of {slot_bytes} bytes",
                fix="give positive numbers",
            )
        self.name, self.slots, self.slot_bytes, self.poison = name, slots, slot_bytes, poison
        whole = (
            np.zeros(slots * slot_bytes, np.uint8)
            if memory is None
            else np.frombuffer(memory, np.uint8, slots * slot_bytes)
        )
        if memory is None:
            whole.fill(POISON)  # touch every page now, not while frames are captured
        self._rows = whole.reshape(slots, slot_bytes)
        self._generation = [0] * slots
        self._free = list(range(slots))
        self._held: dict[int, tuple[str, float]] = {}
        self._lock = threading.RLock()  # a finalizer may run inside acquire()
        self._on_free = on_free
        self._most = self._acquired = self._released = self._recovered = 0
        self._exhausted = self._stale = 0

    def acquire(self, nbytes: int, holder: str = "somebody") -> Slot:
        """Borrow a slot.

        Parameters
        ----------
        nbytes
            Bytes that the frame needs.
        holder
            Who takes it, for the report.

        Returns
        -------
        Slot
            `slot.array` is (nbytes,) uint8.

        Raises
        ------
        PoolExhaustedError
            If no slot is free; that is counted.
        BadInputError
            If the frame is larger than a slot.
        """
        with self._lock:
            if not self._free:
                self._exhausted += 1
                oldest, since = min(self._held.values(), key=lambda held: held[1])
                raise PoolExhaustedError(
                    "no slot of the frame pool is free",
                    where=self.name,
                    expected=f"at most {self.slots} frames in use",
                    got=f"{oldest} held for {time.monotonic() - since:.1f} s",
                    fix="release frames sooner (with frame: ...), or make the pool larger",
                )
            return self.take(self._free[0], nbytes, holder)

    def take(self, index: int, nbytes: int, holder: str = "somebody") -> Slot:
        """Borrow one particular free slot (its filler chose it, as another process does)."""
        if nbytes > self.slot_bytes:
            raise BadInputError(
                "a frame is larger than a slot of its pool",
                where=self.name,
                expected=f"at most {self.slot_bytes} bytes",
                got=f"{nbytes} bytes",
                fix="make the pool with larger slots",
            )
        with self._lock:
            self._free.remove(index)
            self._generation[index] += 1
            self._held[index] = (holder, time.monotonic())
            self._acquired += 1
            self._most = max(self._most, len(self._held))
            return Slot(self, index, self._generation[index], self._rows[index, :nbytes])

    def _give_back(self, index: int, generation: int, how: str) -> None:
        with self._lock:
            if self._generation[index] != generation:
                return
            self._generation[index] += 1
            self._held.pop(index, None)
            if how == "released":
                self._released += 1
            else:
                self._recovered += 1
            if self.poison:
                self._rows[index].fill(POISON)
            self._free.append(index)
        if self._on_free is not None:
            self._on_free(index)

    def _recover(self, index: int, generation: int) -> None:
        self._give_back(index, generation, "recovered")

    def report(self) -> PoolReport:
        """Return what the pool has seen so far."""
        now = time.monotonic()
        with self._lock:
            held = tuple(sorted((who, now - since) for who, since in self._held.values()))
            return PoolReport(
                self.slots,
                self.slot_bytes,
                len(self._free),
                self._most,
                self._acquired,
                self._released,
                self._recovered,
                self._exhausted,
                self._stale,
                held,
            )
