"""Trials of models: a runtime that is missing, a model too large, no delegate, too few cores."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from facelab import detection
from facelab.budget import cost_of
from facelab.core.degraded import active
from facelab.core.machine import cores
from facelab.serving.degradation import Chain, Degradation, Loss, Way
from facelab.studies.fallbacks._trial import (
    Setting,
    Witness,
    ended,
    found_share,
    loss,
    need,
    timed,
)
from facelab.zoo import find, load_catalogue
from facelab.zoo.runtimes import open_model, tflite_c_library

LARGE = ("retinaface-mnet025-640", {"input0": (1, 3, 640, 640)})
TFLITE = "blazeface-front"


def _here(name: str) -> Any:
    """Return a catalogue model's file, or raise Unmeasured."""
    found = find(load_catalogue().model(name))
    need(found is not None, f"{name} is not on this machine")
    assert found is not None
    return found.path


def _detector_trial(
    name: str, setting: Setting, chain: Chain, clock: list[float], cause: Any, note: str
) -> Loss:
    """Compare a chain's first way with what it falls back to while `cause` (a context) lasts."""
    first = chain.get()
    usual, ms = timed(lambda image: len(first.detect(image)), setting.images)
    chain.close()
    with Witness(name) as witness:
        with cause:
            second = chain.get()
            used, said = chain.used, chain.degraded
            witness.look()
            fallen, slow = timed(lambda image: len(second.detect(image)), setting.images)
        held = chain.get() is second and name in active()  # not tried again at once
        clock[0] += 3600.0
        again = chain.get()
    back = chain.used == chain.ways[0].name and again is not second and ended(name)
    chain.close()
    return loss(
        name,
        "faces found",
        found_share(usual, setting.counts),
        found_share(fallen, setting.counts),
        len(setting.images),
        took=(ms, slow),
        shown=(witness.seen, name in said, back and held),
        note=f"{setting.source}; {chain.ways[0].name} against {used}; {note}",
    )


@contextlib.contextmanager
def _without(module: str) -> Iterator[None]:
    """Make an import fail, as where a library is not installed."""
    held = {n: m for n, m in sys.modules.items() if n.partition(".")[0] == module}
    sys.modules[module] = None  # type: ignore[assignment] # None makes an import fail
    try:
        yield
    finally:
        del sys.modules[module]
        sys.modules.update(held)


def runtime_missing(setting: Setting) -> Loss:
    """Take ONNX Runtime away."""
    entry = load_catalogue().model(setting.detector)
    need(entry.runtime == "onnx", f"{setting.detector} does not run on ONNX Runtime")
    clock = [0.0]
    chain = Chain(
        [
            Way(setting.detector, lambda: detection.load(setting.detector, threads=1)),
            Way("haar", lambda: detection.load("haar")),
        ],
        degradation=Degradation(),
        clock=lambda: clock[0],
    )
    cause, note = _without("onnxruntime"), "ONNX Runtime cannot be imported"
    return _detector_trial("runtime_missing", setting, chain, clock, cause, note)


def model_too_large(setting: Setting) -> Loss:
    """Leave less memory than the larger detector needs."""
    large, shapes = LARGE
    path = _here(large)
    cost = cost_of(path, _shapes(path, shapes), known=True)
    needs = cost.weight_bytes + cost.arena_bytes
    clock, free = [0.0], [float("inf")]
    chain = Chain(
        [
            Way(large, lambda: detection.load(large, threads=1), needs),
            Way(setting.detector, lambda: detection.load(setting.detector, threads=1)),
        ],
        degradation=Degradation(),
        free=lambda: free[0],
        clock=lambda: clock[0],
    )
    note = f"the larger one needs {needs / 2**20:.1f} MiB"
    cause = _little(free, 1.5 * needs)
    return _detector_trial("model_too_large", setting, chain, clock, cause, note)


def _shapes(path: Any, wanted: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]] | None:
    """Return the wanted shape under the name that the file's open input has, or None where none is open."""
    opened = open_model(path, threads=1, made_here=True)
    (info,) = opened.inputs
    opened.close()
    return {info.name: next(iter(wanted.values()))} if None in info.shape else None


