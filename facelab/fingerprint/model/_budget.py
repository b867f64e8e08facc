"""How much a comparison may search: counted in work, not by the clock, so that the verdict is the same on every
machine and under every load."""

from __future__ import annotations

from typing import Any

from facelab.fingerprint.model._planner import plan

TOTAL = 1200.0
"""Work for one comparison, in units of roughly half a millisecond on one core of a server of the 2020s."""
TRAINING_SHARE = 0.5
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


def prediction_work(chain: tuple, source: Any, rows: int | None, columns: int | None) -> float:
    """Return the work of predicting a chain at `rows` × `columns` places of one probe (None: everywhere)."""
    steps, (w, h) = plan(chain, source)
    height, width = source.pixels.shape[:2]
    rows, columns = h if rows is None else rows, w if columns is None else columns
    pixels, lines = 0.0, 4 * rows
    for k, step in enumerate(steps):
        if step[0] == "warp":
            # gathered densely where something behind it mixes pixels, else only at the wanted places
            dense = any(s[0] in ("resize", "blur") for s in steps[k + 1 :])
            pixels += step[2][0] * step[2][1] if dense else rows * columns
            pixels += 0.4 * height * width
        elif step[0] == "resize" and step[3].antialias:
            lines = height
        elif step[0] == "blur":
            pixels += 0.05 * (step[1][0] ** 2 + step[1][1] ** 2)
    return 0.2 + 4e-5 * pixels + 5e-6 * min(height, lines) * width + 5e-6 * rows * columns


def fit_work(samples: int) -> float:
    """Return the work of fitting a linear map on `samples` samples."""
    return 0.12 + 1e-4 * samples
