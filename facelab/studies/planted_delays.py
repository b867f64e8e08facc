"""Delays of nine kinds, planted into the stages of a running pipeline; each is the real thing, not a fake counter."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.serving import Pipeline, PipelineStage

SECONDS = 0.06
"""How long a planted delay lasts, where it has a length to choose."""
RELOADS = 8
BLOCK = 24 << 20
EXPECTED = {
    "sleep": "sleep",
    "lock": "lock",
    "garbage collection": "gc",
    "page faults": "page_faults",
    "hog on the core": "core_hog",
    "hog of the GIL": "gil",
    "slow disk": "disk",
    "model reload": "model_reload",
    "one slow image": "input",
}
"""Kind of delay → the cause that must be named."""
_HOG = """
import sys, time
for line in sys.stdin:
    end = time.perf_counter() + float(line)
    while time.perf_counter() < end:
        pass
"""


class Delays:
    """Everything that planted delays need: a folder on a real disk, a model file, hogs on one core.

    Use it as a context manager: it ends the processes and threads that it started.

    Parameters
    ----------
    folder : Path
        Where the slow disk's file is written; removed afterwards.
    model : Path
        The model file that a reload opens.
    """

    def __init__(self, folder: Path, model: Path) -> None:
        self.file, self.model = Path(folder) / "slow-disk.bin", Path(model)
        self.lock = threading.Lock()
        self._hogs: list[subprocess.Popen[bytes]] = []
        self._cores: set[int] = set()
        self._garbage: list[Any] = []
        self._block = mmap.mmap(-1, BLOCK)
        self._block.write(b"x" * BLOCK)

    def __enter__(self) -> Delays:
        self._cores = os.sched_getaffinity(0)
        core = max(self._cores)
        for _ in range(4):
            # a hog ends when this process does: its standard input then closes
            hog = subprocess.Popen([sys.executable, "-I", "-S", "-c", _HOG], stdin=subprocess.PIPE)
            os.sched_setaffinity(hog.pid, {core})
            self._hogs.append(hog)
        return self

    def __exit__(self, *_: object) -> None:
        os.sched_setaffinity(0, self._cores)
        for hog in self._hogs:
            with contextlib.suppress(OSError):
                assert hog.stdin is not None
                hog.stdin.close()
            hog.kill()
            hog.wait()
        self._block.close()
        self.file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def during(self, kind: str) -> Iterator[None]:
        """Delay the block by one kind; "one slow image" does nothing here (the source delivers it)."""
        if kind not in EXPECTED:
            raise BadInputError(
                f"no delay is named {kind!r}",
                expected=", ".join(EXPECTED),
                got=kind,
                fix="choose one of them",
            )
        make = getattr(self, "_" + kind.replace(" ", "_"), None)
        if make is None:
            yield
            return
        with make():
            yield

    @contextlib.contextmanager
    def _sleep(self) -> Iterator[None]:
        time.sleep(SECONDS)
        yield

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        taken = threading.Event()

        def hold() -> None:
            with self.lock:
                taken.set()
                time.sleep(SECONDS)

        holder = threading.Thread(target=hold)
        holder.start()
        taken.wait()
        with self.lock:
            pass
        holder.join()
        yield

    def make_garbage(self, cycles: int = 250_000) -> None:
        """Prepare cyclic garbage that nothing has collected yet; the next collection pays for it."""
        gc.disable()
        self._garbage = [[] for _ in range(cycles)]
        for item in self._garbage:
            item.append(item)

    @contextlib.contextmanager
    def _garbage_collection(self) -> Iterator[None]:
        self._garbage = []
        gc.collect()
        gc.enable()
        yield

    @contextlib.contextmanager
    def _page_faults(self) -> Iterator[None]:
        with mmap.mmap(-1, 64 << 20) as fresh:
            pages = np.frombuffer(fresh, np.uint8)
            pages[:: mmap.PAGESIZE] = 1
            del pages
        yield

    @contextlib.contextmanager
    def _hog_on_the_core(self) -> Iterator[None]:
        os.sched_setaffinity(0, {max(self._cores)})
        for hog in self._hogs:
            assert hog.stdin is not None
            hog.stdin.write(b"%f\n" % (3 * SECONDS))
            hog.stdin.flush()
        time.sleep(0.004)  # they are running now
        try:
            yield
        finally:
            os.sched_setaffinity(0, self._cores)

    @contextlib.contextmanager
    def _hog_of_the_GIL(self) -> Iterator[None]:
        stop = threading.Event()

        def compute() -> None:
            while not stop.is_set():
                sum(range(4_000_000))  # one call in C that never lets go of Python's lock

        hog = threading.Thread(target=compute)
        hog.start()
        try:
            yield
        finally:
            stop.set()
            hog.join()

    @contextlib.contextmanager
    def _slow_disk(self) -> Iterator[None]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_DSYNC
        try:
            handle = os.open(self.file, flags | os.O_DIRECT)
        except OSError:
            handle = os.open(self.file, flags)  # a file system without direct access
        try:
            started, k = time.perf_counter(), 0
            while time.perf_counter() - started < SECONDS:
                os.pwrite(handle, self._block, (k % 2) * BLOCK)
                k += 1
        finally:
            os.close(handle)
        yield

    @contextlib.contextmanager
    def _model_reload(self) -> Iterator[None]:
        from facelab.zoo.runtimes import open_model

        for _ in range(RELOADS):
            open_model(self.model, threads=1).close()
        yield


def plant(pipeline: Pipeline, plan: Mapping[int, tuple[str, str]], delays: Delays) -> Pipeline:
    """Return the pipeline with delays planted: `plan` maps a call to (stage, kind); each happens once."""
    left, place = dict(plan), _Place()
    stages = [_wrapped(s, k == 0, left, place, delays) for k, s in enumerate(pipeline.stages)]
    return Pipeline(stages, keep=pipeline.keep)


class _Place:
    """Which call the pipeline is in."""

    call = -1


def _wrapped(
    stage: PipelineStage,
    first: bool,
    left: dict[int, tuple[str, str]],
    place: _Place,
    delays: Delays,
) -> PipelineStage:
    run: Callable[[Any], Any] = stage.run

    def delayed(value: Any) -> Any:
        place.call += first
        planned = left.get(place.call)
        if planned is None or planned[0] != stage.name:
            return run(value)
        del left[place.call]
        with delays.during(planned[1]):
            return run(value)

    return dataclasses.replace(stage, run=delayed)
