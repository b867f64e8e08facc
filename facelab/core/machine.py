"""What this machine is: processor, features, cores, memory, load, versions. Standard library only."""

from __future__ import annotations

import functools
import os
import platform
import re
from pathlib import Path
from typing import Any


@functools.cache
def cpu_model() -> str:
    """Return the processor's name as the operating system gives it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
        if match := re.search(r"^model name\s*:\s*(.+)$", text, re.M):
            return match[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@functools.cache
def cpu_features() -> frozenset[str]:
    """Return the SIMD features the processor reports, in the kernel's spelling (avx2, fma, avx512f, asimd, ...).

    Empty where the operating system offers no list (outside Linux).
    """
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return frozenset()
    match = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.M)
    return frozenset(match[1].split()) if match else frozenset()


def cores() -> int:
    """Return the number of logical cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> tuple[int, int]:
    """Return (total, available) memory in bytes; the cgroup's limit counts where it is lower."""
    total = available = 0
    try:
        info = dict(re.findall(r"^(\w+):\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.M))
        total, available = int(info["MemTotal"]) * 1024, int(info["MemAvailable"]) * 1024
    except (OSError, KeyError):
        total = available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        if limit != "max":
            total, available = min(total, int(limit)), min(available, max(0, int(limit) - used))
    except (OSError, ValueError):
        pass
    return total, available


def load() -> float:
    """Return the one-minute load average, or -1.0 where there is none."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return -1.0


def version_of(distribution: str) -> str | None:
    """Return an installed distribution's version without importing it, or None.

    >>> version_of("numpy") is not None, version_of("no-such-thing-here")
    (True, None)
    """
    # here: few commands ask for versions, and it loads the reader of e-mails
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def rss_bytes() -> int:
    """Return this process's resident memory in bytes (Linux), or 0 where it cannot be read."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def peak_rss_bytes() -> int:
    """Return the largest resident memory this process has had, in bytes (0 where it cannot be read)."""
    try:
        if match := re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M):
            return int(match[1]) * 1024
    except OSError:
        pass
    return 0


def facts(*, threads: int | None = None, versions: tuple[str, ...] = ("numpy",)) -> dict[str, Any]:
    """Return what a timing record must carry: processor, features, cores, load, threads and versions."""
    wanted = (
        "avx2",
        "fma",
        "f16c",
        "avx512f",
        "avx512bw",
        "avx512_vnni",
        "avx_vnni",
        "asimd",
        "asimddp",
        "sve",
    )
    return {
        "cpu": cpu_model(),
        "arch": platform.machine(),
        "features": [f for f in wanted if f in cpu_features()],
        "cores": cores(),
        "threads": threads,
        "memory": memory_bytes()[0],
        "load": round(load(), 2),
        "os": platform.system() + " " + platform.release(),
        "python": platform.python_version(),
        "versions": {v: version_of(v) for v in versions},
    }


def same_machine(a: dict[str, Any] | None, b: dict[str, Any] | None) -> bool:
    """Return whether two `facts` name the same kind of machine, so that timings may be compared."""
    if not a or not b:
        return False
    return all(a.get(k) == b.get(k) for k in ("cpu", "arch", "cores", "features"))
