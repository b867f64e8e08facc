"""Fault histories of metadata stores: clients read and swap while servers and writers are killed, then the judge."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from facelab.core.errors import BadInputError, FacelabError, UnsupportedError
from facelab.core.isolated import module_command
from facelab.core.lifetime import Popen
from facelab.core.result import Result
from facelab.core.safety.scratch import ScratchFolder
from facelab.index import open_metadata
from facelab.index.internals import Operation, check_history, local_etcd
from facelab.studies.index_client import Client, Recorder

FAULTS = ("kill", "stop", "cut", "none")
PLANTED = ("none", "stale", "blind", "retry")


@dataclass(frozen=True, eq=False)
class History(Result):
    """One run under faults and its verdict.

    Attributes
    ----------
    store : str
        "etcd, 3 members" and the like.
    linearizable : bool or None
    operations, unknown, not_sent : int
        Operations with an answer, swaps without one, and requests that never left.
    faults : int
        Kills or stops that took place.
    longest_gap_s : float
        Longest time without any answer.
    check_s : float
        Seconds that the checker took.
    because : str
    fault_at : list of float
        When each fault began, on the clock of the operations.
    history : list of Operation
    """

    store: str
    fault: str
    planted: str
    linearizable: bool | None
    operations: int
    unknown: int
    not_sent: int
    faults: int
    seconds: float
    longest_gap_s: float
    check_s: float
    because: str
    fault_at: list[float]
    history: list[Operation]

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict; the history itself is `save_history`'s."""
        return {k: v for k, v in self.__dict__.items() if k != "history"}

    def text(self) -> str:
        """Return the run in one line."""
        word = {True: "linearizable", False: "NOT linearizable", None: "cannot be determined"}
        plant = "" if self.planted == "none" else f", planted: {self.planted}"
        counts = (
            f"{self.operations} operations, {self.unknown} unknown, {self.faults} × {self.fault}"
        )
        tail = f": {self.because}" if self.because else ""
        return f"{self.store}{plant}: {counts}: {word[self.linearizable]}{tail}"


def etcd_history(
    *,
    members: int = 1,
    operations: int = 5000,
    faults: int = 4,
    fault: str = "kill",
    clients: int = 5,
    keys: int = 8,
    planted: str = "none",
    seed: int = 0,
    limit_s: float = 240.0,
) -> History:
    """Run clients against real etcd members on loopback that are killed, and judge what they saw.

    Parameters
    ----------
    members : int
        1 or 3.
    operations : int
        Answers to collect; the faults are spread over them.
    faults : int
        Kills with SIGKILL and restarts, stops with SIGSTOP for 0.8 s, or cuts.
    fault : {"kill", "stop", "cut", "none"}
        "cut" takes a member from its peers for 1.5 s while clients still reach it (network namespaces, as root).
    clients, keys : int
        Threads, and keys that they share.
    planted : {"none", "stale", "blind", "retry"}
        A mistake of the clients that must be found: reads of one member without asking the others (in SQLite:
        from a cache), writes that compare by themselves first, and repetitions that forget the first request (one
        answer in twenty is lost on purpose).
    seed : int
        Of the clients' choices; the times of a real server are never the same twice.
    limit_s : float
        Seconds after which the run ends with what it has.

    Raises
    ------
    UnsupportedError
        There is no etcd here.
    """
    _check(fault, planted)
    with local_etcd(members, namespaces=fault == "cut") as cluster:
        recorder = Recorder()

        def make(n: int) -> Client:
            order = [cluster.endpoints[(n + i) % members] for i in range(members)]
            meta = open_metadata("etcd:" + ",".join(order))
            for client in getattr(meta, "_clients", ()):
                client.timeout = 2.0
            return Client(f"c{n}", meta, random.Random(f"{seed} {n}"), keys, planted, recorder)

        rng = random.Random(seed)

        def harm() -> None:
            member = rng.randrange(members)
            if fault == "stop":
                cluster.pause(member, stop=True)
                time.sleep(0.8)
                cluster.pause(member, stop=False)
            elif fault == "cut":
                cluster.cut(member, off=True)
                time.sleep(1.5)
                cluster.cut(member, off=False)
            else:
                cluster.kill(member)
                time.sleep(0.3)
                cluster.start(member)
                cluster.ready(member)

        hurt = 0 if fault == "none" else faults
        done = _run([make(n) for n in range(clients)], recorder, operations, hurt, harm, limit_s)
    name = f"etcd, {members} member{'s' if members > 1 else ''}"
    return _judged(name, fault, planted, recorder, *done)


