"""Notebook 16, first half: a model replaced again and again under load, without a failed or a mixed request."""

from __future__ import annotations

import gc
import threading
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core import allocator
from facelab.core.machine import load as machine_load
from facelab.core.machine import rss_bytes
from facelab.core.result import Result
from facelab.core.safety.scratch import ScratchFolder
from facelab.serving import ModelSlot, ReleaseStore, open_loop
from facelab.serving.internals import Trust
from facelab.studies.release import pictures

WORKERS = 8
"""Threads that send; they live as long as the measurement, as a service's do."""


@dataclass(frozen=True, eq=False)
class Swaps(Result):
    """Requests during windows with and without swaps. Latencies are seconds from when a request was due."""

    quiet: np.ndarray
    swapping: np.ndarray
    swaps: int
    refused: int
    failed: int
    mixed: int
    requests: int
    load_s: np.ndarray
    rss_start: int
    rss_end: int
    rss: np.ndarray
    old_gone: dict[str, int]
    model_bytes: int
    machine_load: float

    def p99_ratio(self) -> float:
        """Return P99 while swapping over P99 without."""
        return float(np.quantile(self.swapping, 0.99) / np.quantile(self.quiet, 0.99))

    def p99_interval(self, replicates: int = 500, seed: int = 0) -> tuple[float, float]:
        """Return a 95 % interval of the ratio, by resampling blocks of 50 requests (neighbours share a stall)."""
        rng, ratios = np.random.default_rng(seed), []
        for _ in range(replicates):
            a, b = (_blocks(x, rng) for x in (self.swapping, self.quiet))
            ratios.append(np.quantile(a, 0.99) / np.quantile(b, 0.99))
        low, high = np.quantile(ratios, [0.025, 0.975])
        return float(low), float(high)

    def growth(self) -> float:
        """Return the growth of resident memory over all swaps, in sizes of the model's file."""
        return (self.rss_end - self.rss_start) / self.model_bytes

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per kind of window."""
        names = {"quiet": self.quiet, "swapping": self.swapping}
        return [
            {
                "windows": name,
                "requests": len(x),
                **{f"p{q:g} [ms]": float(np.percentile(x, q)) * 1e3 for q in (50, 90, 99)},
                "max [ms]": float(x.max()) * 1e3,
            }
            for name, x in names.items()
            if len(x)
        ]


def _blocks(x: np.ndarray, rng: np.random.Generator, size: int = 50) -> np.ndarray:
    whole = x[: len(x) // size * size].reshape(-1, size)
    return whole[rng.integers(0, len(whole), len(whole))].ravel() if len(whole) else x


def swaps_under_load(
    bundles: list[Path],
    trust: Trust,
    *,
    swaps: int,
    rate_hz: float = 100.0,
    window_s: float = 1.0,
    pause_s: float = 0.0,
    most_s: float = 90.0,
    seed: int = 0,
) -> Swaps:
    """Send requests on a schedule and swap between two versions in every second window, until `swaps` are done.

    Windows with and without swaps alternate, so that both meet the same neighbours. Memory is compared at rest, after
    a collection and a trim, between the end and the end of a first pair of windows that warms everything up.

    Each answer must be bit for bit what its own release answers alone: label, scores and preprocessing of one version.

    Parameters
    ----------
    bundles : list of Path
        Two versions.
    trust : Trust
        In the key that signed them.
    swaps : int
        Swaps to make, one after the other with `pause_s` seconds between them.
    rate_hz, window_s : float
        Requests per second, and seconds of a window.
    most_s : float
        Seconds after which no further window begins: a busy machine makes fewer swaps.
    seed : int
        Of the arrivals.
    """
    images = pictures()
    truth = {b: _alone(b, images) for b in bundles}
    known = dict(truth.values())
    state = _Counted()
    with (
        ScratchFolder() as store,
        ModelSlot(ReleaseStore(store, trust=trust), isolate=True) as slot,
        ThreadPoolExecutor(WORKERS) as threads,
    ):
        for b in (*bundles, bundles[0]):  # both are admitted, and the first one serves
            slot.offer(b)
        drive = _Drive(slot, bundles, images, known, state, rate_hz, window_s, pause_s, threads)
        drive.quiet(seed), drive.swapping(seed, swaps)
        start, size, made = (
            _at_rest(),
            slot.release.manifest_bytes if slot.release else 0,
            state.done,
        )
        state.done, quiet, busy, end = 0, [], [], time.monotonic() + most_s
        while state.done < swaps and (time.monotonic() < end or not busy):
            seed += 1
            first = [] if seed % 2 else [drive.swapping(seed, swaps)]  # the order changes too
            quiet.append(drive.quiet(seed))
            busy += first or [drive.swapping(seed, swaps)]
        return _summary(state, quiet, busy, list(slot.swaps)[3 + made :], (start, _at_rest()), size)


def _at_rest() -> int:
    """Return resident bytes without what a collection and a trim give back."""
    gc.collect()
    allocator.trim()
    return rss_bytes()


def _summary(
    state: _Counted,
    quiet: list[np.ndarray],
    busy: list[np.ndarray],
    made: list[Any],
    rss: tuple[int, int],
    size: int,
) -> Swaps:
    gone = [s.old_gone for s in made if s.accepted]
    return Swaps(
        np.concatenate(quiet),
        np.concatenate(busy),
        state.done,
        sum(not s.accepted for s in made),
        state.failed,
        state.mixed,
        state.requests,
        np.array([s.load_s for s in made]),
        *rss,
        np.array([s.rss_after for s in made]),
        {"yes": gone.count(True), "no": gone.count(False), "unknown": gone.count(None)},
        size,
        machine_load(),
    )


class _Counted:
    def __init__(self) -> None:
        self.done = self.turn = self.failed = self.mixed = self.requests = 0


def _alone(bundle: Path, images: list[np.ndarray]) -> tuple[str, list[Any]]:
    with ModelSlot() as slot:
        slot.offer(bundle)
        with slot.lease() as release:
            return release.hash, [release.run(image) for image in images]


@dataclass(eq=False)
class _Drive:
    """Windows of requests to one slot, with and without swaps."""

    slot: ModelSlot
    bundles: list[Path]
    images: list[np.ndarray]
    known: dict[str, list[Any]]
    state: _Counted
    rate_hz: float
    window_s: float
    pause_s: float
    threads: Executor

    def quiet(self, seed: int) -> np.ndarray:
        """Return the latencies of one window without swaps."""
        load = open_loop(
            self._call,
            rate_hz=self.rate_hz,
            seconds=self.window_s,
            workers=WORKERS,
            seed=seed,
            executor=self.threads,
        )
        self.state.failed += len(load.outcome) - load.count("ok")
        self.state.requests += len(load.outcome)
        return load.latency

    def swapping(self, seed: int, most: int) -> np.ndarray:
        """Return the latencies of one window with swaps, at most `most` in all."""
        stop = threading.Event()
        worker = threading.Thread(target=self._swap_until, args=(stop, most))
        worker.start()
        seen = self.quiet(seed)
        stop.set()
        worker.join()
        return seen

    def _call(self, k: int) -> None:
        image = k % len(self.images)
        with self.slot.lease() as release:
            got = release.run(self.images[image])
        want = self.known[got.release][image]
        if got.label != want.label or not np.array_equal(got.arrays[0], want.arrays[0]):
            self.state.mixed += 1

    def _swap_until(self, stop: threading.Event, most: int) -> None:
        while not stop.is_set() and self.state.done < most:
            self.slot.offer(self.bundles[(self.state.turn + 1) % len(self.bundles)])
            self.state.done += 1
            self.state.turn += 1
            stop.wait(self.pause_s)
