"""Run a command under a budget and say what held, what was used, and how it ended."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facelab.budget import _enter
from facelab.budget._file import Budget
from facelab.budget._groups import Group, NotOfferedError, make1, make2
from facelab.budget._report import BudgetReport, Held
from facelab.core import guard, lifetime
from facelab.core.errors import BadInputError, UnsupportedError
from facelab.core.fresh import THREAD_VARIABLES
from facelab.core.machine import cores, facts

By = Literal["auto", "v2", "v1", "rlimit"]
LOOK_S = 0.02
_ENTER = str(Path(_enter.__file__).resolve())


@dataclass
class _Plan:
    """The limits by what will hold them."""

    groups: list[Group]
    held: list[Held]
    wanted: dict[str, object]
    environment: dict[str, str]

    @property
    def memory_group(self) -> Group | None:
        held = {h.limit: h.mechanism for h in self.held}
        return next((g for g in self.groups if g.mechanism == held.get("memory_mb")), None)


def run(
    command: Sequence[str | os.PathLike[str]],
    budget: Budget,
    *,
    by: By = "auto",
    strict: bool = False,
    timeout_s: float | None = None,
    stdout: int | None = None,
) -> BudgetReport:
    """Run a command under a budget.

    Memory and processor share are held by cgroup version 2 where this process may make a group, else by version 1;
    memory else by RLIMIT_DATA, which counts reserved memory too. Threads are held by the set of cores, and libraries
    are asked for this many. Watts are modelled and held by nothing.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments. It ends, with all that it starts, when this process does.
    budget : Budget
        The limits.
    by : {"auto", "v2", "v1", "rlimit"}
        What to hold them with.
    strict : bool
        Whether a limit that nothing holds is an error.
    timeout_s : float, optional
        The command is ended after this many seconds.
    stdout : int, optional
        As in `subprocess.Popen`.

    Returns
    -------
    BudgetReport
        What held, what was used, how it ended.

    Raises
    ------
    UnsupportedError
        `by` names what the system does not offer, or `strict` and a limit is held by nothing.
    BadInputError
        The program does not exist.

    Examples
    --------
    >>> from facelab.budget import Budget
    >>> report = run(["true"], Budget(threads=1))
    >>> report.end, report.passed
    ('finished', True)
    """
    words = [os.fspath(word) for word in command]
    if not words or shutil.which(words[0]) is None:
        raise BadInputError(
            "there is no such program",
            where=words[0] if words else "an empty command",
            fix="check the path of the command",
        )
    plan = _plan(budget, by)
    try:
        unheld = [h for h in plan.held if h.mechanism is None and h.limit != "watts"]
        if unheld and strict:
            raise UnsupportedError(
                f"nothing here holds {' and '.join(h.limit for h in unheld)}",
                where=budget.name,
                got="; ".join(h.note for h in unheld)[:400],
                fix="run it as root, in a delegated group (systemd-run --user --scope -p Delegate=yes …), or without "
                "--strict",
            )
        return _run(words, budget, plan, timeout_s, stdout)
    finally:
        for group in plan.groups:
            group.remove()


def _plan(budget: Budget, by: By) -> _Plan:
    plan = _Plan([], [], {}, {})
    memory, share = budget.memory_bytes, budget.cpu_share
    reasons = []
    if by in ("auto", "v2") and (memory, share) != (None, None):
        memory, share = _with_group(plan, make2, "v2", memory, share, reasons)
    if by in ("auto", "v1") and (memory, share) != (None, None):
        memory, share = _with_group(plan, make1, "v1", memory, share, reasons)
    if by in ("v2", "v1") and (memory, share) != (None, None):
        raise UnsupportedError(
            f"this system offers no cgroup {by} to this process",
            where=budget.name,
            got="; ".join(reasons)[:400],
            fix="use --by auto, or run it as root or in a delegated group",
        )
    if memory is not None:
        plan.wanted["data_bytes"] = memory
        note = "counts reserved memory, and a refusal looks like a failure"
        plan.held.append(Held("memory_mb", memory / 1e6, "rlimit", memory / 1e6, note))
    if share is not None:
        plan.held.append(Held("cpu_share", share, None, None, "; ".join(reasons)[:300]))
    if budget.threads is not None:
        plan.wanted["cpus"] = budget.threads
        plan.environment = dict.fromkeys(THREAD_VARIABLES, str(budget.threads))
        value = min(budget.threads, cores())
        plan.held.append(Held("threads", budget.threads, "set of cores", value))
    if budget.watts is not None:
        note = "modelled from processor time, never measured"
        plan.held.append(Held("watts", budget.watts, None, None, note))
    plan.wanted["procs"] = [path for group in plan.groups for path in group.procs]
    return plan


def _with_group(
    plan: _Plan,
    make: Callable[[int | None, float | None], Group],
    version: str,
    memory: int | None,
    share: float | None,
    reasons: list[str],
) -> tuple[int | None, float | None]:
    """Try one version for both limits, then for each alone; return the limits that are still open."""
    attempts = [(memory, share)]
    if memory is not None and share is not None:
        attempts += [(memory, None), (None, share)]
    for m, s in attempts:
        try:
            group = make(m, s)
        except NotOfferedError as e:
            reasons.append(f"{version}: {e}")
            continue
        plan.groups.append(group)
        for limit, value in (("memory_mb", m and m / 1e6), ("cpu_share", s)):
            if value is not None:
                plan.held.append(Held(limit, value, group.mechanism, value))
        return (None if m is not None else memory), (None if s is not None else share)
    return memory, share


def _run(
    command: list[str], budget: Budget, plan: _Plan, timeout_s: float | None, stdout: int | None
) -> BudgetReport:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    reading, writing = os.pipe()
    started = time.monotonic()
    words = [sys.executable, "-I", "-S", _ENTER, str(writing), json.dumps(plan.wanted), *command]
    peak, late = 0, False
    try:
        process = lifetime.Popen(
            words, pass_fds=(writing,), env={**os.environ, **plan.environment}, stdout=stdout
        )
        os.close(writing)
        with process:
            peak, late = _watch(process, started, timeout_s)
    finally:
        answer = _answer(reading)
    ended, code = time.monotonic(), process.returncode
    if "error" in answer:
        raise UnsupportedError(
            "the command could not enter its limits",
            where=budget.name,
            got=answer["error"],
            fix="try another --by",
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    children = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wall = max(1e-3, ended - float(answer.get("at", started)))  # from when the command took over
    return _report(command, budget, plan, (code, late, peak, children, wall))


def _answer(reading: int) -> dict:
    try:
        os.set_blocking(reading, False)
        text = os.read(reading, 4096)
        return json.loads(text) if text else {}
    except (BlockingIOError, ValueError):
        return {}
    finally:
        os.close(reading)


def _watch(process: lifetime.Popen, started: float, timeout_s: float | None) -> tuple[int, bool]:
    """Wait for the end; return the largest sum of resident memory seen, and whether the time ran out."""
    peak = 0
    while True:
        try:
            process.wait(LOOK_S)
            return peak, False
        except subprocess.TimeoutExpired:
            peak = max(peak, sum(_resident(pid) for pid in guard.descendants(process.pid)))
        if timeout_s is not None and time.monotonic() - started > timeout_s:
            process.kill()
            return peak, True


def _resident(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0


def _report(
    command: list[str], budget: Budget, plan: _Plan, seen: tuple[int, bool, int, float, float]
) -> BudgetReport:
    code, late, sampled, children, wall = seen
    group = plan.memory_group
    kills = None if group is None else group.oom_kills()
    peak = None if group is None else group.peak_bytes()
    counted = [s for g in plan.groups if (s := g.cpu_seconds()) is not None]
    cpu = counted[0] if counted else children
    throttled = next((t for g in plan.groups if (t := g.throttling()) is not None), None)
    hits = None if group is None else group.limit_hits()
    end = _end(code, late, kills, hits, by_rlimit="data_bytes" in plan.wanted)
    watts = None
    if budget.power is not None:
        busy = min(1.0, cpu / wall / (budget.threads or cores()))
        power = budget.power
        watts = power.idle_watts + (power.busy_watts - power.idle_watts) * busy
    report = BudgetReport(
        budget=budget.to_dict(),
        command=tuple(command),
        end=end,
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        held=tuple(plan.held),
        oom_kills=kills,
        peak_bytes=peak,
        sampled_rss_bytes=sampled,
        cpu_seconds=cpu,
        wall_seconds=wall,
        throttled=None if throttled is None else {k: float(v) for k, v in vars(throttled).items()},
        watts=watts,
        passed=False,
        reasons=(),
        machine=facts(threads=budget.threads),
    )
    reasons = tuple(report.broken())
    return dataclasses.replace(report, passed=not reasons, reasons=reasons)


def _end(
    code: int, late: bool, kills: int | None, hits: int | None, *, by_rlimit: bool = False
) -> str:
    """Say how a run ended. Exit code 137 and signal 9 prove nothing: only the kernel's counters do."""
    if late:
        return "time is up"
    if kills and hits == 0:
        return "killed for other memory"
    if kills:
        return "part killed for memory" if code == 0 else "killed for memory"
    if code == 0:
        return "finished"
    # without a group that counts, a refused allocation and a fault of the program's own look alike
    if by_rlimit or (code == -9 and kills is None):
        return "ended, cause unknown"
    return "crashed" if code < 0 else "failed"
