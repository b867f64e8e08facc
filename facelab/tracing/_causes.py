"""Why a call was slow: its excess over the usual call, split by use of time, named by rule.

`wall = CPU + run-queue wait + blocked`. Each part's excess over the stage's median is what made the call slow. The
largest part decides; the watcher's looks, page faults, switches and marked events say what it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from facelab.tracing._result import TableResult
from facelab.tracing._trace import Trace
from facelab.tracing._watcher import Sample

CAUSES = {
    "sleep": "the stage slept",
    "lock": "the stage waited for a lock",
    "gc": "Python collected garbage",
    "page_faults": "the stage touched memory for the first time",
    "disk": "the stage waited for a file",
    "model_reload": "a model was loaded",
    "input": "this input needs more work",
    "waiting": "the stage waited for a pipe, a socket or a device",
    "gil": "another thread of this process held Python's lock",
    "core_hog": "the processor ran something else",
    "warm_up": "one of the first calls",
    "processor": "the same work took more processor time; a repetition did not",
    "computation": "more processor time; input or processor cannot be determined",
    "blocked": "blocked; on what cannot be determined",
    "unknown": "no part of the time explains half of the excess",
}
"""Cause → what it means. The first eight are faults of a stage; the others are outside it or not determined."""
FAULTS = ("sleep", "lock", "gc", "page_faults", "disk", "model_reload", "input", "waiting")
LOOKS = {"sleep": "sleep", "lock": "lock", "timed lock": "lock", "file": "disk", "wait": "waiting"}
"""What the watcher saw a blocked thread doing → the cause."""
WARM_UP = 3
MOST_SHARE = 0.5
CHEAP_FAULTS = 0.2
"""Page faults are priced as the tracer measured them on warm memory; cold memory costs up to five times as much."""
LEAST_ALIKE = 8
"""Spans with the same amount of work that make their own median."""


@dataclass(frozen=True)
class SlowCall:
    """One slow span: call number, stage, seconds, the stage's median, the cause, and the evidence.

    `parts` has seconds of excess by use of time (cpu, waiting, blocked, gc, faults); `share` is the named part over
    the whole excess; `where` the line or file that the watcher saw most often, or "".
    """

    call: int
    stage: str
    seconds: float
    usual: float
    cause: str
    share: float
    where: str
    parts: dict[str, float]

    @property
    def fault(self) -> bool:
        """Whether the cause is a fault of the stage (and not of the machine, and not undetermined)."""
        return self.cause in FAULTS


@dataclass(frozen=True)
class Causes(TableResult):
    """Every slow call of a trace with its cause; `calls` is how many calls were looked at."""

    slow: tuple[SlowCall, ...]
    calls: int

    def count(self) -> dict[str, int]:
        """Return how often each cause was named, most frequent first."""
        return dict(Counter(s.cause for s in self.slow).most_common())

    def of_call(self, call: int) -> SlowCall | None:
        """Return the slow span with the largest excess of a call, or None."""
        found = [s for s in self.slow if s.call == call]
        return max(found, key=lambda s: s.seconds - s.usual, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON of schema `facelab.causes/1`."""
        rows = [asdict(s) for s in self.slow]
        return {
            "schema": "facelab.causes/1",
            "calls": self.calls,
            "count": self.count(),
            "slow": rows,
        }

    def _head(self) -> list[str]:
        return ["call", "stage", "took [ms]", "usual [ms]", "cause", "share", "meaning", "where"]

    def _rows(self) -> list[list[Any]]:
        return [
            [
                s.call,
                s.stage,
                round(s.seconds * 1e3, 2),
                round(s.usual * 1e3, 2),
                s.cause,
                round(s.share, 2),
                CAUSES[s.cause],
                s.where,
            ]
            for s in self.slow
        ]

    def _caption(self) -> str:
        return f"{len(self.slow)} slow spans in {self.calls} calls"


def explain(
    trace: Trace,
    *,
    floor_s: float = 0.002,
    times: float = 1.5,
    replayed: Mapping[tuple[int, str], float] | None = None,
) -> Causes:
    """Name the cause of each slow span.

    A span is slow if it exceeds the median of its stage, among spans with as much work, by `floor_s`, by half of it
    (`times`) and by six robust standard deviations. Only innermost spans are judged.

    Parameters
    ----------
    trace : Trace
        Recorded with counters.
    floor_s : float
        Excess in seconds below which no span is slow.
    times : float
        Ratio to the median below which no span is slow.
    replayed : mapping of (call, stage) to float, optional
        Seconds that the same input took when the stage ran again alone: tells an input from a slow processor.

    Returns
    -------
    Causes

    Examples
    --------
    >>> from facelab.tracing import Tracer
    >>> with Tracer(watch_s=None) as tracer:
    ...     for _ in range(20):
    ...         with tracer.span("detect"):
    ...             pass
    >>> explain(tracer.trace()).count()
    {}
    """
    judge = _Judge(trace, replayed or {})
    slow: list[SlowCall] = []
    inner = np.setdiff1d(np.arange(len(trace)), np.unique(trace.parent))
    for k in np.unique(trace.columns["stage"][inner]).tolist():
        rows = inner[trace.columns["stage"][inner] == k]
        for group in _alike(rows, trace.columns["value"][rows]):
            wall = trace.wall_ns[rows[group.members]] / 1e9
            limit = _limit(trace.wall_ns[rows[group.like]] / 1e9, floor_s, times)
            base = judge.usual(rows[group.like])
            slow += [
                judge.name(int(rows[place]), int(place), trace.names[k], base)
                for place in group.members[wall > limit].tolist()
            ]
    slow.sort(key=lambda s: (s.call, -(s.seconds - s.usual)))
    return Causes(tuple(slow), int(trace.call.max()) + 1 if len(trace) else 0)


