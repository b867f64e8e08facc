"""A process that has imported what commands import, and runs each `facelab …` line in a fork of itself.

A fork starts where the imports have ended, so a line costs what it does and not what it imports. It is a process of
its own: it ends with its own exit code, and nothing of one line reaches the next. See `warm_commands` for the other
side of the pipe.
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from typing import NoReturn

WARM = (
    "facelab",
    "click",
    "numpy",
    "pydantic",
    "PIL.Image",
    "cv2",
    "scipy.stats",
    "scipy.optimize",
    "scipy.spatial",
    "skimage.transform",
    "onnxruntime",
    "onnx",
    "numba",
    "pandas",
    "matplotlib.pyplot",
    "nbformat",
    "papermill",
    "jsonschema",
    "joblib",
    "facelab.commands.common",
    "facelab.preprocess",
    "facelab.fingerprint",
    "facelab.metrics",
    "facelab.matching",
    "facelab.zoo",
    "facelab.zoo.runtimes",
    "facelab.detection",
    "facelab.embedding",
    "facelab.emotion",
    "facelab.liveness",
    "facelab.quantization",
    "facelab.datasets.synthetic",
    "facelab.index",
    "facelab.serving",
    "facelab.feedback",
    "facelab.deploy",
    "facelab.report",
    "facelab.tracing",
    "facelab.budget",
    "facelab.camera",
    "facelab.reproduce",
    "facelab.doctor",
)
"""What is imported once, facelab first: it keeps ONNX Runtime from starting a thread.

TensorFlow is not in it: commands that need it start another process.
"""


def end_with_the_parent() -> None:
    """Ask the kernel to end this process when the one that started it ends."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def warm() -> None:
    """Import what commands import, lazy front doors included."""
    sys.modules.setdefault("rfc3987_syntax", None)  # as in conftest
    for name in WARM:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if name.startswith("facelab."):
            for public in getattr(module, "__all__", ()):
                try:
                    getattr(module, public)
                except Exception:  # the command that needs it will say so
                    continue


def become(line: dict) -> None:
    """Turn a fork into the process of one command: its folder, environment, streams and session."""
    end_with_the_parent()
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(line["cwd"])
    os.environ.clear()
    os.environ.update(line["env"])
    for fd, (path, flags) in enumerate(
        (
            (os.devnull, os.O_RDONLY),
            (line["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
            (line["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        )
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, fd)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 # as Python itself does at its start
    sys.path.insert(0, line["cwd"])  # as `python -m` does
    sys.argv[1:] = line["words"]
    import numpy as np

    np.random.seed(None)  # noqa: NPY002 # a new process has its own state


def run() -> int:
    """Run `python -m facelab.cli` to its end and return the exit code."""
    try:
        runpy.run_module("facelab.cli", run_name="__main__", alter_sys=True)
    except SystemExit as e:
        if isinstance(e.code, str):
            print(e.code, file=sys.stderr)
        return e.code if isinstance(e.code, int) else bool(e.code)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def end_with(code: int) -> NoReturn:
    """End as Python does, but leave out taking down a thousand modules, which takes longer than most lines."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def lines(asked: int) -> Iterator[str]:
    """Yield the lines of a pipe; the questions come one by one."""
    held = b""
    while part := os.read(asked, 1 << 20):
        held += part
        if held.endswith(b"\n"):
            yield held.decode()
            held = b""


def main() -> None:
    """Answer one line of JSON after another: the process id of the fork, then its exit code."""
    end_with_the_parent()
    asked, answers = map(int, sys.argv[1:])
    del sys.argv[1:]
    warm()
    gc.freeze()  # pages of what is there stay shared
    os.write(answers, b"warm\n")
    for text in lines(asked):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a library left a thread
            child = os.fork()
        if child == 0:
            os.close(asked)
            os.close(answers)
            become(json.loads(text))
            end_with(run())
        os.write(answers, f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
