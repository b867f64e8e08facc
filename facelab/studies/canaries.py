"""Notebook 16, second half: who gets the candidate, looking at any time, and canaries that stop by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.result import Result
from facelab.core.safety.scratch import ScratchFolder
from facelab.serving import Canary, ModelSlot
from facelab.serving.internals import Rollout, bounds
from facelab.studies.release import pictures


def shares(ratios: list[float], *, units: int = 10_000) -> list[dict[str, Any]]:
    """Return the share of units that each ratio gives the candidate, with the 99 % binomial interval of a fair draw."""
    from scipy import stats

    out, before = [], set()
    for ratio in sorted(ratios):
        plan = rollout("shares", ratio=ratio)
        taken = {u for u in range(units) if plan.decide(f"unit-{u}")[0] == "candidate"}
        low, high = stats.binom.interval(0.99, units, ratio)
        row = {"ratio": ratio, "share": len(taken) / units, "lo": low / units, "hi": high / units}
        out.append({**row, "inside": low <= len(taken) <= high, "nested": before <= taken})
        before = taken
    return out


def rollout(name: str, *, ratio: float, shadow: float = 0.1, **stop: float) -> Rollout:
    """Return a rollout plan in memory."""
    value = {"schema": "facelab.rollout/1", "name": name, "salt": "salt of notebook 16"}
    return Rollout.model_validate({**value, "ratio": ratio, "shadow": shadow, "stop": stop})


def peeking(
    *, share: float = 0.05, n: int = 2000, runs: int = 200, seed: int = 0
) -> dict[str, float]:
    """Return the share of runs in which the truth was ever outside, looking every 20 requests, for two intervals."""
    rng = np.random.default_rng(seed)
    looks = np.arange(20, n + 1, 20)
    ever = {"anytime-valid": 0, "ordinary 95 %": 0}
    for _ in range(runs):
        counts = np.cumsum(rng.random(n) < share)[looks - 1]
        z = np.abs(counts / looks - share) / np.sqrt(share * (1 - share) / looks)
        ever["ordinary 95 %"] += bool((z > 1.96).any())
        ever["anytime-valid"] += any(
            not low <= share <= high
            for low, high in (bounds(int(k), int(m), 0.05) for k, m in zip(counts, looks))
        )
    return {k: v / runs for k, v in ever.items()}


@dataclass(frozen=True, eq=False)
class CanaryRun(Result):
    """A rollout on live requests: how many it took until the stop, and the agreement's bounds on the way."""

    requests: int
    stopped: str | None
    failed: int
    seconds: float
    agreement: np.ndarray
    audit: list[str]


def canary(
    stable: Path, candidate: Path, *, requests: int, broken: bool = False, ratio: float = 0.3
) -> CanaryRun:
    """Send requests through a canary until it stops or `requests` are done.

    With `broken` the candidate raises in every fifth call; else it is what its weights make it. Each request names
    one of 200 units, and every answer must come.
    """
    images, trail, failed = pictures(), [], 0
    with ScratchFolder() as folder, ModelSlot() as a, ModelSlot() as b:
        a.offer(stable)
        b.offer(candidate)
        path = Path(folder) / "rollout.toml"
        text = 'schema = "facelab.rollout/1"\nname = "study"\nsalt = "salt of notebook 16"\n'
        path.write_text(f"{text}ratio = {ratio}\nshadow = {0.0 if broken else 0.5}\n")
        work = _work(b.release.hash if b.release else "", images, broken)
        started = time.perf_counter()
        with Canary(a, b, path, agree=_same_class) as both:
            for k in range(requests):
                try:
                    both.ask(f"unit-{k % 200}", work(k))
                except RuntimeError:
                    failed += 1
                if k % 5 == 0 or both.stopped:
                    figure = both.status().figures[2]
                    trail.append((k, figure.candidate[1], *figure.candidate_bounds))
                if both.stopped:
                    break
            audit = [line["what"] for line in both.audit.read()]
        seconds = time.perf_counter() - started
    return CanaryRun(k + 1, both.stopped, failed, seconds, np.array(trail), audit)


def _work(bad: str, images: list[np.ndarray], broken: bool) -> Callable[[int], Callable]:
    def of(k: int) -> Callable:
        def run(release: Any) -> Any:
            if broken and release.hash == bad and k % 5 == 0:
                raise RuntimeError("planted failure")
            return release.run(images[k % len(images)])

        return run

    return of


def _same_class(a: Any, b: Any) -> bool:
    """Labels carry the version's name; the class after it is the answer."""
    return str(a.label).split("-")[-1] == str(b.label).split("-")[-1]
