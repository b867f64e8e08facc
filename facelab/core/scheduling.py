"""Ask for a core, a real-time class or a nice value, and say what was really granted."""

from __future__ import annotations

import contextlib
import ctypes
import os
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
