"""What takes seconds to make and several test files use: made once, also where several workers run the files."""

import fcntl
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], T]) -> T:
    """Return what `make(folder)` returns; the first worker of this run that asks makes it, and the others wait.

    Each worker has its own copy of the value, and all have the same folder: who changes files in it copies it first.
    """
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # each worker's folder is in the folder of the run
    folder, kept = root / f"once-{name}", root / f"once-{name}.pickle"
    with (root / f"once-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.is_file():
            folder.mkdir(exist_ok=True)
            value = make(folder)
            kept.write_bytes(pickle.dumps(value))
        return pickle.loads(kept.read_bytes())  # written above