def _run(
    clients: list[Client],
    recorder: Recorder,
    wanted: int,
    faults: int,
    harm: Callable[[], None],
    limit_s: float,
) -> tuple[list[float], float]:
    """Let clients run until there are enough answers and all faults took place; return (their times, seconds)."""
    stop = threading.Event()
    threads = [threading.Thread(target=c.loop, args=(stop,), daemon=True) for c in clients]
    started = time.monotonic()
    hurt: list[float] = []
    for thread in threads:
        thread.start()
    try:
        while time.monotonic() - started < limit_s:
            if len(hurt) < faults and recorder.answers >= (len(hurt) + 1) * wanted // (faults + 1):
                hurt.append(time.monotonic())
                harm()
            elif len(hurt) == faults and recorder.answers >= wanted:
                break
            time.sleep(0.01)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    return hurt, time.monotonic() - started


def sqlite_history(
    *,
    operations: int = 5000,
    faults: int = 4,
    clients: int = 3,
    keys: int = 8,
    planted: str = "none",
    seed: int = 0,
    limit_s: float = 240.0,
    file_limit: int | None = None,
) -> History:
    """Run client processes on one SQLite file, kill writers with SIGKILL, and judge what they saw.

    The file is kept in memory where the system has a folder there: what a killed process wrote stays in either case.

    Parameters
    ----------
    operations, faults, keys, planted, seed, limit_s
        As for `etcd_history`; a fault ends a client process, and another takes its place.
    clients : int
        Processes at once.
    file_limit : int, optional
        Largest size of a file in bytes: a disk that is full for every client.
    """
    _check("kill", planted)
    folder = memory_folder()
    with (
        ScratchFolder(prefix="fl-sqlite-", dir=folder) as name,
        contextlib.ExitStack() as stack,
    ):
        path = Path(name) / "metadata.sqlite"
        with open_metadata_closed(f"sqlite:{path}"):
            pass
        pool = _Processes(f"sqlite:{path}", keys, planted, seed, file_limit)
        stack.callback(pool.close)
        for _ in range(clients):
            pool.start()
        started, rng = time.monotonic(), random.Random(seed)
        hurt: list[float] = []
        while time.monotonic() - started < limit_s:
            if len(hurt) < faults and pool.answers() >= (len(hurt) + 1) * operations // (
                faults + 1
            ):
                hurt.append(time.monotonic())
                pool.kill_one(rng)
                pool.start()
            elif len(hurt) == faults and pool.answers() >= operations and pool.all_took_part():
                break
            time.sleep(0.02)
        seconds = time.monotonic() - started
        pool.close()
        recorder = pool.recorder()
    store = f"SQLite, {clients} processes"
    return _judged(store, "kill", planted, recorder, hurt, seconds)


@contextlib.contextmanager
def open_metadata_closed(address: str) -> Iterator[Any]:
    """Yield a metadata store and close it afterwards."""
    with contextlib.closing(open_metadata(address)) as meta:
        yield meta


class _Processes:
    """Client processes and what each of them printed: a line before each call, and a line after."""

    def __init__(self, address: str, keys: int, planted: str, seed: int, file_limit: int | None):
        self._words = [address, keys, planted, seed, file_limit or 0]
        self._all: list[Popen] = []
        self._live: list[Popen] = []
        self._lines: list[list[str]] = []
        self._readers: list[threading.Thread] = []

    def start(self) -> None:
        """Start one more client."""
        command = module_command("facelab.studies.index_client", len(self._all), *self._words)
        process = Popen(command, stdout=subprocess.PIPE, text=True)
        lines: list[str] = []
        reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
        reader.start()
        self._all.append(process)
        self._live.append(process)
        self._lines.append(lines)
        self._readers.append(reader)

    def answers(self) -> int:
        """Return how many answers there are so far."""
        return sum(line.startswith('{"ret"') for lines in self._lines for line in list(lines))

    def all_took_part(self) -> bool:
        """Return whether every live client has ten answers: one alone proves nothing."""
        of = {id(p): lines for p, lines in zip(self._all, self._lines)}
        return all(
            sum(line.startswith('{"ret"') for line in list(of[id(p)])) >= 10 for p in self._live
        )

    def kill_one(self, rng: random.Random) -> None:
        """Kill a client that has begun with SIGKILL, wherever it is."""
        process = rng.choice(self._live)
        lines = self._lines[self._all.index(process)]
        while not lines:
            time.sleep(0.01)
        os.kill(json.loads(lines[0])["pid"], signal.SIGKILL)
        self._live.remove(process)

    def close(self) -> None:
        """End all clients; what they were at stays without an answer."""
        for process in self._all:
            process.kill()
        for reader, process in zip(self._readers, self._all):
            reader.join(10)
            if process.stdout is not None:
                process.stdout.close()

    def recorder(self) -> Recorder:
        """Return everything that the clients printed as one history."""
        recorder = Recorder()
        for lines in self._lines:
            recorder.take(lines)
        return recorder


