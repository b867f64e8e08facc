"""Throw-away etcd members on loopback, for tests, notebooks and fault histories. They end with this process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.core.lifetime import Popen
from facelab.core.safety.scratch import ScratchFolder
from facelab.index.metadata._namespaces import Namespaces


class LocalEtcd:
    """Some members of one etcd cluster, each of which can be killed, stopped and started again."""

    def __init__(
        self, program: str, folder: Path, members: int, namespaces: Namespaces | None = None
    ):
        self.program, self.folder, self.members = program, folder, members
        ports = _free_ports(2 * members)
        self.clients, self.peers, self._namespaces = ports[:members], ports[members:], namespaces
        self._running: list[Popen | None] = [None] * members
        self._stopped: set[int] = set()

    @property
    def endpoints(self) -> list[str]:
        """Addresses of all members."""
        return [self._url(m, "client") for m in range(self.members)]

    def _url(self, member: int, side: str) -> str:
        port = (self.clients if side == "client" else self.peers)[member]
        spaces = self._namespaces
        if spaces is None:
            return f"http://127.0.0.1:{port}"
        host = (spaces.client_address if side == "client" else spaces.peer_address)(member)
        return f"http://{host}:{port}"

    def cut(self, member: int, *, off: bool) -> None:
        """Cut a member from its peers, or let it back; it needs `namespaces`."""
        if self._namespaces is not None:
            self._namespaces.cut(member, off=off)

    def start(self, member: int) -> None:
        """Start a member; its data are those it had before."""
        cluster = ",".join(f"m{i}={self._url(i, 'peer')}" for i in range(self.members))
        client, peer = self._url(member, "client"), self._url(member, "peer")
        before = [] if self._namespaces is None else self._namespaces.prefix(member)
        log = (self.folder / f"m{member}.log").open("ab")
        with log:
            self._running[member] = Popen(
                [
                    *before,
                    self.program,
                    f"--name=m{member}",
                    f"--data-dir={self.folder / f'm{member}'}",
                    f"--listen-client-urls={client}",
                    f"--advertise-client-urls={client}",
                    f"--listen-peer-urls={peer}",
                    f"--initial-advertise-peer-urls={peer}",
                    f"--initial-cluster={cluster}",
                    "--heartbeat-interval=50",
                    "--election-timeout=500",
                ],
                stdout=log,
                stderr=log,
                env={"PATH": os.defpath, "ETCD_UNSUPPORTED_ARCH": "arm64"},
            )

    def kill(self, member: int) -> None:
        """End a member with SIGKILL."""
        if (pid := self._pid(member)) is not None:
            os.kill(pid, signal.SIGKILL)
        running = self._running[member]
        if running is not None:
            running.wait()
        self._running[member] = None

    def pause(self, member: int, *, stop: bool) -> None:
        """Stop a member with SIGSTOP and wait until all its threads stand still, or let it go on."""
        if (pid := self._pid(member)) is not None:
            os.kill(pid, signal.SIGSTOP if stop else signal.SIGCONT)
            end = time.monotonic() + 5
            while stop and not _stands_still(pid) and time.monotonic() < end:
                time.sleep(0.001)
            (self._stopped.add if stop else self._stopped.discard)(member)

    def ready(self, member: int, limit_s: float = 60.0) -> None:
        """Wait until a member answers a linearizable read. Raises UnsupportedError where it does not."""
        import requests

        end, running = time.monotonic() + limit_s, self._running[member]
        while time.monotonic() < end and running is not None and running.poll() is None:
            with contextlib.suppress(requests.RequestException):
                url = f"{self.endpoints[member]}/v3/kv/range"
                if requests.post(url, json={"key": "AA=="}, timeout=1).status_code == 200:
                    return
            time.sleep(0.05)
        raise UnsupportedError(
            "etcd cannot be started here",
            got=(self.folder / f"m{member}.log").read_text(errors="replace")[-300:],
            fix="install Debian's etcd-server",
        )

    def _pid(self, member: int) -> int | None:
        """Return the process id of the member itself, which runs below its guard."""
        running = self._running[member]
        if running is None:
            return None
        mark = f"--data-dir={self.folder / f'm{member}'}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    if mark in words and Path(os.fsdecode(words[0])).name == "etcd":
                        return int(entry.name)
        return None

    def close(self) -> None:
        """End all members."""
        for member in sorted(self._stopped):
            self.pause(member, stop=False)
        for running in self._running:
            if running is not None:
                running.kill()


@contextlib.contextmanager
def local_etcd(members: int = 1, *, namespaces: bool = False) -> Iterator[LocalEtcd]:
    """Start etcd members on loopback in a temporary folder and yield their handle.

    Parameters
    ----------
    members : int
        1 or 3 (any odd number up to 7).
    namespaces : bool
        Give each member a network namespace, so that it can be cut from its peers (as root).

    Returns
    -------
    Iterator[LocalEtcd]
        A handle of the members.

    Raises
    ------
    UnsupportedError
        There is no program `etcd` here, or it cannot be started.
    """
    if members not in (1, 3, 5, 7):
        raise BadInputError("a cluster has an odd number of members", got=members, fix="use 1 or 3")
    program = which("etcd")
    if program is None:
        raise UnsupportedError(
            "etcd cannot be started here",
            got="there is no program named etcd",
            fix="install Debian's etcd-server, or use SQLite",
        )
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(ScratchFolder(prefix="fl-etcd-"))
        spaces = (
            stack.enter_context(contextlib.closing(Namespaces(members))) if namespaces else None
        )
        cluster = LocalEtcd(program, Path(name), members, spaces)
        try:
            for member in range(members):
                cluster.start(member)
            for member in range(members):
                cluster.ready(member)
            yield cluster
        finally:
            cluster.close()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [int(s.getsockname()[1]) for s in sockets]


def _stands_still(pid: int) -> bool:
    """Return whether every thread of a process is stopped: a signal needs its time, and a request less."""
    states = set()
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):
            states.add(task.read_text().rpartition(")")[2].split()[0])
    return states <= {"T", "t", "Z"}