class _Group(NamedTuple):
    """Spans of a stage that are judged (`members`), and those that they are compared with (`like`)."""

    members: np.ndarray
    like: np.ndarray


def _alike(rows: np.ndarray, work: np.ndarray) -> list[_Group]:
    """Group a stage's spans by their amount of work where enough did the same; the rest compares with all."""
    values, counts = np.unique(work, return_counts=True)
    usual = values[counts >= LEAST_ALIKE]
    groups = [_Group(at, at) for v in usual if len(at := np.flatnonzero(work == v))]
    rest = np.flatnonzero(~np.isin(work, usual))
    return [*groups, _Group(rest, np.arange(len(rows)))] if len(rest) else groups


def _limit(wall: np.ndarray, floor_s: float, times: float) -> float:
    """Return the seconds from which a span is slow."""
    usual = float(np.median(wall))
    spread = 1.4826 * float(np.median(np.abs(wall - usual)))
    least = max(usual * times, usual + floor_s)
    return max(least, min(usual + 6 * spread, 2 * usual))


class _Judge:
    """The rules, with the trace they read."""

    def __init__(self, trace: Trace, replayed: Mapping[tuple[int, str], float]) -> None:
        self.trace, self.replayed = trace, replayed
        self.c = trace.columns
        self.fault_ns = float(trace.facts.get("fault_ns", 0))
        self.switch = float(trace.facts.get("switch_interval_s", 0.005))
        looks = [s for s in trace.samples if s.stage >= 0]
        self.looks: dict[tuple[int, int], list[Sample]] = {}
        for s in looks:
            self.looks.setdefault((s.thread, s.start_ns), []).append(s)
        busy = float(trace.columns["cpu_ns"].sum())
        # on a busy machine each second of processor time costs this many seconds in the run queue
        self.queue = float(trace.columns["wait_ns"].sum()) / busy if busy else 0.0
        switches = float((trace.columns["voluntary"] + trace.columns["involuntary"]).sum())
        self.wake = float(trace.columns["wait_ns"].sum()) / 1e9 / switches if switches else 0.0
        self.clock = np.array([s.at_ns for s in trace.samples], np.int64)
        self.process = np.array([s.process_ns for s in trace.samples], np.int64)

    def parts(self, row: int) -> dict[str, float]:
        """Split one span's seconds: cpu, waiting and blocked add up to wall; gc and faults lie inside them."""
        c = self.c
        wall = (c["end_ns"][row] - c["start_ns"][row]) / 1e9
        waiting = min(c["wait_ns"][row] / 1e9, wall)
        cpu = min(c["cpu_ns"][row] / 1e9, wall - waiting)
        faults = c["minor_faults"][row] * self.fault_ns / 1e9
        if c["minor_faults"][row] >= 8:
            faults = max(
                faults, c["sys_ns"][row] / 1e9
            )  # huge pages: few faults, much of the kernel's time
        return {
            "cpu": cpu,
            "waiting": waiting,
            "blocked": max(0.0, wall - cpu - waiting),
            "gc": c["gc_ns"][row] / 1e9,
            "faults": min(faults, cpu),
        }

    def usual(self, rows: np.ndarray) -> dict[str, float]:
        """Return the median of each part over a stage's spans, and of the work per span."""
        found = [self.parts(int(r)) for r in rows]
        base = {k: float(np.median([f[k] for f in found])) for k in found[0]}
        base["work"] = float(np.median(self.c["value"][rows]))
        base["wall"] = float(np.median(self.trace.wall_ns[rows])) / 1e9
        return base

    def name(self, row: int, place: int, stage: str, base: dict[str, float]) -> SlowCall:
        """Return the slow span with its cause."""
        wall, usual = float(self.trace.wall_ns[row]) / 1e9, base["wall"]
        parts, excess = self.parts(row), wall - usual
        over = {k: max(0.0, v - base[k]) for k, v in parts.items()}
        alone = dict(over)
        queued = min(
            over["waiting"], self.queue * over["cpu"]
        )  # the wait that more work brings with it
        over["waiting"] -= queued
        woken = min(
            over["waiting"], 2 * over["blocked"], self.wake * float(self.c["voluntary"][row])
        )
        over["waiting"] -= woken  # the wait for a processor after each time that it was blocked
        over["blocked"] += woken
        for part in ("cpu", "gc", "faults"):
            over[part] += queued * over[part] / over["cpu"] if over["cpu"] else 0.0
        call = int(self.trace.call[row])
        cause, part = self._cause(row, place, (call, stage), (over, alone), base, excess)
        share = min(1.0, over.get(part, 0.0) / excess)
        where = self._where(row, cause)
        return SlowCall(call, stage, wall, usual, cause, share, where, over)

    def _cause(
        self,
        row: int,
        place: int,
        key: tuple[int, str],
        overs: tuple[dict[str, float], dict[str, float]],
        base: dict[str, float],
        excess: float,
    ) -> tuple[str, str]:
        over, alone = overs  # with and without the wait that more work brings with it
        if place < WARM_UP:
            return "warm_up", "cpu"
        enough = MOST_SHARE * excess
        largest = max(("cpu", "waiting", "blocked"), key=over.__getitem__)
        if self._loading(row) >= enough:
            return "model_reload", largest
        if over["gc"] >= enough:
            return "gc", "gc"
        if over[largest] < enough:
            return "unknown", largest
        if largest != "cpu" and self._gil(row, alone):
            return "gil", largest
        if largest == "waiting":
            return "core_hog", "waiting"
        if largest == "blocked":
            return self._blocked(row), "blocked"
        if self._more_work(row, alone, base):
            return "input", "cpu"  # before page faults: a larger input also needs more memory
        if alone["faults"] >= CHEAP_FAULTS * alone["cpu"]:
            return "page_faults", "faults"
        again = self.replayed.get(key)
        if again is None:
            return "computation", "cpu"
        return "input" if again - base["cpu"] >= 0.5 * alone["cpu"] else "processor", "cpu"

    def _loading(self, row: int) -> float:
        """Return the seconds of a span during which a model was being loaded, in any thread."""
        start, end = int(self.c["start_ns"][row]), int(self.c["end_ns"][row])
        covered, reached = 0, start
        for e in sorted(self.trace.events, key=lambda e: e.start_ns):
            if e.kind == "model_load" and e.end_ns > reached and e.start_ns < end:
                covered += min(end, e.end_ns) - max(reached, e.start_ns)
                reached = min(end, e.end_ns)
        return covered / 1e9

    def _looks(self, row: int) -> list[Sample]:
        return self.looks.get((int(self.c["thread"][row]), int(self.c["start_ns"][row])), [])

    def _gil(self, row: int, alone: dict[str, float]) -> bool:
        """Return whether the time off the processor was spent asking for Python's lock.

        Such a thread gives up waiting once per switch interval and asks again, while another thread computes.
        """
        blocked, off = alone["blocked"], alone["blocked"] + alone["waiting"]
        doing = Counter(s.doing for s in self._looks(row))
        off_looks = sum(doing.values()) - doing["running"]
        asks = self.c["voluntary"][row] >= 0.4 * blocked / self.switch
        timed = asks or (off_looks and doing["timed lock"] >= 0.5 * off_looks)
        return bool(blocked >= 0.2 * off and timed and self._others(row) >= 0.25 * blocked)

    def _blocked(self, row: int) -> str:
        seen = Counter(s.doing for s in self._looks(row))
        seen.pop("running", None)
        unseen = "disk" if self._disk(row) else "blocked"
        if not seen:
            return unseen
        return LOOKS.get(seen.most_common(1)[0][0], unseen)

    def _disk(self, row: int) -> bool:
        return bool(
            self.c["major_faults"][row] or self.c["blocks_in"][row] or self.c["blocks_out"][row]
        )

    def _others(self, row: int) -> float:
        """Return the processor seconds that other threads of this process used during a span."""
        if len(self.clock) < 2:
            return 0.0
        ends = np.array([self.c["start_ns"][row], self.c["end_ns"][row]], np.float64)
        used = np.interp(ends, self.clock.astype(np.float64), self.process.astype(np.float64))
        return max(0.0, float(used[1] - used[0] - self.c["cpu_ns"][row]) / 1e9)

    def _more_work(self, row: int, over: dict[str, float], base: dict[str, float]) -> bool:
        """Return whether more faces or pixels than usual explain the processor time."""
        work = int(self.c["value"][row])
        if base["work"] <= 0 or work < 1.5 * base["work"]:
            return False
        expected = base["cpu"] * work / base["work"]
        # a third is enough: part of every stage does not grow, and larger arrays cost page faults on top
        return expected - base["cpu"] >= over["cpu"] / 3

    def _where(self, row: int, cause: str) -> str:
        if cause in ("core_hog", "warm_up", "unknown"):
            return ""  # whatever line ran then is not the cause
        looks = self._looks(row)
        if cause == "model_reload":
            start, end = self.c["start_ns"][row], self.c["end_ns"][row]
            names = [e.what for e in self.trace.events if e.start_ns < end and e.end_ns > start]
            return names[0] if names else ""
        if cause == "disk" and (files := Counter(s.what for s in looks if s.what)):
            return files.most_common(1)[0][0]
        lines = Counter(s.stack.rsplit(";", 1)[-1] for s in looks if s.stack)
        return lines.most_common(1)[0][0] if lines else ""