def _read(stream: IO[str], lines: list[str]) -> None:
    with contextlib.suppress(ValueError):
        # half a line is that of a killed client
        lines.extend(line for line in stream if line.endswith("\n"))


def _judged(
    store: str, fault: str, planted: str, recorder: Recorder, hurt: list[float], seconds: float
) -> History:
    history = recorder.operations()
    found = check_history(history)
    ends = sorted(o.ret for o in history if o.ret is not None and not o.unknown)
    gaps = [b - a for a, b in itertools.pairwise(ends)]
    return History(
        store,
        fault,
        planted,
        found.linearizable,
        found.operations,
        found.unknown,
        recorder.not_sent,
        len(hurt),
        seconds,
        max(gaps, default=0.0),
        found.seconds,
        found.because,
        hurt,
        history,
    )


def _check(fault: str, planted: str) -> None:
    for what, value, known in (("fault", fault, FAULTS), ("mistake", planted, PLANTED)):
        if value not in known:
            raise BadInputError(
                f"there is no {what} {value!r}",
                expected=", ".join(known),
                fix="use one of these names",
            )


def memory_folder() -> str | None:
    """Return a folder that is kept in memory, or None: a kill needs no disk, and waiting for one takes most time."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None


def stores_here(*, servers: bool = True) -> tuple[list[str], dict[str, str]]:
    """Return the stores whose histories can be run here, and why others cannot."""
    if not servers:
        return ["sqlite"], {"etcd": "servers are switched off"}
    try:
        with local_etcd(1):
            return ["sqlite", "etcd 1", "etcd 3"], {}
    except FacelabError as e:
        return ["sqlite"], {"etcd": f"{e.what}: {(e.got or '').splitlines()[-1][:100]}"}


def all_histories(stores: list[str], *, operations: int, faults: int) -> list[History]:
    """Return a history under kills of each store; see `stores_here`."""
    return [_history(store, operations=operations, faults=faults) for store in stores]


def planted_histories(stores: list[str], *, operations: int) -> list[History]:
    """Return a history with each mistake that a store's clients can make; all must be found."""
    found = []
    for store in stores:
        options: dict[str, int] = {"operations": operations, "faults": 1}
        mistakes = ("blind", "retry")
        if store == "sqlite":
            options = {"operations": operations // 3, "faults": 0, "keys": 2}
            mistakes = ("stale", "blind")
        found += [_history(store, planted=planted, **options) for planted in mistakes]
    if "etcd 3" in stores:  # one member always knows the last value
        found.append(stale_history(operations=operations))
    return found


def stale_history(*, operations: int, tries: int = 5) -> History:
    """Return a history of three members in which stale reads were planted.

    A member that is cut from its peers is stale for as long as the cut. Where that is not allowed, members are stopped,
    and only the moment after each stop may be stale: this is tried again until a stale read came about.
    """
    options: dict[str, Any] = {"operations": operations, "faults": 4, "planted": "stale"}
    try:
        return _history("etcd 3", fault="cut", **options)
    except UnsupportedError:
        for seed in range(tries):
            found = _history("etcd 3", fault="stop", seed=seed, **options)
            if found.linearizable is False:
                break
        return found


def _history(store: str, **options: Any) -> History:
    if store == "sqlite":
        return sqlite_history(**options)
    return etcd_history(members=int(store.split()[1]), **options)
