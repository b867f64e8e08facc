"""Call a function in its own process: clean memory figures, pinned threads, no state left behind."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from facelab.core import lifetime, sandbox
from facelab.core.errors import FacelabError
from facelab.core.files import dumps
from facelab.core.isolated import module_command
from facelab.core.machine import memory_bytes, peak_rss_bytes, rss_bytes

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
_MARK = "\x1efacelab.fresh "


class FreshProcessError(FacelabError):
    """The function failed, or its process died or did not end in time."""


@dataclass(frozen=True)
class Answer:
    """What a fresh process gave: the function's result, its memory in bytes before the call, and the peak after."""

    value: Any
    base_rss: int
    peak_rss: int


@dataclass(frozen=True)
class Confined:
    """What a fresh process may touch: `folder` is its own to write in, `readable` are files and folders of its input.

    `memory` is in bytes, at most half of the machine's, `seconds` of processor time. Everything else of the machine,
    the network included, is closed.
    """

    folder: str | os.PathLike[str]
    readable: tuple[str | os.PathLike[str], ...] = ()
    memory: int | None = 8 << 30
    seconds: int | None = 600

    def limits(self) -> dict[str, Any]:
        """Return the plain JSON that `facelab.core.sandbox` takes."""
        return {
            "writable": [os.path.realpath(self.folder)],
            "readable": [os.path.realpath(p) for p in self.readable],
            "memory": None if self.memory is None else min(self.memory, memory_bytes()[0] // 2),
            "seconds": self.seconds,
        }


def call(
    function: str,
    *arguments: Any,
    threads: int | None = None,
    timeout: float = 300,
    confined: Confined | None = None,
) -> Answer:
    """Call `module:function` with JSON arguments in a new interpreter and return its JSON result.

    `threads` pins BLAS, OpenMP, numba and TensorFlow; `confined` runs it in a sandbox where the kernel has one (see
    `facelab.core.sandbox.why_not`), else plainly: who must not run it then asks first. Raises FreshProcessError with
    the child's last lines where it fails, dies or outlasts `timeout` seconds.

    >>> call("math:sqrt", 9).value
    3.0
    """
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    if threads is not None:
        env |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    command = module_command("facelab.core.fresh", function)
    if confined is not None and sandbox.why_not() is None:
        command = sandbox.command(confined.limits(), "facelab.core.fresh", function)
        env = sandbox.environment(os.path.realpath(confined.folder), env)
    try:
        done = lifetime.run(
            command,
            input=dumps(list(arguments)),
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=timeout,
            env=env,
        )
    except subprocess.TimeoutExpired:
        raise FreshProcessError(
            f"{function} did not end in time",
            expected=f"at most {timeout:g} s",
            fix="try a smaller input",
        ) from None
    line = next((s for s in reversed(done.stdout.split("\n")) if s.startswith(_MARK)), None)
    if done.returncode or line is None:
        raise FreshProcessError(
            f"{function} failed in its own process",
            where=ending(done.returncode),
            got="\n".join(done.stderr.strip().splitlines()[-5:]) or "no message",
            fix="look at the input that the process was given",
        )
    return Answer(**json.loads(line.removeprefix(_MARK)))


def ending(code: int) -> str:
    """Return how a process ended, for a reader.

    >>> ending(3), ending(-11)
    ('exit code 3', 'ended by SIGSEGV')
    """
    if code >= 0:
        return f"exit code {code}"
    known = -code in signal.Signals._value2member_map_
    return f"ended by {signal.Signals(-code).name if known else f'signal {-code}'}"


def main(function: str) -> None:
    """Serve one call: arguments from standard input, the answer on standard output."""
    module, name = function.split(":")
    target = getattr(importlib.import_module(module), name)
    arguments = json.load(sys.stdin)
    base = rss_bytes()
    value = target(*arguments)
    print(
        _MARK + dumps({"value": value, "base_rss": base, "peak_rss": peak_rss_bytes()}), flush=True
    )


if __name__ == "__main__":
    main(sys.argv[1])
