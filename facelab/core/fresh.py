"""Call a function in a process of its own: clean memory figures, pinned threads, no state left behind."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from facelab.core.errors import FacelabError
from facelab.core.files import dumps
from facelab.core.isolated import module_command
from facelab.core.machine import peak_rss_bytes, rss_bytes

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


def call(
    function: str, *arguments: Any, threads: int | None = None, timeout: float = 300
) -> Answer:
    """Call `module:function` with JSON arguments in a new interpreter and return its JSON result.

    `threads` pins BLAS, OpenMP, numba and TensorFlow. Raises FreshProcessError with the child's last lines where it
    fails, dies or outlasts `timeout` seconds.

    >>> call("math:sqrt", 9).value
    3.0
    """
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    if threads is not None:
        env |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    try:
        done = subprocess.run(
            module_command("facelab.core.fresh", function),
            input=dumps(list(arguments)),
            capture_output=True,
            text=True,
            timeout=timeout,
            env=env,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FreshProcessError(
            f"{function} did not end in time", expected=f"at most {timeout:g} s"
        ) from None
    line = next((s for s in reversed(done.stdout.split("\n")) if s.startswith(_MARK)), None)
    if done.returncode or line is None:
        raise FreshProcessError(
            f"{function} failed in its own process",
            where=f"exit code {done.returncode}",
            got="\n".join(done.stderr.strip().splitlines()[-5:]) or "no message",
        )
    return Answer(**json.loads(line.removeprefix(_MARK)))


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
