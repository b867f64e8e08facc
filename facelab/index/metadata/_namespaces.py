"""Network namespaces for etcd members: a member can be cut from its peers while clients still reach it.

Namespaces belong to holder processes that end with this one, however it ends. A link on this machine may outlive a
process that was killed, until the next one removes it: its name carries the process id. Each
member has two links: one to its peers, over a bridge in its own namespace, and one to this machine, for clients.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
import subprocess
from pathlib import Path
from shutil import which

from facelab.core.errors import UnsupportedError
from facelab.core.lifetime import Popen

_COUNT = itertools.count()
_HOLD = "echo $$; exec sleep infinity"


class Namespaces:
    """One namespace per member, and one for the bridge between them. Raises UnsupportedError where not allowed."""

    def __init__(self, members: int):
        self._holders: list[Popen] = []
        self._net, self._word = secrets.randbelow(200) + 20, f"fl{os.getpid():x}x{next(_COUNT)}"
        try:
            self._hub = self._held()
            _remove_orphans()
            self._members = [self._held() for _ in range(members)]
            self._in(self._hub, "link", "add", "bridge", "type", "bridge")
            self._in(self._hub, "link", "set", "bridge", "up")
            for i in range(members):
                self._connect(i)
        except BaseException:
            self.close()
            raise

    def client_address(self, member: int) -> str:
        """Return the address that clients reach a member at."""
        return f"10.214.{self._net}.{4 * member + 2}"

    def peer_address(self, member: int) -> str:
        """Return the address that its peers reach a member at."""
        return f"10.213.{self._net}.{member + 1}"

    def prefix(self, member: int) -> list[str]:
        """Return the words that start a program in a member's namespace."""
        return ["nsenter", f"--net=/proc/{self._members[member]}/ns/net"]

    def cut(self, member: int, *, off: bool) -> None:
        """Take down a member's link to its peers, or bring it up again."""
        self._in(self._hub, "link", "set", f"p{member}", "down" if off else "up")

    def close(self) -> None:
        """Remove the links and end the holders; the namespaces go with them, the kernel takes its time."""
        for i in range(len(self._holders)):
            with contextlib.suppress(UnsupportedError, subprocess.TimeoutExpired):
                _ip("link", "del", f"{self._word}{i}")
        for holder in self._holders:
            holder.kill()
            if holder.stdout is not None:
                holder.stdout.close()

    def _held(self) -> int:
        if os.geteuid() != 0 or not all(which(p) for p in ("ip", "unshare", "nsenter")):
            raise _refused("root, and the programs ip, unshare and nsenter, are needed")
        holder = Popen(["unshare", "-n", "sh", "-c", _HOLD], stdout=subprocess.PIPE, text=True)
        self._holders.append(holder)
        line = holder.stdout.readline() if holder.stdout is not None else ""
        if not line.strip().isdigit():
            raise _refused("a network namespace could not be made")
        return int(line)

    def _connect(self, i: int) -> None:
        """Lay a member's two links: `p` ends in the bridge, `c` on this machine."""
        pid, ours = self._members[i], f"{self._word}{i}"
        self._in(self._hub, "link", "add", f"p{i}", "type", "veth", "peer", "name", "peers")
        self._in(self._hub, "link", "set", "peers", "netns", str(pid))
        self._in(self._hub, "link", "set", f"p{i}", "master", "bridge", "up")
        self._in(pid, "addr", "add", f"{self.peer_address(i)}/24", "dev", "peers")
        self._in(pid, "link", "add", "clients", "type", "veth", "peer", "name", ours)
        self._in(pid, "link", "set", ours, "netns", str(os.getpid()))
        self._in(pid, "addr", "add", f"{self.client_address(i)}/30", "dev", "clients")
        for device in ("lo", "peers", "clients"):
            self._in(pid, "link", "set", device, "up")
        _ip("addr", "add", f"10.214.{self._net}.{4 * i + 1}/30", "dev", ours)
        _ip("link", "set", ours, "up")

    def _in(self, pid: int, *words: str) -> None:
        _ip(*words, before=("nsenter", f"--net=/proc/{pid}/ns/net"))


def _remove_orphans() -> None:
    """Remove links whose process is gone."""
    done = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, timeout=30)
    for name, pid in re.findall(r"\b(fl([0-9a-f]+)x\d+)@", done.stdout):
        if not Path(f"/proc/{int(pid, 16)}").exists():
            with contextlib.suppress(UnsupportedError):
                _ip("link", "del", name)


def _ip(*words: str, before: tuple[str, ...] = ()) -> None:
    done = subprocess.run([*before, "ip", *words], capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise _refused(f"ip {' '.join(words)}: {done.stderr.strip()[:160]}")


def _refused(got: str) -> UnsupportedError:
    return UnsupportedError(
        "network namespaces cannot be used here",
        got=got,
        fix="run as root with iproute2 and util-linux, or use another fault",
    )
