"""Faults on purpose: a worker that is killed, crashes, runs out of memory or hangs on the inputs that say so."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.result import Result
from facelab.serving.workers._ledger import WorkerReport
from facelab.serving.workers._process import Recipe
from facelab.serving.workers._restarts import Restarts
from facelab.serving.workers._supervisor import InputLostError, SupervisedWorker

KINDS = ("kill", "crash", "memory", "hang")
CAUSES = {"kill": "killed", "crash": "crashed", "memory": "out of memory", "hang": "hung"}
MEMORY = 64 << 20


class Faulty:
    """Sums an input's bytes, and fails as its options say: always, or only in a worker that is new to the input."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, task: str, data: bytes, options: dict[str, Any]) -> int:
        """Return the sum, or do not return."""
        kind = options.get("fault")
        if kind and (options.get("always") or self._first(options["number"])):
            _fail(kind)
        return int(np.frombuffer(data, np.uint8).sum())

    def _first(self, number: int) -> bool:
        try:
            os.close(os.open(f"{self.folder}/{int(number)}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True


def _fail(kind: str) -> None:
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "crash":
        ctypes.string_at(8)
    elif kind == "memory":
        held = []
        # reserved, not touched: a busy machine would count the time for pages as a hang
        while True:
            held.append(np.empty(1 << 19))
    while True:
        time.sleep(60)


@dataclass(frozen=True)
class Proof(Result):
    """What injected faults did: the report, how many were injected by kind, and answers that were wrong."""

    report: WorkerReport
    injected: dict[str, int]
    poison: dict[str, int]
    wrong: int
    spare: bool

    @property
    def held(self) -> bool:
        """Whether every input has an outcome, each answer is right, and each fault is counted under its own cause."""
        r, seen = self.report, self.seen()
        # poison ends a second worker
        right = all(seen[k] == n + self.poison[k] for k, n in self.injected.items())
        return right and not r.silent and not self.wrong and r.lost == sum(self.poison.values())

    def seen(self) -> dict[str, int]:
        """Return the faults that the supervisor counted, by injected kind."""
        return {
            kind: sum(n for said, n in self.report.causes.items() if said.startswith(cause))
            for kind, cause in CAUSES.items()
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return the report's rows: one per cause."""
        return self.report.rows()


def prove(
    folder: str,
    *,
    faults: int = 100,
    frames: int = 400,
    deadline_s: float = 1.0,
    rest_s: float = 0.0,
    spare: bool = True,
    poison: float = 0.1,
    seed: int = 7,
) -> Proof:
    """Send frames to a supervised worker and inject faults of four kinds in turn, at random places.

    Parameters
    ----------
    folder : str
        An empty folder: what has failed once is noted there.
    faults, frames : int
        Faults, and frames in all.
    deadline_s : float
        When a worker counts as hung.
    rest_s : float
        Pause after each faulty frame, as frames of a camera have; a spare is made meanwhile.
    spare : bool
        Whether a second worker waits.
    poison : float
        Share of the faulty frames that fail in every worker.
    seed : int

    Returns
    -------
    Proof
        What happened in each trial.

    Raises
    ------
    BadInputError
        There are fewer frames than faults.
    """
    if not 0 < faults <= frames or not 0 <= poison <= 1:
        raise BadInputError(
            "this many faults cannot be injected",
            expected="at least one fault, and as many frames; poison from 0 to 1",
            got=f"{faults} faults in {frames} frames, poison {poison}",
            fix="ask for more frames",
        )
    rng = np.random.default_rng(seed)
    where = rng.permutation(frames)[:faults]
    kinds = {int(k): KINDS[i % len(KINDS)] for i, k in enumerate(where)}
    always = {int(k) for k in where[: round(poison * faults)]}
    recipe = Recipe("facelab.serving.workers._proof:Faulty", {"folder": folder}, memory=MEMORY)
    rule = Restarts(budget=4 * faults, window_s=600, first_s=0.01, most_s=0.05)
    wrong = 0
    with SupervisedWorker(recipe, deadline_s=deadline_s, spare=spare, restarts=rule) as worker:
        for k in range(frames):
            data = rng.integers(0, 256, 20_000, dtype=np.uint8)
            options = {"fault": kinds.get(k), "always": k in always, "number": k}
            try:
                got = worker.call("sum", data.tobytes(), **options)
            except InputLostError:
                wrong += k not in always
            else:
                wrong += got != int(data.sum()) or k in always
            if k in kinds and rest_s:
                time.sleep(rest_s)
        report = worker.report()
    injected = {kind: sum(v == kind for v in kinds.values()) for kind in KINDS}
    held = {kind: sum(kinds[k] == kind for k in always) for kind in KINDS}
    return Proof(report, injected, held, wrong, spare)
