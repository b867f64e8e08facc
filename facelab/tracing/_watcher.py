"""The watcher: a thread that looks what a long span is doing: in which system call, on which file, in which line."""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
from collections.abc import Collection
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

from facelab.tracing._threads import ThreadCounters, living

MOST_SAMPLES = 1 << 14
DEEPEST = 24
MOST_TEXTS = 2000
LOOK = struct.Struct("=8q")
DOING = ("running", "sleep", "lock", "timed lock", "file", "wait", "other", "idle")
_SLEEPS = {35, 230, 101, 115}  # nanosleep, clock_nanosleep on x86-64 (35, 230) and arm64 (101, 115)
_FUTEX = {202, 98}
_FILE_CALLS = {"x86_64": {0, 1, 17, 18, 19, 20, 74, 75, 277, 295, 296, 40, 187, 26, 306, 162}}
_FILE_CALLS["aarch64"] = {63, 64, 65, 66, 67, 68, 69, 70, 71, 82, 83, 84, 227, 267, 81}


class Sample(NamedTuple):
    """One look: when (`perf_counter_ns`), whose and which span, what it was doing, where, and this process' CPU time.

    `doing` is one of running, sleep, lock, timed lock, file, wait, other; `what` a file's path where known; `stack` the
    Python frames as `file:function:line` joined by ";", outermost first. `stage` is -1 where nothing was open.
    """

    at_ns: int
    thread: int
    stage: int
    start_ns: int
    doing: str
    what: str
    stack: str
    process_ns: int


class Watcher:
    """Look at every open span that has lasted at least one period, once per period."""

    def __init__(self, period_s: float, threads: Collection[ThreadCounters]) -> None:
        self._period, self._threads = period_s, threads
        # numbers in memory of fixed size: objects that pile up for an hour would look like a leak
        self._held, self._count = bytearray(MOST_SAMPLES * LOOK.size), 0
        self._ids: dict[str, int] = {"": 0}
        self._texts = [""]
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._shown: dict[CodeType, str] = {}

    def start(self) -> None:
        """Start the thread; it is a daemon, so it never keeps the process alive."""
        self._stopped.clear()
        self._thread = threading.Thread(target=self._watch, name="facelab-watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None

    def samples(self) -> tuple[Sample, ...]:
        """Return the looks so far, oldest first."""
        texts, raw = list(self._texts), bytes(self._held)
        rows = [r for r in LOOK.iter_unpack(raw) if r[0]]
        rows.sort()
        return tuple(
            Sample(at, thread, stage, start, DOING[doing], texts[what], texts[stack], used)
            for at, thread, stage, start, doing, what, stack, used in rows
        )

    def _keep(self, *look: int) -> None:
        LOOK.pack_into(self._held, self._count % MOST_SAMPLES * LOOK.size, *look)
        self._count += 1

    def _text(self, text: str) -> int:
        """Return the number of a text; a table that is full answers with that of the empty one."""
        number = self._ids.get(text)
        if number is None:
            if len(self._texts) >= MOST_TEXTS:
                return 0
            number = self._ids[text] = len(self._texts)
            self._texts.append(text)
        return number

    def _watch(self) -> None:
        period_ns, last = int(self._period * 1e9), 0
        while not self._stopped.wait(self._period):
            now, used = time.perf_counter_ns(), time.process_time_ns()
            found = False
            for state in living(self._threads):
                open_ = state.open[-1:]
                if open_ and now - open_[0][1] >= period_ns:
                    self._look(state, *open_[0], now, used)
                    found = True
            if not found and now - last > 4 * period_ns:
                self._keep(now, 0, -1, 0, DOING.index("idle"), 0, 0, used)
                last = now
            last = now if found else last

    def _look(self, state: ThreadCounters, stage: int, start: int, now: int, used: int) -> None:
        doing, what = _doing(state.native)
        frame = sys._current_frames().get(state.ident)
        stack = self._stack(frame) if frame is not None else ""
        texts = self._text(what), self._text(stack)
        self._keep(now, state.ident, stage, start, DOING.index(doing), *texts, used)

    def _stack(self, frame: FrameType | None) -> str:
        parts: list[str] = []
        while frame is not None and len(parts) < DEEPEST:
            code = getattr(frame, "f_code", None)
            if code is None:
                break  # a compiler's stand-in for a frame (numba while it compiles)
            name = self._shown.get(code)
            if name is None:
                if len(self._shown) > MOST_TEXTS:
                    self._shown.clear()
                name = self._shown[code] = f"{Path(code.co_filename).name}:{code.co_name}"
            parts.append(f"{name}:{frame.f_lineno}")
            frame = frame.f_back
        return ";".join(reversed(parts))


def _doing(native: int) -> tuple[str, str]:
    """Return what a thread of this process is doing by the kernel's account, and the file that it waits for."""
    try:
        words = Path(f"/proc/self/task/{native}/syscall").read_text().split()
    except OSError:
        return "other", ""
    if not words or words[0] == "running":
        return "running", ""
    number = int(words[0])
    if number in _SLEEPS:
        return "sleep", ""
    if number in _FUTEX:
        # Python's own lock is waited for with a time limit, a lock without one
        return ("timed lock" if int(words[4], 16) else "lock"), ""
    if number in _FILE_CALLS.get(os.uname().machine, ()):
        return _file(words[1])
    return "wait", ""


def _file(descriptor: str) -> tuple[str, str]:
    try:
        target = str(Path(f"/proc/self/fd/{int(descriptor, 16)}").readlink())
    except (OSError, ValueError):
        return "file", ""
    return ("file", target) if target.startswith("/") else ("wait", target)
