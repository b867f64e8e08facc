"""Notebook 20: how late outputs are by each way of scheduling, what merge rules do, and the adaptive beat."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.core.isolated import module_command
from facelab.feedback import beat
from facelab.feedback.schedule import (
    Player,
    Program,
    Pulse,
    PulseRules,
    merge_pulses,
)

WAYS = ("sleep(period)", "absolute, thread", "own process", "own process, FIFO")
LOADS = ("no extra load", "busy Python thread", "busy cores")


@dataclass(frozen=True)
class Lateness:
    """How late ticks were by one way under one load, in milliseconds against an absolute grid."""

    way: str
    load: str
    ms: np.ndarray
    note: str

    def at(self, share: float) -> float:
        """Return the milliseconds that this share does not exceed."""
        return float(np.quantile(self.ms, share))


def lateness(*, hz: float = 60.0, seconds: float = 3.0, fifo: int = 10) -> list[Lateness]:
    """Measure every way under every load; ways take turns, so that neighbours weigh on all of them."""
    out = []
    with Player({"led": "recording"}) as plain, Player({"led": "recording"}, fifo=fifo) as real:
        why = real.schedule.refused.get("fifo", "granted")
        for load in LOADS:
            with _load(load):
                out += [
                    Lateness(WAYS[0], load, _ticks(hz, seconds, absolute=False), ""),
                    Lateness(WAYS[1], load, _ticks(hz, seconds, absolute=True), ""),
                    Lateness(WAYS[2], load, _played(plain, hz, seconds), ""),
                    Lateness(WAYS[3], load, _played(real, hz, seconds), f"FIFO {why}"),
                ]
    return out


def _ticks(hz: float, seconds: float, *, absolute: bool) -> np.ndarray:
    """Tick in a thread of this interpreter; return milliseconds behind the grid."""
    n, late = int(hz * seconds), []

    def run() -> None:
        start = time.monotonic()
        for k in range(1, n + 1):
            wait = start + k / hz - time.monotonic() if absolute else 1 / hz
            if wait > 0:
                time.sleep(wait)
            late.append((time.monotonic() - start - k / hz) * 1e3)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return np.array(late)


def _played(player: Player, hz: float, seconds: float) -> np.ndarray:
    before = len(player.report().late_s)
    pictures = np.zeros((int(hz * seconds), 8, 8), np.uint8)
    pictures[::2, 3, 3] = 1
    player.send(Program(pictures, hz))
    time.sleep(seconds)  # the loads go on meanwhile
    player.finish()
    return player.report().late_s[before:] * 1e3


@contextlib.contextmanager
def _load(name: str) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=_spin, args=(stop,), daemon=True)
    with contextlib.ExitStack() as stack:
        if name == "busy Python thread":
            thread.start()
            stack.callback(thread.join)
            stack.callback(stop.set)
            time.sleep(0.5)
        elif name == "busy cores":
            stack.enter_context(busy(2))
        yield


@contextlib.contextmanager
def busy(n: int) -> Iterator[None]:
    """Keep n processes computing meanwhile.

    Parameters
    ----------
    n : int
        As many as there are cores makes every core busy.

    Yields
    ------
    None
        While they compute; afterwards they are gone.
    """
    command = module_command("facelab.studies.feedback_schedule", "spin")
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(n)]
    time.sleep(0.5)
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def _spin(stop: threading.Event) -> None:
    while not stop.is_set():
        sum(k * k for k in range(20_000))


# ---------------------------------------------------------------- merge rules
@dataclass(frozen=True)
class RuleTrial:
    """What the merge rules did to random programs: shares of the pulses asked for, and how often a rule was broken."""

    programs: int
    pulses: int
    merged: float
    dropped: float
    stretched: float
    broken: int


def try_rules(programs: int = 2000, seed: int = 0) -> RuleTrial:
    """Apply the rules to random programs and check each promise on every result."""
    rng, rules = np.random.default_rng(seed), PulseRules()
    counts, broken = np.zeros(4, int), 0
    for _ in range(programs):
        asked = _random_pulses(rng)
        found = merge_pulses(asked)
        counts += (found.asked, found.merged, found.dropped, found.stretched)
        played = found.pulses
        gaps = [b.start_s - a.stop_s for a, b in itertools.pairwise(played)]
        again = merge_pulses(played)
        broken += any(p.seconds < rules.least_s - 1e-9 for p in played)
        broken += any(g < rules.gap_s - 1e-9 for g in gaps)
        broken += again.pulses != played
    asked_n = int(counts[0])
    merged, dropped, stretched = (float(c) / max(1, asked_n) for c in counts[1:])
    return RuleTrial(programs, asked_n, merged, dropped, stretched, broken)


def _random_pulses(rng: np.random.Generator) -> list[Pulse]:
    starts = np.sort(rng.uniform(0, 2, rng.integers(1, 20)))
    lengths = rng.exponential(0.05, len(starts))
    return [Pulse(float(a), float(a + n)) for a, n in zip(starts, lengths)]


def example_pulses() -> list[Pulse]:
    """Return pulses that meet every rule: merged, dropped, stretched, and stretched into the next one."""
    rows = [
        (0, 90),
        (105, 200),
        (300, 312),
        (325, 335),
        (420, 440),
        (520, 560),
        (700, 735),
        (760, 900),
    ]
    return [Pulse(a / 1000, b / 1000) for a, b in rows]


# ---------------------------------------------------------------- adaptive beat
CASES = ((40.0, 60.0), (60.0, 30.0), (80.0, 30.0), (60.0, 10.0))


def formula_rows() -> list[dict[str, Any]]:
    """Return what each formula says for the cases of the source text."""
    return [
        {
            "°C": celsius,
            "frames per second": fps,
            **{
                f"{name}, ms": round(beat.interval_ms(celsius, fps, name)) for name in beat.FORMULAS
            },
        }
        for celsius, fps in CASES
    ]


def margin_rows(delays: tuple[float, ...] = (0.1, 1.0, 5.0, 10.0)) -> list[beat.Margins]:
    """Return the margins of the corrected formula, plain and smoothed by 10 s, for several delays."""
    return [beat.margins("corrected", delay_s=d, tau_s=tau) for tau in (0.0, 10.0) for d in delays]


if __name__ == "__main__" and sys.argv[1:] == ["spin"]:
    over = threading.Event()
    threading.Thread(target=_spin, args=(over,), daemon=True).start()
    sys.stdin.read()  # ends when the parent does
