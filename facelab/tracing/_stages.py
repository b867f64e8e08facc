"""How long each stage takes: percentiles with intervals, and where the time went."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from facelab.tracing._quantiles import corrected, quantile
from facelab.tracing._result import TableResult
from facelab.tracing._trace import Trace

LEVELS = (0.5, 0.9, 0.99)
SCHEMA = "facelab.latency/1"


@dataclass(frozen=True)
class Stage:
    """One row: a stage's name, its spans, (value, lo, hi) in seconds per level, and mean seconds by use of time.

    `lo` and `hi` bound a 95 % interval; None where n spans cannot bound that side. `cpu`, `waiting` and `blocked`
    are None without counters.
    """

    name: str
    n: int
    p50: tuple[float, float | None, float | None]
    p90: tuple[float, float | None, float | None]
    p99: tuple[float, float | None, float | None]
    worst: float
    cpu: float | None = None
    waiting: float | None = None
    blocked: float | None = None


@dataclass(frozen=True)
class Stages(TableResult):
    """Percentiles of each stage of a trace, in order of first appearance.

    `calls` has the durations of the outermost spans in seconds. `corrected` says how they were corrected for
    coordinated omission: "due" (every call says when it was due), "period" (waits were filled in), or "none".
    """

    rows: tuple[Stage, ...]
    calls: np.ndarray
    corrected: str
    lost: int
    machine: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON of schema `facelab.latency/1`; `latency_ms` has every call."""
        return {
            "schema": SCHEMA,
            "corrected": self.corrected,
            "lost": self.lost,
            "stages": [asdict(r) for r in self.rows],
            "latency_ms": (self.calls * 1e3).round(6).tolist(),
            "machine": self.machine,
        }

    def _head(self) -> list[str]:
        return [
            "stage",
            "spans",
            "P50 [ms]",
            "P90 [ms]",
            "P99 [ms]",
            "P99 interval [ms]",
            "worst [ms]",
            "CPU [ms]",
            "waiting [ms]",
            "blocked [ms]",
        ]

    def _rows(self) -> list[list[Any]]:
        return [
            [
                r.name,
                r.n,
                *(round(v[0] * 1e3, 3) for v in (r.p50, r.p90, r.p99)),
                _interval(r.p99),
                round(r.worst * 1e3, 3),
                *(None if v is None else round(v * 1e3, 3) for v in (r.cpu, r.waiting, r.blocked)),
            ]
            for r in self.rows
        ]

    def _caption(self) -> str:
        words = {
            "due": "calls are timed from when they were due",
            "period": "waits of calls that a slow call delayed are filled in",
            "none": "calls are timed from when they started",
        }
        lost = f"; {self.lost} older spans were overwritten" if self.lost else ""
        return f"{len(self.calls)} calls; {words[self.corrected]}{lost}"


def _interval(found: tuple[float, float | None, float | None]) -> str:
    lo, hi = ("?" if v is None else f"{v * 1e3:.3g}" for v in found[1:])
    return f"{lo} to {hi}"


def stages(trace: Trace, *, period_s: float | None = None) -> Stages:
    """Return percentiles per stage.

    Parameters
    ----------
    trace : Trace
    period_s : float or None
        Period in seconds at which calls were due. Used where the outermost spans do not say when they were due.
    """
    c, wall = trace.columns, trace.wall_ns
    rows, seen = [], list(dict.fromkeys(c["stage"].tolist()))
    for k in seen:
        at = np.flatnonzero(c["stage"] == k)
        rows.append(_row(trace, trace.names[k], at, wall[at] / 1e9))
    calls, how = responses(trace, period_s)
    if len(calls) and how != "none":
        rows.append(_percentiles("call, corrected", calls))
    return Stages(tuple(rows), calls, how, trace.lost, trace.facts.get("machine", {}))


def responses(trace: Trace, period_s: float | None = None) -> tuple[np.ndarray, str]:
    """Return seconds of the outermost spans, corrected for coordinated omission where possible, and how."""
    c = trace.columns
    outer = trace.parent == -1
    start, end, due = c["start_ns"][outer], c["end_ns"][outer], c["value"][outer]
    if len(due) and (due > 0).all() and (due <= start + 1_000_000).all():
        return (end - due) / 1e9, "due"
    seconds = (end - start) / 1e9
    if period_s is not None:
        return corrected(seconds, period_s), "period"
    return seconds, "none"


def _row(trace: Trace, name: str, at: np.ndarray, seconds: np.ndarray) -> Stage:
    row = _percentiles(name, seconds)
    if not trace.counters:
        return row
    c = trace.columns
    cpu, waiting = c["cpu_ns"][at].mean() / 1e9, c["wait_ns"][at].mean() / 1e9
    blocked = max(0.0, float(seconds.mean() - cpu - waiting))
    return Stage(
        **{**row.__dict__, "cpu": float(cpu), "waiting": float(waiting), "blocked": blocked}
    )


def _percentiles(name: str, seconds: np.ndarray) -> Stage:
    found = [quantile(seconds, q) for q in LEVELS]
    return Stage(name, len(seconds), *found, worst=float(seconds.max()))
