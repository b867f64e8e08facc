"""Notebook 20, last part: workers that die on purpose, and what each row of the matrix was measured to cost."""

from __future__ import annotations

import tempfile
from typing import Any

from facelab.serving.degradation import load_losses, load_matrix
from facelab.serving.internals import Proof, prove


def recovery(faults: int = 24, *, seed: int = 7) -> Proof:
    """Inject faults of four kinds into a supervised worker, one in every second frame.

    Parameters
    ----------
    faults : int
        Kills, crashes, hangs and workers out of memory, in turn.
    seed : int
        Of the frames and of the places of the faults.

    Returns
    -------
    Proof
        What became of every frame, with the raw times of recovery.
    """
    with tempfile.TemporaryDirectory(prefix="facelab-faults-") as folder:
        return prove(folder, faults=faults, frames=2 * faults, deadline_s=2.0, seed=seed)


def matrix_rows() -> list[dict[str, Any]]:
    """Return one row per fallback: what answers instead, and what that costs by the package's own measurement.

    Returns
    -------
    list of dict
        In the matrix's order. Values are None where nothing was measured.
    """
    losses = load_losses()
    known = {row["name"]: row for row in losses.rows()}
    return [_row(row, known.get(row["name"])) for row in load_matrix().rows()]


def _row(row: dict[str, Any], loss: dict[str, Any] | None) -> dict[str, Any]:
    names = {"metric": "what", "usual": "usually", "fallen": "meanwhile", "n": "n"}
    figures = {new: loss[old] if loss else None for old, new in names.items()}
    more = loss["ms_more"] if loss else None
    said = bool(loss and loss["record"] and loss["answer"] and loss["back"])
    texts = {"fallback": row["name"], "instead": row["response"]}
    return {**texts, **figures, "ms more": more, "said, and ended": said}
