"""Both versions on live traffic: errors, slow answers and agreement, with a verdict that may be looked at any time."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np

from facelab.core.result import Result
from facelab.serving.canary._rollout import Stop, Version
from facelab.serving.canary._sequential import bounds

REFERENCE = 200
"""Answers of the stable version that say what slow means, where the rollout does not; they are not compared."""
KEPT = 50_000
Word = Literal["stop", "good", "continue"]


@dataclass(frozen=True)
class Figure(Result):
    """One comparison: counts and anytime-valid bounds of both versions; agreement has no stable side."""

    name: str
    candidate: tuple[int, int]
    candidate_bounds: tuple[float, float]
    stable: tuple[int, int] | None
    stable_bounds: tuple[float, float] | None
    limit: float
    verdict: Word


@dataclass(frozen=True)
class Judgement(Result):
    """`stop` as soon as one figure proves the candidate worse, `good` when all are proven within their limits."""

    verdict: Word
    because: str
    figures: tuple[Figure, ...]
    slow_s: float | None
    dropped_shadows: int

    def rows(self) -> list[dict]:
        """Return one row per figure."""
        return [f.to_dict() for f in self.figures]


class _Arm:
    def __init__(self) -> None:
        self.n = self.errors = self.slow = self.timed = 0
        self.seconds: deque[float] = deque(maxlen=KEPT)


class Comparison:
    """Collects what both versions did; `judge` may be called after every request.

    Parameters
    ----------
    stop : Stop
        Limits, and the bound on false stops over all looks at all figures together.
    """

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self._lock = threading.Lock()
        self._arms: dict[Version, _Arm] = {"stable": _Arm(), "candidate": _Arm()}
        self._agreed = self._shadowed = 0
        self.dropped = 0
        self._slow_s = None if stop.slow_ms is None else stop.slow_ms / 1e3
        self._reference: list[float] = []

    def saw(self, version: Version, seconds: float, *, failed: bool) -> None:
        """Note one answer and how long it took, in seconds."""
        with self._lock:
            arm = self._arms[version]
            arm.n += 1
            arm.errors += failed
            if failed:
                return
            arm.seconds.append(seconds)
            if self._slow_s is not None:
                arm.timed += 1
                arm.slow += seconds > self._slow_s
            elif version == "stable":
                self._reference.append(seconds)
                if len(self._reference) >= REFERENCE:
                    self._slow_s = float(np.quantile(self._reference, 0.95))

    def both(self, agreed: bool) -> None:
        """Note whether the two versions gave one answer to one request."""
        with self._lock:
            self._shadowed += 1
            self._agreed += agreed

    def seconds(self, version: Version) -> np.ndarray:
        """Return the raw latencies of one version, float64 seconds (the last 50 000)."""
        with self._lock:
            return np.array(self._arms[version].seconds, dtype=np.float64)

    def judge(self) -> Judgement:
        """Return the verdict so far."""
        with self._lock:
            stable, candidate = self._arms["stable"], self._arms["candidate"]
            errors = (candidate.errors, candidate.n), (stable.errors, stable.n)
            slow = (candidate.slow, candidate.timed), (stable.slow, stable.timed)
            agreed, slow_s = (self._agreed, self._shadowed), self._slow_s
        # five bounds in all, so that the false stops of the whole rollout stay below alpha
        alpha = self.stop.alpha / 5
        figures = (
            _rise("errors", *errors, self.stop.error_rise, alpha),
            _rise("slow answers", *slow, self.stop.slow_rise, alpha),
            _agreement(agreed, self.stop.least_agreement, alpha),
        )
        worse = [f for f in figures if f.verdict == "stop"]
        if worse:
            return Judgement("stop", _told(worse[0]), figures, slow_s, self.dropped)
        good = all(f.verdict == "good" for f in figures)
        because = "every figure is within its limit" if good else "the evidence is not enough yet"
        return Judgement("good" if good else "continue", because, figures, slow_s, self.dropped)


def _rise(
    name: str, candidate: tuple[int, int], stable: tuple[int, int], limit: float, alpha: float
) -> Figure:
    a, b = bounds(*candidate, alpha), bounds(*stable, alpha)
    verdict: Word = "continue"
    if a[0] > b[1] + limit:
        verdict = "stop"
    elif a[1] <= b[0] + limit:
        verdict = "good"
    return Figure(name, candidate, a, stable, b, limit, verdict)


def _agreement(counts: tuple[int, int], least: float, alpha: float) -> Figure:
    a = bounds(*counts, alpha)
    verdict: Word = "stop" if a[1] < least else "good" if a[0] >= least else "continue"
    return Figure("agreement", counts, a, None, None, least, verdict)


def _told(f: Figure) -> str:
    k, n = f.candidate
    if f.stable is None:
        return f"agreement is {k} of {n}, below {f.limit:g} beyond doubt"
    return (
        f"{f.name}: the candidate has {k} of {n}, the stable version {f.stable[0]} of "
        f"{f.stable[1]}; more than {f.limit:g} above it beyond doubt"
    )
