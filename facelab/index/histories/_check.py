"""Is a history linearizable? A search for one order of the operations that explains every answer.

Keys are independent, so each is judged alone. A read that fits and a refused swap that fits change nothing and can be
ordered at once; only swaps that took place, or may have, need a choice. Operations without an answer may take effect
at any time after their call, or never.

References
----------
J. Wing, C. Gong: Testing and Verifying Concurrent Objects (1993); G. Lowe: Testing for Linearizability (2017).
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from facelab.core.errors import BadInputError
from facelab.core.result import Result
from facelab.index.histories._operation import Operation

MAX_STATES = 2_000_000


@dataclass(frozen=True)
class HistoryCheck(Result):
    """The verdict over a history.

    Attributes
    ----------
    linearizable : bool or None
        None where the search was given up: it cannot be determined.
    operations, unknown, keys : int
        Operations with an answer, swaps without one, and distinct keys.
    states : int
        Configurations that were looked at.
    seconds : float
    because : str
        The first answer that no order explains, or why the search was given up.
    """

    linearizable: bool | None
    operations: int
    unknown: int
    keys: int
    states: int
    seconds: float
    because: str = ""

    def text(self) -> str:
        """Return the verdict in one line."""
        word = {True: "linearizable", False: "NOT linearizable", None: "cannot be determined"}
        shape = f"{self.operations} operations on {self.keys} keys, {self.unknown} unknown"
        tail = f": {self.because}" if self.because else ""
        return f"{word[self.linearizable]} ({shape}, {self.seconds:.2f} s){tail}"


def check_history(operations: Iterable[Operation], *, max_states: int = MAX_STATES) -> HistoryCheck:
    """Return whether reads and compare-and-swaps of several clients are linearizable.

    Parameters
    ----------
    operations : iterable of Operation
        Every call that was made: one that is left out may make a bad history look good. A key starts without a value.
    max_states : int
        Configurations per key after which the search is given up.

    Returns
    -------
    HistoryCheck

    Raises
    ------
    BadInputError
        There is no operation with an answer: nothing can be said.

    Examples
    --------
    >>> put = Operation("a", "k", "swap", 0, 1, "one", None, True)
    >>> check_history([put, Operation("b", "k", "read", 2, 3, "one")]).linearizable
    True
    >>> check_history([put, Operation("b", "k", "read", 2, 3, None)]).because
    "key k: client b read None where only 'one' can stand"
    """
    started = time.perf_counter()
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        if not (operation.unknown and operation.kind == "read"):
            by_key[operation.key].append(operation)
    known = sum(not o.unknown for mine in by_key.values() for o in mine)
    if not known:
        raise BadInputError(
            "a history without answers says nothing",
            expected="operations with an answer",
            fix="check that the clients reached the server",
        )
    verdict, because, states = True, "", 0
    for key, mine in sorted(by_key.items()):
        good, looked, why = _check_key(mine, max_states)
        states += looked
        if good is not True and verdict is not False:
            verdict, because = good, f"key {key}: {why}"
    unknown = sum(map(len, by_key.values())) - known
    seconds = time.perf_counter() - started
    return HistoryCheck(verdict, known, unknown, len(by_key), states, seconds, because)


def _check_key(operations: list[Operation], most: int) -> tuple[bool | None, int, str]:
    """Judge one key, first without the lost swaps whose value nobody saw: where that suffices it is much faster."""
    known = sorted((o for o in operations if not o.unknown), key=lambda o: o.call)
    lost = sorted((o for o in operations if o.unknown), key=lambda o: o.call)
    seen = {o.value for o in known if o.kind == "read"} | {o.expected for o in known}
    seen |= {o.expected for o in lost}
    likely = [o for o in lost if o.value in seen]
    first = _Search(known, likely, most)
    good, states = first.run(), first.states
    if good is True or len(likely) == len(lost):
        return good, states, first.why
    second = _Search(known, lost, most)
    good = second.run()
    return good, states + second.states, second.why


class _Search:
    """Depth-first over configurations: how many known operations are ordered, which lost ones, the value then.

    `base` counts the known operations, by call, that are ordered without a gap; `ahead` has a bit for each further
    one; `used` has a bit for each lost swap that took effect.
    """

    def __init__(self, known: Sequence[Operation], lost: Sequence[Operation], most: int):
        self.known, self.lost, self.most = known, lost, most
        self.returns = [math.inf if o.ret is None else o.ret for o in known]
        self.states, self.why = 0, ""
        self._furthest = -1

    def run(self) -> bool | None:
        """Return whether an order was found; None where the search was given up."""
        stack: list[tuple[int, int, int, str | None]] = [(0, 0, 0, None)]
        seen = set(stack)
        while stack:
            base, ahead, used, value = self._settled(*stack.pop())
            if base == len(self.known):
                self.why = ""
                return True
            self.states += 1
            if self.states > self.most:
                self.why = f"no order found among {self.most} configurations"
                return None
            for state in self._choices(base, ahead, used, value):
                if state not in seen:
                    seen.add(state)
                    stack.append(state)
        return False

    def _open(self, base: int, ahead: int) -> tuple[list[int], float]:
        """Return the operations that may come next, and the time by which one of them must."""
        found, first, i = [], math.inf, base
        while i < len(self.known) and self.known[i].call <= first:
            if not ahead >> (i - base) & 1:
                found.append(i)
                first = min(first, self.returns[i])
            i += 1
        return [i for i in found if self.known[i].call <= first], first

    def _settled(
        self, base: int, ahead: int, used: int, value: str | None
    ) -> tuple[int, int, int, str | None]:
        """Order what fits and changes nothing: doing so at once excludes no other order."""
        while True:
            while ahead & 1:
                base, ahead = base + 1, ahead >> 1
            found, _ = self._open(base, ahead)
            fits = [i for i in found if _idle(self.known[i], value)]
            if not fits:
                self._note(base, ahead, value, found)
                return base, ahead, used, value
            for i in fits:
                ahead |= 1 << (i - base)

    def _choices(
        self, base: int, ahead: int, used: int, value: str | None
    ) -> list[tuple[int, int, int, str | None]]:
        found, first = self._open(base, ahead)
        states = []
        for j, o in enumerate(self.lost):
            if o.call > first:
                break
            if not used >> j & 1 and o.expected == value:
                states.append((base, ahead, used | 1 << j, o.value))
        for i in found:
            o = self.known[i]
            if o.kind == "swap" and o.done and o.expected == value:
                states.append((base, ahead | 1 << (i - base), used, o.value))
        return states

    def _note(self, base: int, ahead: int, value: str | None, found: list[int]) -> None:
        done = base + ahead.bit_count()
        if done > self._furthest and found:
            self._furthest = done
            due = min(found, key=lambda i: self.returns[i])
            self.why = f"{self.known[due]} where only {value!r} can stand"


def _idle(o: Operation, value: str | None) -> bool:
    """Return whether an operation's answer fits a value that it leaves as it is."""
    if o.kind == "read":
        return o.value == value
    return (not o.done and o.expected != value) or (
        bool(o.done) and o.expected == value and o.value == value
    )
