"""A model file that nobody verified is opened first in its own process: a crash ends only that one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import FacelabError
from facelab.core.hashing import refuse_giant
from facelab.core.safety.first_try import DIRECTLY, TOO_MUCH_MEMORY, first_try
from facelab.zoo import trust
from facelab.zoo._catalogue import load_catalogue
from facelab.zoo._integrity import file_hash
from facelab.zoo.runtimes._base import Model, ModelRunError, says_out_of_memory

MOST_INPUT = 1 << 26
"""Bytes of an input that is tried; the shape of a larger one is made up."""


def tried(path: Path, runtime: str) -> None:
    """Open a model and run it once on zeros in a fresh, confined process, unless its content is known.

    Known are published hashes, what facelab made here, and what came through this before. Raises the error that opening
    it gives there, or ModelRunError, naming the file, where the process dies or does not end. An error of the run is
    left to anyone who runs it next.
    """
    if os.environ.get(DIRECTLY):
        return
    refuse_giant(path)
    sha = file_hash(path)
    if sha in _published() or trust.is_vouched(path, sha):
        return
    first_try(
        path,
        "facelab.zoo.runtimes._trial:_child",
        runtime,
        reader=runtime,
        sha=sha,
        error=ModelRunError,
    )


def _published() -> set[str]:
    with contextlib.suppress(FacelabError):
        return {e.sha256 for e in load_catalogue() if e.sha256}
    return set()


def _child(path: str, runtime: str) -> str | dict[str, Any]:
    from facelab.zoo.runtimes._opening import open_here

    opened = False
    try:
        model = open_here(Path(path), runtime, threads=1)
        opened = True
        model.run(*_zeros(model))
    except (FacelabError, MemoryError) as e:
        if says_out_of_memory(e):
            # where nothing bounds memory, the same model would take all of it: this is not an answer
            os._exit(TOO_MUCH_MEMORY)
        return str(e) if opened or not isinstance(e, FacelabError) else e.as_dict()
    return "runs"


def _zeros(model: Model) -> list[np.ndarray]:
    arrays = []
    for info in model.inputs:
        shape = [n or (1 if k == 0 else 64) for k, n in enumerate(info.shape)]
        if np.dtype(info.dtype).itemsize * int(np.prod(shape, dtype=object)) > MOST_INPUT:
            shape = [n or 1 for n in info.shape]
        arrays.append(np.zeros(shape, info.dtype))
    return arrays
