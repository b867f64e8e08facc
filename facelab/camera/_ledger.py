"""A ledger of frames: everything that arrived was delivered, is waiting, or is counted under a reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from facelab.core.errors import CheckFailedError
from facelab.core.result import Result

DELIVERED = "delivered"
REASONS: dict[str, str] = {
    DELIVERED: "handed to the reader",
    "paired": "became one half of a frame pair",
    "skipped": "a newer frame was there when the reader asked for the newest",
    "too old": "older than the reader's limit when it could be delivered",
    "repeated": "same sequence number or same time stamp as the frame before",
    "truncated": "fewer bytes than the format needs, or a JPEG without its end",
    "corrupt": "flagged by the driver, or not decodable",
    "pool exhausted": "no free slot in the frame pool",
    "no partner": "the other stream has no frame near enough",
    "buffer full": "the pairing buffer was full of newer frames",
    "out of order": "its time stamp is before one that was already seen",
    "clock jump": "its clock jumped, so its time stamp cannot be compared",
    "warming up": "the clock estimate had not seen enough frames",
    "left over": "still waiting when the source stopped",
}
"""What can become of a frame that arrived."""

EVENTS: dict[str, str] = {
    "lost": "never arrived: a gap in the sequence numbers",
    "same content": "delivered, but its bytes equal those of the frame before",
    "clock jump": "the device clock jumped against the system's",
    "restarted": "sequence numbers began again",
    "unplugged": "the device went away",
    "replugged": "the device came back and was opened again",
    "timeout": "no frame came in the time that the reader gave",
    "no huffman tables": "an MJPEG frame without tables; the standard ones were put in",
}
"""What else a source counts; these are not frames that arrived."""


@dataclass(frozen=True)
class LedgerReport(Result):
    """A ledger at one moment, as plain numbers."""

    name: str
    arrived: int
    waiting: int
    outcomes: dict[str, int]
    events: dict[str, int]

    @property
    def balanced(self) -> bool:
        """Whether arrived = waiting + the sum of the outcomes."""
        return self.arrived == self.waiting + sum(self.outcomes.values())

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "name": self.name,
            "arrived": self.arrived,
            "waiting": self.waiting,
            "outcomes": dict(self.outcomes),
            "events": dict(self.events),
            "balanced": self.balanced,
        }


class Ledger:
    """Count what becomes of frames, so that none is lost without a reason.

    Examples
    --------
    >>> ledger = Ledger("colour")
    >>> ledger.arrive(3)
    >>> ledger.settle("delivered")
    >>> ledger.settle("corrupt")
    >>> ledger.waiting
    1
    >>> ledger.check(waiting=1)
    >>> ledger.report().outcomes
    {'delivered': 1, 'corrupt': 1}
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.arrived = 0
        self._outcomes: Counter[str] = Counter()
        self._events: Counter[str] = Counter()

    def arrive(self, n: int = 1) -> None:
        """Count frames that arrived."""
        self.arrived += n

    def settle(self, reason: str, n: int = 1) -> None:
        """Count what became of `n` frames that had arrived; `reason` is a key of `REASONS`."""
        if reason not in REASONS:
            raise ValueError(f"no such outcome of a frame: {reason!r}")
        self._outcomes[reason] += n

    def event(self, name: str, n: int = 1) -> None:
        """Count something that is not the outcome of a frame; `name` is a key of `EVENTS`."""
        if name not in EVENTS:
            raise ValueError(f"no such event of a source: {name!r}")
        self._events[name] += n

    def __getitem__(self, reason: str) -> int:
        """Return the count of an outcome or of an event."""
        return self._outcomes[reason] if reason in self._outcomes else self._events[reason]

    @property
    def waiting(self) -> int:
        """Frames that arrived and have no outcome yet."""
        return self.arrived - sum(self._outcomes.values())

    def check(self, waiting: int) -> None:
        """Raise CheckFailedError unless exactly `waiting` frames have no outcome yet.

        Parameters
        ----------
        waiting
            How many frames the owner of the ledger really holds.
        """
        if self.waiting != waiting:
            raise CheckFailedError(
                "frames are lost without a reason",
                where=self.name,
                expected=f"{waiting} frames without an outcome",
                got=f"{self.waiting}: {self.report().to_dict()}",
                fix="report this as a bug of facelab",
            )

    def report(self) -> LedgerReport:
        """Return the counts of this moment."""
        return LedgerReport(
            self.name, self.arrived, self.waiting, dict(self._outcomes), dict(self._events)
        )

    def take_over(self, report: LedgerReport) -> None:
        """Replace all counts by those of a report (of a ledger in another process)."""
        self.arrived = report.arrived
        self._outcomes, self._events = Counter(report.outcomes), Counter(report.events)
