"""Trials of the service: a killed worker, no workers, overload, a full queue, an input that ends workers."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.serving import create_app
from facelab.serving.degradation import Degradation, Loss
from facelab.serving.internals import Isolation, Limits, Restarts, running
from facelab.studies.fallbacks._trial import Setting, Witness, ended, found_share, loss

PIXELS = Limits(pixels=40_000_000)


def _answers(tasks: Any, files: Sequence[bytes]) -> tuple[list[int], list[float], set[str]]:
    """Return faces, milliseconds and fallbacks of `detect` for each file."""
    faces, ms, names = [], [], set()
    for data in files:
        started = time.perf_counter()
        answer = tasks.answer("detect", [data], PIXELS, {})
        ms.append(1e3 * (time.perf_counter() - started))
        faces.append(len(answer["faces"]))
        names |= set(answer.get("degraded", ()))
    return faces, ms, names


@dataclass(frozen=True)
class _Workers:
    """What isolated workers answered: faces, milliseconds and fallbacks, as usual and meanwhile, and afterwards."""

    usual: list[int]
    ms: list[float]
    fallen: list[int]
    slow: list[float]
    said: set[str]
    after: set[str]

    def loss(self, name: str, counts: Sequence[int], seen: bool, note: str) -> Loss:
        return loss(
            name,
            "faces found",
            found_share(self.usual, counts),
            found_share(self.fallen, counts),
            len(counts),
            took=(float(np.median(self.ms)), float(np.median(self.slow))),
            shown=(seen, name in self.said, name not in self.after and ended(name)),
            note=note,
        )


def _kill(tasks: Any) -> None:
    os.kill(tasks.worker.pid, signal.SIGKILL)


def worker_restarting(setting: Setting) -> Loss:
    """Kill the worker before each picture, without a spare."""
    name, (source, files, counts) = "worker_restarting", setting.files
    files, counts = files[:6], counts[:6]
    rule = Restarts(budget=1000, first_s=0.0)
    with Isolation([setting.detector], limits=PIXELS, spare=False, restarts=rule) as shared:
        tasks = shared.make()
        _answers(tasks, files[:1])
        usual, ms, _ = _answers(tasks, files)
        fallen, slow, said = [], [], set()
        with Witness(name) as witness:
            for data in files:
                _kill(tasks)
                found, took, names = _answers(tasks, [data])
                fallen, slow, said = fallen + found, slow + took, said | names
        after = _answers(tasks, files[:1])[2]
        met = _Workers(usual, ms, fallen, slow, said, after)
        note = f"{source}; {setting.detector}; the worker was killed before each picture"
        return met.loss(name, counts, witness.seen, note)


def workers_down(setting: Setting) -> Loss:
    """Use the budget of restarts up; the Haar cascade answers."""
    name, (source, files, counts) = "workers_down", setting.files
    rule = Restarts(budget=1, window_s=3600.0, first_s=0.0)
    shared = Isolation([setting.detector], limits=PIXELS, spare=False, restarts=rule)
    with shared:
        tasks = shared.make()
        first = _answers(tasks, [files[0], *files])
        while shared.gate.pause() is not None:
            pass
        _kill(tasks)
        with Witness(name) as witness:
            then = _answers(tasks, files)
        tasks.worker.gate = type(shared.gate)(Restarts())  # the bad hour is over
        after = _answers(tasks, files[:1])[2]
        met = _Workers(first[0][1:], first[1][1:], *then, after)
        note = f"{source}; {setting.detector} against the Haar cascade on 640 pixels"
        return met.loss(name, counts, witness.seen, note)


def _post(address: str, data: bytes) -> tuple[int, dict[str, Any], float]:
    request = urllib.request.Request(
        f"{address}/v1/detect", data, {"Content-Type": "image/jpeg"}, method="POST"
    )
    started = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            status, value = answer.status, json.load(answer)
    except urllib.error.HTTPError as e:
        with e:
            status, value = e.code, json.load(e)
    return status, value, 1e3 * (time.perf_counter() - started)


def _burst(address: str, files: Sequence[bytes], clients: int) -> list[tuple[int, int, Any, float]]:
    """Send every file from every client at once; return (file, status, answer, milliseconds)."""
    out: list[tuple[int, int, Any, float]] = []

    def client(k: int) -> None:
        for j in range(len(files)):
            at = (j + k) % len(files)
            out.append((at, *_post(address, files[at])))

    threads = [threading.Thread(target=client, args=(k,)) for k in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return out


def _served(
    setting: Setting, limits: Limits, clients: int, work: Callable[[list, list, Any, str], Loss]
) -> Loss:
    """Serve the detector, answer each picture alone, then in a burst, and let `work` judge both."""
    files = setting.files[1]
    with Isolation([setting.detector], limits=limits, spare=False) as shared:
        app = create_app(shared.make, limits=limits, degradation=shared.degradation)
        with running(app) as address:
            _post(address, files[0])
            alone = [(k, *_post(address, data)) for k, data in enumerate(files)]
            return work(alone, _burst(address, files, clients), shared.degradation, address)


def overload(setting: Setting) -> Loss:
    """Let requests wait: detectors see half the size."""
    name, counts = "overload", setting.counts

    def judge(alone: list, burst: list, state: Degradation, address: str) -> Loss:
        hit = [(k, v) for k, status, v, _ in burst if status == 200 and name in v["degraded"]]
        faces = [len(v["faces"]) for _, v in hit]
        back = ended(name, 0.0) or _calm(address, setting.files[1][0], name)
        return loss(
            name,
            "faces found",
            found_share([len(v["faces"]) for _, _, v, _ in alone], counts),
            found_share(faces, [counts[k] for k, _ in hit]),
            len(hit),
            took=(_work_ms([v for _, _, v, _ in alone]), _work_ms([v for _, v in hit])),
            shown=(witness.seen, bool(hit), back),
            note=f"{setting.source}; {setting.detector}; milliseconds of the detector alone",
        )

    limits = Limits(waiting=4, wait_s=60.0, pixels=PIXELS.pixels, body_bytes=32 << 20)
    with Witness(name) as witness:
        return _served(setting, limits, 4, judge)


def requests_shed(setting: Setting) -> Loss:
    """Send more than the queue holds: the rest gets 503 at once."""
    name = "requests_shed"

    def judge(alone: list, burst: list, state: Degradation, address: str) -> Loss:
        shed = [(v, ms) for _, status, v, ms in burst if status == 503]
        answered = sum(status == 200 for _, status, _, _ in burst)
        back = _calm(address, setting.files[1][0], name)
        return loss(
            name,
            "requests answered",
            sum(status == 200 for _, status, _, _ in alone) / len(alone),
            answered / len(burst),
            len(burst),
            took=(
                float(np.median([ms for *_, ms in alone])),
                float(np.median([ms for _, ms in shed])) if shed else None,
            ),
            shown=(witness.seen, any(name in v["degraded"] for v, _ in shed), back),
            note=f"{setting.source}; five clients at once, one worker, one place to wait; "
            "milliseconds until the 503",
        )

    limits = Limits(waiting=1, wait_s=60.0, pixels=PIXELS.pixels, body_bytes=32 << 20)
    with Witness(name) as witness:
        return _served(setting, limits, 5, judge)


def _work_ms(answers: Sequence[dict[str, Any]]) -> float:
    return 1e3 * float(np.median([sum(v["seconds"].values()) for v in answers] or [0.0]))


def _calm(address: str, data: bytes, name: str, seconds: float = 8.0) -> bool:
    """Ask one request at a time until its answer no longer names a fallback."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.25)
        if name not in _post(address, data)[1]["degraded"]:
            return ended(name)
    return False


