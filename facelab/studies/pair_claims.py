"""Three claims of the source text about frame pairs, as ratios: a buffer of 3, a pool, a pinned thread.

The text says: a buffer of 3 lowers latency by 22 %, a pool shortens GC pauses by 68 %, pinning steadies a thread.
Each is measured here for Python, where threads share one lock and arrays are freed by counting references.
"""

from __future__ import annotations

import gc
import os
import queue
import resource
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facelab.camera.internals import FramePool
from facelab.core import allocator, fresh
from facelab.core.timing import median_interval

TEXT = {"buffer of 3": 0.78, "pool": 0.32}
"""Ratios that the source text claims."""


@dataclass(frozen=True)
class Claim:
    """One ratio: `case` against `against`, below 1 where the case is better; `samples` are ratios per round."""

    claim: str
    case: str
    against: str
    metric: str
    ratio: float
    lo: float
    hi: float
    samples: np.ndarray = field(repr=False)
    note: str = ""


def _claim(
    claim: str, case: str, against: str, metric: str, ratios: np.ndarray, note: str = ""
) -> Claim:
    ratios = np.asarray(ratios, float)
    return Claim(
        claim,
        case,
        against,
        metric,
        float(np.median(ratios)),
        *median_interval(ratios),
        ratios,
        note,
    )


# ---------------------------------------------------------------- a buffer between capture and decision
@dataclass(frozen=True)
class Hand:
    """How frames go from one thread to the other: slots, and whether a full buffer drops its oldest frame."""

    slots: int
    newest: bool


HANDS = {
    "no buffer": Hand(0, False),
    "buffer of 3": Hand(3, False),
    "newest of 1": Hand(1, True),
    "newest of 3": Hand(3, True),
}
"""Without a buffer a frame is handed over when the other thread is ready; `newest` drops the oldest when full."""


def buffer_claim(
    rounds: int = 8, frames: int = 60, seed: int = 0
) -> tuple[list[Claim], dict[str, float]]:
    """Measure latency from the moment a frame was due to its decision, for each way of `HANDS`.

    Parameters
    ----------
    rounds : int
        All ways take turns in each.
    frames : int
        Per round and way, at 100 per second.
    seed : int
        Of the work per frame: 7 ms on average, one in ten takes 25 ms.

    Returns
    -------
    claims : list of Claim
        Median and P95 latency against "no buffer". For "buffer of 3" also the latency that a program sees which
        starts its clock when it has put the frame in: the wait before is left out.
    dropped : dict of str to float
        Share of frames that each way dropped.
    """
    due: dict[str, list[np.ndarray]] = {name: [] for name in HANDS}
    put: dict[str, list[np.ndarray]] = {name: [] for name in HANDS}
    lost = dict.fromkeys(HANDS, 0)
    for k in range(rounds):
        rng = np.random.default_rng([seed, k])
        work = np.where(rng.random(frames) < 0.1, 0.025, rng.uniform(0.003, 0.007, frames))
        for name in np.random.default_rng([seed, k, 1]).permutation(list(HANDS)):
            from_due, from_put, dropped = _hand_over(HANDS[name], work)
            due[name].append(from_due)
            put[name].append(from_put)
            lost[name] += dropped
    out = []
    for name in list(HANDS)[1:]:
        for metric, q in (("median latency", 50), ("P95 latency", 95)):
            a, b = _quantiles(due[name], q), _quantiles(due["no buffer"], q)
            out.append(_claim("buffer", name, "no buffer", metric, a / b))
    seen = _quantiles(put["buffer of 3"], 50) / _quantiles(put["no buffer"], 50)
    note = "leaves out the wait before the buffer"
    out.append(_claim("buffer", "buffer of 3", "no buffer", "median since put", seen, note))
    return out, {name: lost[name] / (rounds * frames) for name in HANDS}


def _quantiles(rounds: list[np.ndarray], q: float) -> np.ndarray:
    return np.array([np.percentile(r, q) for r in rounds])


