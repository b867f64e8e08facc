"""Compile what a benchmark will run, in two processes: half of a minute on a checkout that has compiled nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from facelab.core import lifetime
from facelab.core.isolated import module_command
from facelab.core.machine import cores
from facelab.matching import Matcher, SearchPolicy, pairwise
from facelab.studies.matching._harness import PAIRWISE

METHODS = ("exhaustive", "screened")
_ROWS, _DIMENSION = 64, 8


class CompileAhead:
    """Compiles in a second process from now on, in the opposite order; `finish` compiles what is left here.

    Both keep the code on disk, and who needs what the other one compiles just then waits for it. Nothing is measured
    before `finish` has returned: the second process is gone then.

    Parameters
    ----------
    batches : sequence of int
        Queries per search.
    k : int
        Neighbours per query.

    Examples
    --------
    >>> CompileAhead([1], 10).finish()
    """

    def __init__(self, batches: Sequence[int], k: int):
        self._work = [*((name, 0, 0) for name in PAIRWISE), *searches(batches, k)]
        self._helper = None
        if cores() > 1:
            self._helper = lifetime.Popen(
                module_command(__name__, json.dumps(self._work[::-1])),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def finish(self) -> None:
        """Compile or load everything here, and end the second process."""
        try:
            for piece in self._work:
                compile_one(*piece)
        finally:
            if self._helper is not None:
                self._helper.kill()
                self._helper.wait()
                self._helper = None


def searches(batches: Sequence[int], k: int) -> list[tuple[str, int, int]]:
    """Return what searches of these many queries need: each method, in one call and in many.

    >>> searches([8], 10)
    [('exhaustive', 8, 10), ('screened', 8, 10)]
    """
    return [(method, n, k) for n in sorted(batches) for method in METHODS]


def compile_one(name: str, n: int, k: int) -> None:
    """Compile a pairwise kernel, or a method's search of n queries for k neighbours, or load it from disk."""
    rows = np.random.default_rng(0).standard_normal((_ROWS, _DIMENSION), dtype=np.float32)
    if name in PAIRWISE:
        pairwise(rows, rows, kernel=name)
        return
    for policy in (SearchPolicy(), SearchPolicy(one_call_work=0)):
        Matcher(rows, method=name, threads=1, policy=policy).warm(n, k)


def main(work: str) -> None:
    """Compile a list of pieces."""
    pieces: list[Any] = json.loads(work)
    for piece in pieces:
        compile_one(*piece)


if __name__ == "__main__":
    main(sys.argv[1])
