"""Control groups, version 2 and 1: found, made below this process's own, read, removed."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from facelab.core.lifetime import process_start

PERIOD_US = 20_000
LEAST_QUOTA_US = 1_000
_NAME = re.compile(r"facelab-(\d+)-(\d+)-[0-9a-f]+\Z")
_REMOVE_S = 3.0


class NotOfferedError(Exception):
    """The system does not offer what a limit needs; the text says why."""


@dataclass(frozen=True)
class Throttling:
    """Periods of processor time, those in which the group had to wait, and the seconds it waited."""

    periods: int
    throttled: int
    seconds: float


class Group:
    """One control group that holds the memory, the processor time, or both, of a command."""

    mechanism = "?"

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = list(folders)

    @property
    def procs(self) -> list[str]:
        """The files that a process enters by writing to them."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    def members(self) -> list[int]:
        """Return the processes inside."""
        text = _read(self.folders[0] / "cgroup.procs") if self.folders else None
        return [int(word) for word in (text or "").split()]

    def remove(self) -> bool:
        """Remove the group once it is empty; return whether it is gone."""
        end = time.monotonic() + _REMOVE_S
        for folder in self.folders:
            while folder.exists():
                try:
                    folder.rmdir()
                except OSError:
                    if time.monotonic() > end:
                        return False
                    time.sleep(0.02)
        return True

    def oom_kills(self) -> int | None:
        """Return how many processes were killed for memory, or None where it cannot be read."""
        raise NotImplementedError

    def limit_hits(self) -> int | None:
        """Return how often the group's own limit was hit: a kill without one was another limit's doing."""
        raise NotImplementedError

    def peak_bytes(self) -> int | None:
        """Return the most memory the group had, page cache included."""
        raise NotImplementedError

    def cpu_seconds(self) -> float | None:
        """Return the processor time of the group."""
        raise NotImplementedError

    def throttling(self) -> Throttling | None:
        """Return how often the processor share made the group wait."""
        raise NotImplementedError


class Group2(Group):
    """A group of version 2: one folder, all controllers."""

    mechanism = "cgroup v2"

    def oom_kills(self) -> int | None:
        return _field(self.folders[0] / "memory.events", "oom_kill")

    def limit_hits(self) -> int | None:
        return _field(self.folders[0] / "memory.events", "max")

    def peak_bytes(self) -> int | None:
        return _number(self.folders[0] / "memory.peak")  # since Linux 5.19

    def cpu_seconds(self) -> float | None:
        used = _field(self.folders[0] / "cpu.stat", "usage_usec")
        return None if used is None else used / 1e6

    def throttling(self) -> Throttling | None:
        path = self.folders[0] / "cpu.stat"
        return _throttling(path, "throttled_usec", 1e6)


class Group1(Group):
    """Groups of version 1: a folder per controller, in the order of `controllers`."""

    mechanism = "cgroup v1"

    def __init__(self, folders: Sequence[Path], controllers: Sequence[str]) -> None:
        super().__init__(folders)
        self.by_controller = dict(zip(controllers, folders))

    def oom_kills(self) -> int | None:
        folder = self.by_controller.get("memory")
        return None if folder is None else _field(folder / "memory.oom_control", "oom_kill")

    def limit_hits(self) -> int | None:
        if (folder := self.by_controller.get("memory")) is None:
            return None
        # with swap limited to the same amount, that limit is hit first
        names = ("memory.failcnt", "memory.memsw.failcnt")
        counts = [n for name in names if (n := _number(folder / name)) is not None]
        peak, limit = self.peak_bytes(), _number(folder / "memory.limit_in_bytes")
        if peak is not None and limit is not None and peak >= 0.95 * limit:
            return max(1, sum(counts))  # new kernels leave the counters of version 1 at 0
        return sum(counts) if counts else None

    def peak_bytes(self) -> int | None:
        folder = self.by_controller.get("memory")
        return None if folder is None else _number(folder / "memory.max_usage_in_bytes")

    def cpu_seconds(self) -> float | None:
        folder = self.by_controller.get("cpuacct")
        used = None if folder is None else _number(folder / "cpuacct.usage")
        return None if used is None else used / 1e9

    def throttling(self) -> Throttling | None:
        folder = self.by_controller.get("cpu")
        return None if folder is None else _throttling(folder / "cpu.stat", "throttled_time", 1e9)


def make2(memory: int | None, cpu_share: float | None) -> Group2:
    """Make a group of version 2 that holds these limits. Raises NotOfferedError with the reasons."""
    wanted = [c for c, v in (("memory", memory), ("cpu", cpu_share)) if v is not None]
    mounts = list(_mounts("cgroup2"))
    if not mounts:
        raise NotOfferedError("no file system of cgroup version 2 is mounted")
    why = []
    for mount, root, _ in mounts:
        own = _own_path("", root)
        for parent in _upwards(mount, own):
            try:
                return _make2_below(parent, wanted, memory, cpu_share)
            except (NotOfferedError, OSError) as e:
                why.append(f"{parent}: {getattr(e, 'strerror', None) or e}")
    raise NotOfferedError("; ".join(dict.fromkeys(why)) or "no group can be made")