def _hand_over(
    hand: Hand, work: np.ndarray, period: float = 0.01
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return latencies (s) since each frame was due, since it was put, and how many frames were dropped."""
    line: queue.Queue[tuple[int, float, float] | None] = queue.Queue(max(1, hand.slots))
    ready = threading.Semaphore(0)
    dropped = 0
    start = time.perf_counter() + 0.02

    def capture() -> None:
        nonlocal dropped
        for k in range(len(work)):
            due = start + k * period
            time.sleep(max(0.0, due - time.perf_counter()))
            if hand.slots == 0:
                ready.acquire()
            while hand.newest and line.full():
                try:
                    line.get_nowait()
                    dropped += 1
                except queue.Empty:
                    break
            if hand.newest or hand.slots == 0:
                line.put((k, due, time.perf_counter()))
            else:
                _put_when_free(line, k, due)
        if hand.slots == 0:
            ready.acquire()
        line.put(None)

    thread = threading.Thread(target=capture, daemon=True)
    thread.start()
    from_due, from_put = [], []
    while True:
        if hand.slots == 0:
            ready.release()
        item = line.get()
        if item is None:
            break
        k, due, entered = item
        time.sleep(work[k])
        now = time.perf_counter()
        from_due.append(now - due)
        from_put.append(now - entered)
    thread.join()
    return np.array(from_due), np.array(from_put), dropped


def _put_when_free(line: queue.Queue, k: int, due: float) -> None:
    while True:
        try:
            line.put((k, due, time.perf_counter()), timeout=0.0005)
            return
        except queue.Full:
            continue


# ---------------------------------------------------------------- a pool of frame memory
def pool_claim(
    rounds: int = 8, frames: int = 60
) -> tuple[list[Claim], dict[str, dict[str, float]]]:
    """Measure a 720p colour and a VGA depth frame, fresh against pooled, each in its own process.

    Parameters
    ----------
    rounds : int
        Fresh and pooled take turns in each.
    frames : int
        Pairs per round.

    Returns
    -------
    claims : list of Claim
        Pooled against fresh: pause of a full collection while three pairs are alive, and time per pair, with the
        allocator as it is and with its threshold pinned.
    counts : dict of str to dict
        Per allocator: page faults per pair, and collections per 1000 pairs that Python started by itself.
    """
    out, counts = [], {}
    for name, pinned in (("default allocator", False), ("pinned threshold", True)):
        found = fresh.call(
            "facelab.studies.pair_claims:pool_rounds",
            pinned,
            rounds,
            frames,
            threads=1,
            timeout=120,
        ).value
        if pinned and not found["pinned"]:
            continue  # another C library: there is no threshold to pin
        seconds, pause = (
            {how: np.array(found[key][how]) for how in ("fresh", "pooled")}
            for key in ("seconds", "pause")
        )
        ratio = seconds["pooled"] / seconds["fresh"]
        out.append(_claim("pool", "pooled", "fresh", f"time per pair, {name}", ratio))
        out.append(
            _claim("pool", "pooled", "fresh", f"GC pause, {name}", pause["pooled"] / pause["fresh"])
        )
        counts[name] = {
            f"{what}, {how}": float(found[key][how])
            for what, key in (
                ("page faults per pair", "faults"),
                ("collections per 1000 pairs", "collections"),
            )
            for how in ("fresh", "pooled")
        }
    return out, counts


def pool_rounds(pinned: bool, rounds: int, frames: int) -> dict[str, Any]:
    """Measure inside the fresh process; see `pool_claim`. Returns plain JSON."""
    pinned = bool(pinned) and allocator.pin_mmap_threshold()
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 255, (720, 1280, 3), np.uint8)
    depth = rng.integers(0, 5000, (480, 640), np.uint16)
    pool = FramePool(slots=8, slot_bytes=colour.nbytes)
    alive: deque[Any] = deque(maxlen=3)

    def fresh_pair() -> None:
        alive.append((colour.copy(), depth.copy()))

    def pooled_pair() -> None:
        if len(alive) == 3:
            for slot in alive.popleft():
                slot.release()
        pair = pool.acquire(colour.nbytes), pool.acquire(depth.nbytes)
        np.copyto(pair[0].array.reshape(colour.shape), colour)
        np.copyto(pair[1].array.view(np.uint16).reshape(depth.shape), depth)
        alive.append(pair)

    started: list[int] = []
    gc.callbacks.append(lambda phase, info: started.append(1) if phase == "start" else None)
    out: dict[str, Any] = {"pinned": pinned}
    for key in ("seconds", "pause"):
        out[key] = {"fresh": [], "pooled": []}
    for key in ("faults", "collections"):
        out[key] = {"fresh": 0.0, "pooled": 0.0}
    for _ in range(rounds):
        for how, make in (("fresh", fresh_pair), ("pooled", pooled_pair)):
            _one_round(how, make, frames, started, out)
            while alive:
                for part in alive.popleft():
                    if how == "pooled":
                        part.release()
    for how in ("fresh", "pooled"):
        out["faults"][how] /= rounds * frames
        out["collections"][how] *= 1000 / (rounds * frames)
    gc.callbacks.clear()
    return out


def _one_round(how: str, make: Any, frames: int, started: list[int], out: dict[str, Any]) -> None:
    for _ in range(4):
        make()
    gc.collect()
    started.clear()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    begun = time.perf_counter()
    for _ in range(frames):
        make()
    out["seconds"][how].append((time.perf_counter() - begun) / frames)
    out["faults"][how] += resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    out["collections"][how] += len(started)
    pauses = []
    for _ in range(5):
        begun = time.perf_counter()
        gc.collect()
        pauses.append(time.perf_counter() - begun)
    out["pause"][how].append(float(np.median(pauses)))


# ---------------------------------------------------------------- pinning
WAYS: dict[str, dict[str, bool]] = {
    "thread": {"process": False, "pin": False, "fifo": False},
    "thread, pinned": {"process": False, "pin": True, "fifo": False},
    "process": {"process": True, "pin": False, "fifo": False},
    "process, pinned": {"process": True, "pin": True, "fifo": False},
    "process, FIFO": {"process": True, "pin": False, "fifo": True},
}
"""Where a 100 Hz ticker runs, beside a thread that computes in Python."""


def pinning_claim(
    rounds: int = 2, seconds: float = 1.5, seed: int = 0
) -> tuple[list[Claim], dict[str, str]]:
    """Measure how late the ticks of a 100 Hz ticker are beside a computing thread of the parent.

    Parameters
    ----------
    rounds : int
        All ways take turns in each.
    seconds : float
        Per round and way.
    seed : int
        Of the bootstrap and the order.

    Returns
    -------
    claims : list of Claim
        P95 of lateness against an unpinned ticker of the same sort, with bootstrap intervals over blocks of ten ticks.
    granted : dict of str to str
        Way → what the system refused, where it did; such a way has no claim.
    """
    late: dict[str, list[float]] = {name: [] for name in WAYS}
    granted = dict.fromkeys(WAYS, "granted")
    for k in range(rounds):
        for name in np.random.default_rng([seed, k]).permutation(list(WAYS)):
            found = _beside_a_hog(seconds, **WAYS[name])
            late[name] += found["late"]
            if found["refused"]:
                granted[name] = found["refused"]
    pairs = (
        ("thread, pinned", "thread"),
        ("process", "thread"),
        ("process, pinned", "process"),
        ("process, FIFO", "process"),
    )
    return [
        _late_ratio(a, b, late, seed) for a, b in pairs if granted[a] == granted[b] == "granted"
    ], granted


def _late_ratio(a: str, b: str, late: dict[str, list[float]], seed: int) -> Claim:
    rng = np.random.default_rng(seed)

    def drawn(name: str) -> np.ndarray:
        x = np.array(late[name])
        blocks = x[: len(x) // 10 * 10].reshape(-1, 10)
        picks = rng.integers(0, len(blocks), (1000, len(blocks)))
        return np.percentile(blocks[picks].reshape(1000, -1), 95, axis=1)

    ratios = drawn(a) / drawn(b)
    value = float(np.percentile(late[a], 95) / np.percentile(late[b], 95))
    lo, hi = np.quantile(ratios, [0.025, 0.975])
    note = f"P95 {1e3 * np.percentile(late[a], 95):.2f} against {1e3 * np.percentile(late[b], 95):.2f} ms"
    return Claim("pinning", a, b, "P95 lateness", value, float(lo), float(hi), ratios, note)


def _beside_a_hog(seconds: float, *, process: bool, pin: bool, fifo: bool) -> dict[str, Any]:
    stop = threading.Event()

    def hog() -> None:
        while not stop.is_set():
            sum(i * i for i in range(20_000))

    thread = threading.Thread(target=hog, daemon=True)
    thread.start()
    try:
        if process:
            return fresh.call(
                "facelab.studies.pair_claims:ticks", seconds, pin, fifo, timeout=60
            ).value
        box: list[dict[str, Any]] = []
        ticker = threading.Thread(target=lambda: box.append(ticks(seconds, pin, fifo)), daemon=True)
        ticker.start()
        ticker.join()
        return box[0]
    finally:
        stop.set()
        thread.join()


def ticks(seconds: float, pin: bool, fifo: bool, rate: float = 100.0) -> dict[str, Any]:
    """Return how late (s) each tick of this thread came, and what the system refused; plain JSON."""
    refused = ""
    try:
        if pin:
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # 0 is the calling thread
        if fifo:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    except (OSError, AttributeError) as e:
        refused = getattr(e, "strerror", None) or str(e)
    late = []
    start = time.perf_counter()
    for k in range(1, max(21, int(seconds * rate) + 1)):
        due = start + k / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        late.append(max(1e-7, time.perf_counter() - due))
    return {"late": late, "refused": refused}
