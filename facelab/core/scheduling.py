"""Ask for a core, a real-time class or a nice value, and say what was really granted; give way to threads that wake."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from facelab.core.errors import BadInputError
from facelab.core.result import Result


@dataclass(frozen=True)
class Schedule(Result):
    """What a process asked of the scheduler, and what it has.

    Parameters
    ----------
    asked
        `cpu`, `fifo`, `nice` as asked for; None where nothing was.
    cpus
        The cores that the process may run on.
    policy
        `other`, `fifo`, `round robin`, `batch` or `idle`.
    priority
        The real-time priority; 0 without one.
    nice
        The nice value.
    refused
        What was not granted → why.
    """

    asked: dict[str, int | None]
    cpus: tuple[int, ...]
    policy: str
    priority: int
    nice: int
    refused: dict[str, str]

    @property
    def granted(self) -> bool:
        """Whether everything that was asked for was granted."""
        return not self.refused

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {**self.__dict__, "cpus": list(self.cpus)}


_POLICIES = {
    getattr(os, f"SCHED_{name}"): word
    for name, word in (
        ("OTHER", "other"),
        ("FIFO", "fifo"),
        ("RR", "round robin"),
        ("BATCH", "batch"),
        ("IDLE", "idle"),
    )
    if hasattr(os, f"SCHED_{name}")
}


def check_schedule(cpu: int | None, fifo: int | None, nice: int | None) -> None:
    """Raise BadInputError for values that no system takes."""
    for name, value, low, high in (
        ("cpu", cpu, 0, 4095),
        ("fifo", fifo, 1, 99),
        ("nice", nice, -20, 19),
    ):
        if value is not None and not low <= value <= high:
            raise BadInputError(
                f"`{name}` is out of range",
                expected=f"{low} to {high}",
                got=value,
                fix="give a number in range, or leave it out",
            )


def apply(cpu: int | None = None, fifo: int | None = None, nice: int | None = None) -> Schedule:
    """Ask the system for a core, a FIFO priority and a nice value for this process; each may be refused.

    Parameters
    ----------
    cpu
        The core to stay on.
    fifo
        Priority of the class SCHED_FIFO, 1 to 99.
    nice
        -20 (urgent) to 19.

    Returns
    -------
    Schedule
        Read back from the system, not from what was asked.
    """
    refused: dict[str, str] = {}

    def ask(name: str, call: Any) -> None:
        try:
            call()
        except (OSError, AttributeError, ValueError) as e:
            refused[name] = getattr(e, "strerror", None) or str(e)

    if cpu is not None:
        ask("cpu", lambda: os.sched_setaffinity(0, {cpu}))
    if nice is not None:
        ask("nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, nice))
    if fifo is not None:
        ask("fifo", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(fifo)))
    return _present({"cpu": cpu, "fifo": fifo, "nice": nice}, refused)


def _present(asked: dict[str, int | None], refused: dict[str, str]) -> Schedule:
    cpus: tuple[int, ...] = ()
    policy, priority = "unknown", 0
    with contextlib.suppress(AttributeError, OSError):
        cpus = tuple(sorted(os.sched_getaffinity(0)))
        policy = _POLICIES.get(os.sched_getscheduler(0), "unknown")
        priority = os.sched_getparam(0).sched_priority
    has = {
        "cpu": cpus == (asked["cpu"],),
        "fifo": policy == "fifo" and priority == asked["fifo"],
        "nice": os.getpriority(os.PRIO_PROCESS, 0) == asked["nice"],
    }
    for name, value in asked.items():
        if value is not None and not has[name] and name not in refused:
            refused[name] = "the system accepted it and did not do it"
    return Schedule(asked, cpus, policy, priority, os.getpriority(os.PRIO_PROCESS, 0), refused)


LONGEST_SLICE_NS = 100_000_000
"""The longest time slice that Linux lets a thread ask for."""
_CALLS = {"x86_64": (314, 315), "aarch64": (274, 275), "armv7l": (380, 381), "riscv64": (274, 275)}
"""Numbers of the system calls sched_setattr and sched_getattr; older C libraries have no functions for them."""
_ORDINARY = (0, 3)
"""SCHED_OTHER and SCHED_BATCH: the classes whose time slice can be chosen."""


class _Attributes(ctypes.Structure):
    """The kernel's `struct sched_attr`; `runtime` is the time slice of an ordinary thread."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
        ("least", ctypes.c_uint32),
        ("most", ctypes.c_uint32),
    )


def slice_ns(thread: int = 0) -> int | None:
    """Return the time slice of a thread of this process by its id, 0 for the caller's.

    None where it cannot be chosen: before Linux 6.12, on other systems, and for a real-time or idle thread.
    """
    found = _attributes(thread)
    return found.runtime if found is not None and found.runtime else None


def set_slice(ns: int, thread: int = 0) -> bool:
    """Ask for a time slice from 0.1 to 100 ms; return whether it was granted. No rights are needed."""
    found = _attributes(thread)
    if found is None or not found.runtime:
        return False
    found.runtime = ns
    number = _CALLS[platform.machine()][0]
    return ctypes.CDLL(None).syscall(number, thread, ctypes.byref(found), 0) == 0


@contextlib.contextmanager
def giving_way() -> Generator[bool]:
    """Let every thread that wakes have this thread's core at once, for the length of the block.

    The scheduler lets a thread run to the end of its slice: who wakes on the same core waits up to 4 ms for it, unless
    his own slice is shorter. So a long slice is what background work should ask for. It keeps its fair share of the
    core. A nice thread does not, and may starve while it holds the interpreter's lock. Threads that start inside the
    block get the usual slice back at its end; processes that start in it keep the long one.

    Yields whether the kernel can do it (Linux from 6.12); older ones prefer threads that wake anyway.

    >>> with giving_way():
    ...     pass
    """
    usual = slice_ns()
    if usual is None or not set_slice(LONGEST_SLICE_NS):
        yield False
        return
    before = _threads()
    try:
        yield True
    finally:
        set_slice(usual)
        for thread in _threads() - before:
            if slice_ns(thread) == LONGEST_SLICE_NS:
                set_slice(usual, thread)


def current_core() -> int | None:
    """Return the core that this thread runs on, or None where the system does not say."""
    try:
        core = ctypes.CDLL(None).sched_getcpu()
    except (OSError, AttributeError, TypeError):
        return None
    return core if core >= 0 else None


def confine(process: int, cores: set[int] | None) -> bool:
    """Keep the main thread of another process on some cores, or on all of this thread's (None); return whether it is.

    False where the system has no such call or the process has ended.
    """
    try:
        os.sched_setaffinity(process, cores or os.sched_getaffinity(0))
    except (OSError, AttributeError):
        return False
    return True


def _attributes(thread: int) -> _Attributes | None:
    """Return a thread's scheduling, or None where there is nothing to choose."""
    numbers = _CALLS.get(platform.machine())
    if sys.platform != "linux" or numbers is None or (sys.maxsize < 2**32) != (numbers[0] == 380):
        return None
    found = _Attributes()
    size = ctypes.sizeof(found)
    if ctypes.CDLL(None).syscall(numbers[1], thread, ctypes.byref(found), size, 0) != 0:
        return None
    return found if found.policy in _ORDINARY else None


def _threads() -> set[int]:
    """Return the ids of this process's threads."""
    with contextlib.suppress(OSError):
        return set(map(int, os.listdir("/proc/self/task")))  # noqa: PTH208
    return set()
