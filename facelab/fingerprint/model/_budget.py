"""How much a comparison may search: counted in work, not by the clock, so that the verdict is the same on every
machine and under every load."""

from __future__ import annotations

from facelab.fingerprint.model._operations import Chain
from facelab.fingerprint.model._plan_steps import Gather, Resample, Smear
from facelab.fingerprint.model._planner import plan
from facelab.fingerprint.probes._cache import Source

TOTAL = 1300.0
"""Work for one comparison, in units of roughly half a millisecond on one core of a server of the 2020s."""
TRAINING_SHARE = 0.47
"""How much of it may go into recognising a training side without a spec."""


class Budget:
    """Counts work; `left` turns False once the present limit is reached."""

    def __init__(self, total: float = TOTAL):
        self.total = total
        self.limit = total
        self.spent = 0.0

    def spend(self, work: float) -> None:
        """Count `work`."""
        self.spent += work

    @property
    def left(self) -> bool:
        return self.spent < self.limit


def prediction_work(chain: Chain, source: Source, rows: int | None, columns: int | None) -> float:
    """Return the work of predicting a chain at `rows` × `columns` places of one probe (None: everywhere)."""
    steps, (w, h) = plan(chain, source)
    height, width = source.pixels.shape[:2]
    rows, columns = h if rows is None else rows, w if columns is None else columns
    pixels, lines = 0.0, 4 * rows
    for k, step in enumerate(steps):
        match step:
            case Gather():
                # gathered densely where something behind it mixes pixels, else only at the wanted places
                dense = any(isinstance(s, (Resample, Smear)) for s in steps[k + 1 :])
                pixels += step.size[0] * step.size[1] if dense else rows * columns
                pixels += 0.4 * height * width
            case Resample() if step.how.antialias:
                lines = height
            case Smear():
                pixels += 0.05 * (step.size[0] ** 2 + step.size[1] ** 2)
            case _:
                pass
    return 0.2 + 4e-5 * pixels + 5e-6 * min(height, lines) * width + 5e-6 * rows * columns


def fit_work(samples: int) -> float:
    """Return the work of fitting a linear map on `samples` samples."""
    return 0.12 + 1e-4 * samples
