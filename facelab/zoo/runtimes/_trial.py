"""A model file that nobody verified is opened first in its own process: a crash ends only that one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import numpy as np

from facelab.core import fresh
from facelab.core.errors import FacelabError
from facelab.core.project import project_root
from facelab.zoo import trust
from facelab.zoo._catalogue import load_catalogue
from facelab.zoo._integrity import file_hash
from facelab.zoo.runtimes._base import Model, ModelRunError

SECONDS = 60.0
"""What opening a model and computing with it once may take."""
MOST_INPUT = 1 << 26
"""Bytes of an input that is tried; the shape of a larger one is made up."""
DIRECTLY = "FACELAB_OPEN_DIRECTLY"
"""Set by who has put this process where a crash does no harm."""


def tried(path: Path, runtime: str) -> None:
    """Open a model and run it once on zeros in a fresh, confined process, unless its content is known.

    Known are published hashes, what facelab made here, and what came through this before. An error that the model gives
    is left to anyone who opens it next. Raises ModelRunError, naming the file, where the process dies or does not end.
    """
    if os.environ.get(DIRECTLY):
        return
    sha = file_hash(path)
    mark = project_root() / ".cache" / "opened" / sha
    if mark.exists() or sha in _published() or trust.is_vouched(path, sha):
        return
    with tempfile.TemporaryDirectory(prefix="facelab-trial-") as folder:
        confined = fresh.Confined(folder, (path.parent, path))
        try:
            fresh.call(
                "facelab.zoo.runtimes._trial:_child",
                str(path.resolve()),
                runtime,
                timeout=SECONDS,
                confined=confined,
            )
        except fresh.FreshProcessError as e:
            if e.where is not None and e.where.startswith("exit code"):
                return  # an error of Python's; opening it here says it better
            raise ModelRunError(
                f"the model ends the process that opens it with {runtime}",
                where=path,
                expected="a model, or an error",
                got=e.where or f"no end within {SECONDS:g} s",
                fix="the file is damaged, or made to crash its reader: do not use it",
            ) from None
    with contextlib.suppress(OSError):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def _published() -> set[str]:
    with contextlib.suppress(FacelabError):
        return {e.sha256 for e in load_catalogue() if e.sha256}
    return set()


def _child(path: str, runtime: str) -> str:
    from facelab.zoo.runtimes._opening import open_here

    try:
        model = open_here(Path(path), runtime, threads=1)
        model.run(*_zeros(model))
    except FacelabError as e:
        return e.what
    return "runs"


def _zeros(model: Model) -> list[np.ndarray]:
    arrays = []
    for info in model.inputs:
        shape = [n or (1 if k == 0 else 64) for k, n in enumerate(info.shape)]
        if np.dtype(info.dtype).itemsize * int(np.prod(shape, dtype=object)) > MOST_INPUT:
            shape = [n or 1 for n in info.shape]
        arrays.append(np.zeros(shape, info.dtype))
    return arrays