def _make2_below(
    parent: Path, wanted: list[str], memory: int | None, cpu_share: float | None
) -> Group2:
    offered = (_read(parent / "cgroup.controllers") or "").split()
    if missing := [c for c in wanted if c not in offered]:
        raise NotOfferedError(f"no controller {', '.join(missing)}")
    enabled = (_read(parent / "cgroup.subtree_control") or "").split()
    for controller in wanted:
        if controller not in enabled:
            (parent / "cgroup.subtree_control").write_text(f"+{controller}")
    folder = _new_folder(parent)
    group = Group2([folder])
    try:
        if memory is not None:
            (folder / "memory.max").write_text(str(memory))
            for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
                with contextlib.suppress(OSError):
                    (folder / name).write_text(value)
        if cpu_share is not None:
            quota, period = quota_of(cpu_share)
            (folder / "cpu.max").write_text(f"{quota} {period}")
        _try_entering(group)
    except BaseException:
        group.remove()
        raise
    return group


def make1(memory: int | None, cpu_share: float | None) -> Group1:
    """Make groups of version 1 that hold these limits. Raises NotOfferedError with the reason."""
    wanted = [c for c, v in (("memory", memory), ("cpu", cpu_share)) if v is not None]
    folders, controllers = [], []
    group = Group1([], [])
    try:
        for controller in [*wanted, "cpuacct"]:
            place = _place1(controller)
            if place is None:
                if controller in wanted:
                    raise NotOfferedError(f"version 1 has no controller {controller} here")
                continue
            same = next((k for k, f in enumerate(folders) if f.parent == place), None)
            folders.append(folders[same] if same is not None else _new_folder(place))
            controllers.append(controller)
            group = Group1(folders, controllers)
        _limit1(group, memory, cpu_share)
        _try_entering(group)
    except OSError as e:
        group.remove()
        raise NotOfferedError(f"{e.filename or 'cgroup'}: {e.strerror or e}") from None
    except BaseException:
        group.remove()
        raise
    return group


def _limit1(group: Group1, memory: int | None, cpu_share: float | None) -> None:
    if memory is not None:
        folder = group.by_controller["memory"]
        (folder / "memory.limit_in_bytes").write_text(str(memory))
        for name, value in (
            ("memory.memsw.limit_in_bytes", str(memory)),
            ("memory.swappiness", "0"),
        ):
            with contextlib.suppress(OSError):
                (folder / name).write_text(value)
    if cpu_share is not None:
        folder, (quota, period) = group.by_controller["cpu"], quota_of(cpu_share)
        (folder / "cpu.cfs_period_us").write_text(str(period))
        (folder / "cpu.cfs_quota_us").write_text(str(quota))


def quota_of(cpu_share: float) -> tuple[int, int]:
    """Return (quota, period) in microseconds: a short period, so that a throttled command waits milliseconds.

    >>> quota_of(0.5), quota_of(0.01), quota_of(2.0)
    ((10000, 20000), (1000, 100000), (40000, 20000))
    """
    period = PERIOD_US
    if cpu_share * period < LEAST_QUOTA_US:
        period = min(1_000_000, round(LEAST_QUOTA_US / cpu_share))
    return max(LEAST_QUOTA_US, round(cpu_share * period)), period


def _place1(controller: str) -> Path | None:
    """Return the folder of this process in a controller's hierarchy, or None."""
    for mount, root, options in _mounts("cgroup"):
        if controller in options:
            path = mount / _own_path(controller, root).lstrip("/")
            return path if path.is_dir() else mount
    return None


def _mounts(kind: str) -> Iterator[tuple[Path, str, list[str]]]:
    """Yield (mount point, root inside the hierarchy, options) of each mount of a kind."""
    for line in (_read(Path("/proc/self/mountinfo")) or "").splitlines():
        before, _, after = line.partition(" - ")
        words, tail = before.split(), after.split()
        if len(words) > 4 and len(tail) > 2 and tail[0] == kind:
            yield Path(_unescaped(words[4])), _unescaped(words[3]), tail[2].split(",")


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), path)


def _own_path(controller: str, root: str) -> str:
    """Return this process's group as seen from a mount whose root is `root`."""
    for line in (_read(Path("/proc/self/cgroup")) or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") if controller else controllers == "":
            inside = root == "/" or path == root or path.startswith(root + "/")
            return (path[len(root) :] if root != "/" else path) if inside else "/"
    return "/"


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    place = mount / path.lstrip("/")
    while True:
        if place.is_dir():
            yield place
        if place == mount or mount not in place.parents:
            return
        place = place.parent


def _new_folder(parent: Path) -> Path:
    """Make a group named after this process, and remove those that dead ones left."""
    for entry in parent.glob("facelab-*"):
        if (found := _NAME.match(entry.name)) and process_start(int(found[1])) != found[2]:
            with contextlib.suppress(OSError):
                entry.rmdir()
    me = os.getpid()
    folder = parent / f"facelab-{me}-{process_start(me)}-{secrets.token_hex(4)}"
    folder.mkdir()
    return folder


def _try_entering(group: Group) -> None:
    """Let a short process enter: whether that is allowed shows only then. Raises NotOfferedError."""
    paths = " ".join(f"'{p}'" for p in group.procs)
    done = subprocess.run(
        ["/bin/sh", "-c", f"for p in {paths}; do echo 0 > $p || exit 1; done"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise NotOfferedError(
            f"no process can be moved into it ({said[-1] if said else 'refused'})"
        )


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return None


def _number(path: Path) -> int | None:
    text = (_read(path) or "").strip()
    return int(text) if text.isdigit() else None


def _field(path: Path, name: str) -> int | None:
    for line in (_read(path) or "").splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == name and words[1].isdigit():
            return int(words[1])
    return None


def _throttling(path: Path, name: str, per_second: float) -> Throttling | None:
    periods, times, waited = (_field(path, n) for n in ("nr_periods", "nr_throttled", name))
    if periods is None or times is None or waited is None:
        return None
    return Throttling(periods, times, waited / per_second)
