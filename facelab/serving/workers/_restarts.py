"""How soon, and how often, a worker may be started again; and inputs that ended workers before."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from facelab.core.errors import BadInputError


@dataclass(frozen=True)
class Restarts:
    """The rule for starting workers again.

    Parameters
    ----------
    budget : int
        Restarts that are allowed within `window_s`; one more closes the gate.
    window_s : float
        Seconds after which a restart no longer counts.
    first_s, most_s : float
        Pause before a restart: `first_s`, doubled with each fault since the last good answer, at most `most_s`.

    Examples
    --------
    >>> Restarts(budget=3).budget
    3
    """

    budget: int = 10
    window_s: float = 60.0
    first_s: float = 0.05
    most_s: float = 5.0

    def __post_init__(self) -> None:
        if self.budget < 1 or not self.window_s > 0 or not 0 <= self.first_s <= self.most_s:
            raise BadInputError(
                "the rule for restarts cannot hold",
                expected="a budget of at least 1, a window above 0, 0 <= first_s <= most_s",
                got=self,
                fix="correct the numbers",
            )


class RestartGate:
    """Counts restarts by a rule. `pause` says how long to wait, or None where the budget is used up."""

    def __init__(self, rule: Restarts, clock: Callable[[], float] = time.monotonic) -> None:
        self.rule, self._clock = rule, clock
        self._times: deque[float] = deque()
        self._row = 0
        self._lock = threading.Lock()

    def _forget(self) -> None:
        while self._times and self._clock() - self._times[0] >= self.rule.window_s:
            self._times.popleft()

    def pause(self) -> float | None:
        """Count one restart and return the seconds to wait before it; None: the gate is closed."""
        with self._lock:
            self._forget()
            if len(self._times) >= self.rule.budget:
                return None
            self._times.append(self._clock())
            self._row += 1
            return min(self.rule.most_s, self.rule.first_s * 2 ** min(self._row - 1, 30))

    def good(self) -> None:
        """Note a good answer: the next pause is the shortest again."""
        self._row = 0

    def opens_in(self) -> float:
        """Return the seconds until a restart is allowed again, 0 where it is now."""
        with self._lock:
            self._forget()
            if len(self._times) < self.rule.budget:
                return 0.0
            return max(0.0, self._times[0] + self.rule.window_s - self._clock())


class Quarantine:
    """Hashes of inputs that ended a worker more often than they may. The oldest is dropped where there are too many."""

    def __init__(self, most: int = 1000, keep_s: float = 3600.0) -> None:
        self.most, self.keep_s = most, keep_s
        self._held: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, key: str, why: str) -> None:
        """Hold an input from now on."""
        with self._lock:
            self._held[key] = (time.monotonic(), why)
            self._held.move_to_end(key)
            while len(self._held) > self.most:
                self._held.popitem(last=False)

    def why(self, key: str) -> str | None:
        """Return why an input is held, or None."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                return None
            if time.monotonic() - found[0] > self.keep_s:
                del self._held[key]
                return None
            return found[1]

    def clear(self) -> None:
        """Let every input in again, for instance after an update of the decoder."""
        with self._lock:
            self._held.clear()

    def __len__(self) -> int:
        return len(self._held)