def input_quarantined(setting: Setting) -> Loss:
    """Send one picture that takes more time or memory than a worker may, among others."""
    name, clock = "input_quarantined", _Clock()
    state = Degradation(clock=clock)
    small, huge = _small(setting.images[0]), _huge(setting.seed)
    shared = Isolation(
        ["haar"],
        limits=PIXELS,
        spare=False,
        restarts=Restarts(budget=1000, first_s=0.0),
        deadline_s=1.0,
        degradation=state,
    )
    limits = Limits(pixels=PIXELS.pixels, body_bytes=32 << 20)
    with shared, running(create_app(shared.make, limits=limits, degradation=state)) as address:
        usual = [_post(address, small) for _ in range(5)]
        with Witness(name) as witness:
            fallen = [_post(address, data) for data in (huge, small, small, huge, small)]
        clock.passed += state.matrix.named(name).back_s + 1
        back = name not in _post(address, small)[1]["degraded"] and ended(name)
    refused = [(v, ms) for status, v, ms in fallen if status == 422]
    first = f"{refused[0][1]:.0f} ms" if refused else "nothing"
    return loss(
        name,
        "inputs answered",
        float(np.mean([status == 200 for status, _, _ in usual])),
        float(np.mean([status == 200 for status, _, _ in fallen])),
        len(fallen),
        took=(float(np.median([ms for _, _, ms in usual])), refused[-1][1] if refused else None),
        shown=(
            witness.seen,
            bool(refused) and all(name in v["degraded"] for v, _ in refused),
            back,
        ),
        note="one picture of noise takes more time (1 s) or memory than a worker may; it came twice among "
        f"three others; the first time cost {first}, the second time it was refused",
    )


class _Clock:
    """Real time, and what a trial lets pass."""

    passed = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.passed


def _small(image: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode(".png", cv2.resize(image, (160, 120))[..., ::-1])[1].tobytes()


def _huge(seed: int) -> bytes:
    import cv2

    noise = np.random.default_rng(seed).integers(0, 256, (5200, 5200), dtype=np.uint8)
    return cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 20])[1].tobytes()
