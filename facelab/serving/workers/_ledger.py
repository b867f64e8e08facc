"""The count of all inputs: what was asked is answered, lost or refused, and each fault has a time of recovery."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.core.result import Result

KEPT = 10_000


@dataclass(frozen=True)
class Fault:
    """One fault: its cause, seconds until it was noticed, and seconds from then until a worker was ready again."""

    cause: str
    noticed_s: float
    recovered_s: float | None


@dataclass(frozen=True)
class WorkerReport(Result):
    """What happened to every input.

    `asked` = `answered` + `failed` + `lost` + `refused`: `failed` are answers that are errors (a damaged image), `lost`
    are inputs that ended their workers, `refused` came while no worker could be started or are in quarantine.
    `recovered` inputs were answered by another worker after a fault; they are among the answered ones.
    """

    asked: int
    answered: int
    failed: int
    lost: int
    refused: int
    recovered: int
    quarantined: int
    causes: dict[str, int]
    faults: tuple[Fault, ...]

    @property
    def silent(self) -> int:
        """Inputs that nothing is known of. Anything but 0 is a bug."""
        return self.asked - self.answered - self.failed - self.lost - self.refused

    def recovery(self) -> np.ndarray:
        """Return the seconds of recovery of each fault after which a worker was ready."""
        return np.array([f.recovered_s for f in self.faults if f.recovered_s is not None])

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per cause: faults, and quantiles of the seconds until noticed and recovered."""
        out = []
        for cause, n in sorted(self.causes.items()):
            chosen = [f for f in self.faults if f.cause == cause]
            times = np.array([f.recovered_s for f in chosen if f.recovered_s is not None])
            row: dict[str, Any] = {"cause": cause, "faults": n, "recovered": len(times)}
            row["noticed_p50_s"] = float(np.median([f.noticed_s for f in chosen]))
            for q in (50, 90, 100):
                row[f"recovered_p{q}_s"] = float(np.percentile(times, q)) if len(times) else None
            out.append(row)
        return out

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON (`facelab.worker-report/1`)."""
        fields = super().to_dict()
        return {"schema": "facelab.worker-report/1", **fields, "silent": self.silent}


class Ledger:
    """Counts, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._causes: Counter[str] = Counter()
        self._faults: list[Fault] = []

    def count(self, what: str) -> None:
        """Add one to a figure of the report."""
        with self._lock:
            self._counts[what] += 1

    def fault(self, fault: Fault) -> None:
        """Note one fault; the last ten thousand keep their times."""
        with self._lock:
            self._causes[fault.cause] += 1
            self._faults.append(fault)
            del self._faults[:-KEPT]

    def report(self) -> WorkerReport:
        """Return the figures so far."""
        with self._lock:
            names = ("asked", "answered", "failed", "lost", "refused", "recovered", "quarantined")
            figures = {name: self._counts[name] for name in names}
            return WorkerReport(**figures, causes=dict(self._causes), faults=tuple(self._faults))