@contextlib.contextmanager
def _little(free: list[float], value: float) -> Iterator[None]:
    before, free[0] = free[0], value
    try:
        yield
    finally:
        free[0] = before


def _runs(model: Any, given: list[np.ndarray], n: int) -> tuple[list[np.ndarray], float]:
    out = [model.run(array)[0] for array in given]
    seconds = []
    for k in range(n):
        started = time.perf_counter()
        model.run(given[k % len(given)])
        seconds.append(time.perf_counter() - started)
    return out, 1e3 * float(np.median(seconds))


def _closed(model: Any, witness: Witness) -> tuple[str, ...]:
    """Return what a model says while its fallback is active, then close it."""
    said = model.degraded
    witness.look()
    model.close()
    return said


def _opens_well(opened: Callable[[], Any], name: str) -> bool:
    """Return whether the next model opens as usual, with nothing of the fallback left."""
    with opened() as again:
        return again.degraded == () and ended(name)


def delegate_missing(setting: Setting) -> Loss:
    """Run a detector's network through a C library that was built without XNNPACK."""
    name, path = "delegate_missing", _here(TFLITE)
    lib = tflite_c_library()
    need(lib.has_xnnpack, "this TFLite C library has no XNNPACK at all")

    def opened() -> Any:
        return open_model(path, threads=1, runtime="tflite_c", made_here=True)

    model = opened()
    shape = tuple(n or 1 for n in model.inputs[0].shape)
    rng = np.random.default_rng(setting.seed)
    given = [rng.uniform(-1, 1, shape).astype(np.float32) for _ in range(4)]
    usual, ms = _runs(model, given, 60)
    model.close()
    with Witness(name) as witness:
        lib.has_xnnpack = False
        try:
            model = opened()
        finally:
            lib.has_xnnpack = True
        fallen, slow = _runs(model, given, 60)
        said = _closed(model, witness)
    back = _opens_well(opened, name)
    close = [np.abs(a - b).max() <= 1e-4 * np.abs(a).max() for a, b in zip(usual, fallen)]
    apart = max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(usual, fallen))
    return loss(
        name,
        "outputs within 1e-4 of XNNPACK's",
        1.0,
        float(np.mean(close)),
        len(given),
        took=(ms, slow),
        shown=(witness.seen, name in said, back),
        note=f"{TFLITE}; the largest relative difference is {apart:.1e}",
    )


def cores_missing(setting: Setting) -> Loss:
    """Take all cores but one away, and ask for two threads."""
    name = "cores_missing"
    need(hasattr(os, "sched_setaffinity") and cores() > 1, "this process has one core only")
    entry = load_catalogue().model(setting.detector)
    need(not entry.builtin and entry.runtime == "onnx", f"{setting.detector} has no threads to set")
    before, path = os.sched_getaffinity(0), _here(setting.detector)

    def opened() -> Any:
        return open_model(path, threads=2, made_here=True)

    model = opened()
    shape = tuple(n or (640 if k > 1 else 1) for k, n in enumerate(model.inputs[0].shape))
    given = [np.random.default_rng(setting.seed).uniform(0, 255, shape).astype(np.float32)]
    usual, ms = _runs(model, given, 15)
    model.close()
    with Witness(name) as witness:
        os.sched_setaffinity(0, {min(before)})
        try:
            model = opened()
            fallen, slow = _runs(model, given, 15)
        finally:
            os.sched_setaffinity(0, before)
        said = _closed(model, witness)
    back = _opens_well(opened, name)
    return loss(
        name,
        "outputs within 1e-4",
        1.0,
        float(np.abs(usual[0] - fallen[0]).max() <= 1e-4 * np.abs(usual[0]).max()),
        1,
        took=(ms, slow),
        shown=(witness.seen, name in said, back),
        note=f"{setting.detector} on 640 by 640 pixels, two threads against one core",
    )
