"""A process that may read the libraries and the named files, write into the named folders, and nothing else.

Linux's Landlock restricts the file system (and, where the kernel can, signals). A seccomp filter takes away sockets,
what reaches into other processes, and what Landlock does not guard. Resource limits bound memory, time and the size of
files. Run by path, before any library is imported: a restriction holds for the thread that asks for it and for those
it starts. Standard library only.
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
DEVICES = ("/dev/null", "/dev/urandom", "/dev/random")
MAX_FILE = 8 << 30
_READ, _LIST, _EXECUTE, _WRITE, _TRUNCATE, _IOCTL = (
    1 << 2,
    1 << 3,
    1 << 0,
    1 << 1,
    1 << 14,
    1 << 15,
)
_SPECIAL = 1 << 6 | 1 << 9 | 1 << 11 | _IOCTL
"""To make devices and sockets: root would reach a whole disk through a device that it makes."""
_FILE_RIGHTS = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL
_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_REFUSED = """
socket 41 198                 kill 62 129                   tkill 200 130                 ptrace 101 117
rt_sigqueueinfo 129 138       rt_tgsigqueueinfo 297 240     process_vm_readv 310 270      process_vm_writev 311 271
pidfd_send_signal 424 424     pidfd_open 434 434            pidfd_getfd 438 438           perf_event_open 298 241
mount 165 40                  umount2 166 39                pivot_root 155 41             chroot 161 51
unshare 272 97                setns 308 268                 open_tree 428 428             move_mount 429 429
fsopen 430 430                fsconfig 431 431              fsmount 432 432               fspick 433 433
mount_setattr 442 442         open_by_handle_at 304 265     fanotify_init 300 262         quotactl 179 60
add_key 248 217               request_key 249 218           keyctl 250 219                bpf 321 280
io_uring_setup 425 425        io_uring_enter 426 426        io_uring_register 427 427     userfaultfd 323 282
shmget 29 194                 shmat 30 196                  shmctl 31 195                 memfd_create 319 279
semget 64 190                 semctl 66 191                 semop 65 193                  semtimedop 220 192
msgget 68 186                 msgsnd 69 189                 msgrcv 70 188                 msgctl 71 187
mq_open 240 180               mq_unlink 241 181             memfd_secret 447 447          syslog 103 116
chown 92 -                    lchown 94 -                   fchown 93 55                  fchownat 260 54
setxattr 188 5                lsetxattr 189 6               fsetxattr 190 7               setxattrat 463 463
removexattr 197 14            lremovexattr 198 15           fremovexattr 199 16           removexattrat 466 466
acct 163 89                   swapon 167 224                swapoff 168 225               reboot 169 142
sethostname 170 161           setdomainname 171 162         settimeofday 164 170          clock_settime 227 112
adjtimex 159 171              clock_adjtime 305 266         init_module 175 105           delete_module 176 106
finit_module 313 273          kexec_load 246 104            kexec_file_load 320 294
"""
"""Sockets; other processes; mounts and namespaces; keys and kernel programs; what goes around this filter (io_uring);
memory that outlives the process or that no limit counts; owners and attributes, which Landlock does not guard; the
system's own settings. Each with its number on x86_64 and aarch64."""
_WITHOUT_EFFECT = """
chmod 90 -     fchmod 91 52     fchmodat 268 53     fchmodat2 452 452     utime 132 -     utimes 235 -
futimesat 261 -     utimensat 280 88     setpriority 141 140     ioprio_set 251 30
"""
"""What libraries ask for in passing, about any file or process: they hear that it was done."""
_ITSELF = (
    "sched_setaffinity 203 122     sched_setscheduler 144 119     sched_setparam 142 118     "
    "sched_setattr 314 274     prlimit64 302 261"
)
"""What a process may do to itself (0) and to nobody else."""
_TGKILL, _MMAP, _CLONE, _CLONE3 = "tgkill 234 131", "mmap 9 222", "clone 56 220", "clone3 435 435"
_SHARED_ANONYMOUS = 0x21
_NAMESPACES = 0x7E020000


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
        # PR_SET_PDEATHSIG, as `guard.ask_for_signal`: this file runs alone, before anything of facelab can be found
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
        _allow(ruleset, path, rights & ~_EXECUTE & ~_SPECIAL)
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


def _numbers(table: str) -> list[int]:
    """Return a table's numbers on this machine; `-` is a call that it does not have."""
    words = table.split()
    column = 1 if platform.machine() == "x86_64" else 2
    return [int(word) for word in words[column::3] if word != "-"]


def _program() -> list[tuple[int, int, int, int]]:
    """Return the filter: (operation, jump where true, jump where false, value) for each instruction."""
    machine = platform.machine()
    load, both, equal, above, any_of, give = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
    refuse, done, unknown, allow = 0x00050000 | 13, 0x00050000, 0x00050000 | 38, 0x7FFF0000
    first, fourth = (load, 0, 0, 16), (load, 0, 0, 40)
    program = [(load, 0, 0, 4), (equal, 1, 0, _ARCHITECTURES[machine]), (give, 0, 0, refuse)]
    program.append((load, 0, 0, 0))
    if machine == "x86_64":  # the x32 names of the same calls
        program += [(above, 0, 1, 0x40000000), (give, 0, 0, refuse)]

    def on(table: str, *then: tuple[int, int, int, int]) -> None:
        for number in _numbers(table):
            program.extend([(equal, 0, len(then), number), *then])

    on(_REFUSED, (give, 0, 0, refuse))
    on(_WITHOUT_EFFECT, (give, 0, 0, done))
    on(
        _CLONE3, (give, 0, 0, unknown)
    )  # its flags are out of a filter's reach: libraries then call clone
    on(_ITSELF, first, (equal, 0, 1, 0), (give, 0, 0, allow), (give, 0, 0, refuse))
    on(_TGKILL, first, (equal, 0, 1, os.getpid()), (give, 0, 0, allow), (give, 0, 0, refuse))
    on(_CLONE, first, (any_of, 0, 1, _NAMESPACES), (give, 0, 0, refuse), (give, 0, 0, allow))
    shared = (both, 0, 0, _SHARED_ANONYMOUS), (equal, 0, 1, _SHARED_ANONYMOUS)
    on(_MMAP, fourth, *shared, (give, 0, 0, refuse), (give, 0, 0, allow))
    return [*program, (give, 0, 0, allow)]


def _seccomp(libc: ctypes.CDLL) -> None:
    program = _program()
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

    from facelab.core.process import garbage

    garbage.collect_rarely()
    garbage.end_at_once()

    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
