"""A process that may read the libraries and the named files, write into the named folders, and nothing else.

Linux's Landlock restricts the file system (and, where the kernel can, signals), a seccomp filter takes away sockets and
what reaches into other processes, resource limits bound memory, time and the size of files. Run by path, before any
library is imported: a restriction holds for the thread that asks for it and for those it starts. Standard library only.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import signal
import struct
import sys
from pathlib import Path
from typing import Any

SYSTEM = (
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/sbin",
    "/etc",
    "/proc",
    "/sys",
    "/nix/store",
)
"""What programs read in order to run; homes, data and /tmp are not among it."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
MAX_FILE = 8 << 30
_READ, _LIST, _EXECUTE, _WRITE, _TRUNCATE, _IOCTL = (
    1 << 2,
    1 << 3,
    1 << 0,
    1 << 1,
    1 << 14,
    1 << 15,
)
_FILE_RIGHTS = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL
_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_DENIED = {
    # sockets; into other processes; mounts and namespaces; keys; kernel programs; around the filter (io_uring)
    "x86_64": (
        *(41, 62, 101, 310, 311, 424, 434, 438),
        *(165, 166, 272, 308, 428, 429, 430, 431, 432, 442),
        *(248, 249, 250, 298, 321, 323, 425, 426, 427),
    ),
    "aarch64": (
        *(198, 129, 117, 270, 271, 424, 434, 438),
        *(40, 39, 97, 268, 428, 429, 430, 431, 432, 442),
        *(217, 218, 219, 241, 280, 282, 425, 426, 427),
    ),
}


class SandboxError(Exception):
    """This kernel does not offer what a sandbox needs."""


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    result = _libc().syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise SandboxError(f"system call {number}: {os.strerror(ctypes.get_errno())}")
    return result


def why_not() -> str | None:
    """Return why no sandbox can be had on this machine, or None where it can."""
    if not sys.platform.startswith("linux") or platform.machine() not in _ARCHITECTURES:
        return f"no sandbox is known for {sys.platform} on {platform.machine()}"
    try:
        abi = _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    except SandboxError as e:
        return f"the kernel has no Landlock ({e})"
    return None if abi >= 1 else "the kernel has no Landlock"


def enter(limits: dict[str, Any]) -> None:
    """Restrict this process for good. `limits`: readable, writable (lists of paths), memory (bytes), seconds (CPU).

    Raises SandboxError where the kernel refuses.
    """
    if (why := why_not()) is not None:
        raise SandboxError(why)
    _limit(limits)
    libc = _libc()
    if not limits.get("outlives_thread"):
        # PR_SET_PDEATHSIG: this process ends with the thread that started it
        libc.prctl(1, signal.SIGKILL, 0, 0, 0)
    if libc.prctl(38, 1, 0, 0, 0):  # PR_SET_NO_NEW_PRIVS
        raise SandboxError("the kernel does not let a process give up privileges")
    _landlock(limits)
    _seccomp(libc)


def _limit(limits: dict[str, Any]) -> None:
    def lower(what: int, value: int) -> None:
        hard = resource.getrlimit(what)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (value, value))

    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_FSIZE, MAX_FILE)
    if limits.get("memory"):
        lower(resource.RLIMIT_DATA, int(limits["memory"]))
    if limits.get("seconds"):
        lower(resource.RLIMIT_CPU, int(limits["seconds"]))


def _landlock(limits: dict[str, Any]) -> None:
    abi = _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    rights = _RIGHTS_BY_ABI[max(k for k in _RIGHTS_BY_ABI if k <= abi)]
    # file system; TCP from ABI 4 on; abstract sockets and signals to other processes from ABI 6 on
    attributes = struct.pack("=QQQ", rights, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = _call(
        _CREATE_RULESET, ctypes.c_char_p(attributes), ctypes.c_size_t(size), ctypes.c_uint32(0)
    )
    reading = (_READ | _LIST | _EXECUTE) & rights
    for path in (*SYSTEM, *python_folders(), *limits.get("readable", ())):
        _allow(ruleset, path, reading)
    for path in DEVICES:
        _allow(ruleset, path, (_READ | _WRITE | _IOCTL) & rights)
    for path in limits.get("writable", ()):
        _allow(ruleset, path, rights & ~_EXECUTE)
    _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no leave
    try:
        rights &= -1 if os.path.isdir(path) else _FILE_RIGHTS  # noqa: PTH112
        rule = struct.pack("=Qi", rights, fd)
        _call(
            _ADD_RULE,
            ctypes.c_int(ruleset),
            ctypes.c_int(1),
            ctypes.c_char_p(rule),
            ctypes.c_uint32(0),
        )
    finally:
        os.close(fd)


def python_folders() -> list[str]:
    """Return the folders that this interpreter imports from."""
    package = str(Path(__file__).resolve().parents[1])
    found = [sys.prefix, sys.base_prefix, str(Path(os.__file__).parent), package]
    inside = [p for p in sys.path if p and os.path.isabs(p)]  # noqa: PTH117
    return [p for p in dict.fromkeys([*found, *inside]) if p not in ("/", str(Path.home()))]


def _seccomp(libc: ctypes.CDLL) -> None:
    machine = platform.machine()
    denied = _DENIED[machine]
    load, equal, above, give = 0x20, 0x15, 0x35, 0x06
    refuse, allow = 0x00050000 | 13, 0x7FFF0000
    program = [(load, 0, 0, 4), (equal, 1, 0, _ARCHITECTURES[machine]), (give, 0, 0, refuse)]
    program.append((load, 0, 0, 0))
    if machine == "x86_64":  # the x32 names of the same calls
        program += [(above, 0, 1, 0x40000000), (give, 0, 0, refuse)]
    for number in denied:
        program += [(equal, 0, 1, number), (give, 0, 0, refuse)]
    program.append((give, 0, 0, allow))
    code = b"".join(struct.pack("=HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    head = Program(len(program), ctypes.cast(buffer, ctypes.c_void_p))
    if libc.prctl(22, 2, ctypes.byref(head), 0, 0):
        raise SandboxError(f"no seccomp filter: {os.strerror(ctypes.get_errno())}")


def command(limits: dict[str, Any], module: str, *arguments: object) -> list[str]:
    """Return the command line that runs a module of facelab in a sandbox; `python -P sandbox.py LIMITS …`."""
    here = Path(__file__).resolve()
    return [
        sys.executable,
        "-P",
        str(here),
        json.dumps(limits),
        str(here.parents[2]),
        module,
        *map(str, arguments),
    ]


def environment(folder: str, base: dict[str, Any]) -> dict[str, Any]:
    """Return the environment of a process in a sandbox: whatever libraries keep, they keep in `folder`."""
    own = (
        "HOME",
        "TMPDIR",
        "XDG_CACHE_HOME",
        "KERAS_HOME",
        "NUMBA_CACHE_DIR",
        "MPLCONFIGDIR",
        "IPYTHONDIR",
    )
    return {**base, **dict.fromkeys(own, folder), "PYTHONSAFEPATH": "1"}


def main() -> None:
    """Enter the sandbox and run the module."""
    limits = json.loads(sys.argv[1])
    sys.path.append(sys.argv[2])
    module = sys.argv[3]
    sys.argv[1:4] = []
    if limits.get("writable"):
        os.chdir(limits["writable"][0])
    enter(limits)
    import runpy

    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
