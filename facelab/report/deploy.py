"""The gate's page, and the picture of several candidates before the same gate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facelab.core.files import write_text
from facelab.core.templates import render
from facelab.deploy import Verdict
from facelab.deploy.internals import ABOUT
from facelab.deploy.policy import CHECKS
from facelab.report import fingerprint as fingerprint_page
from facelab.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_page(verdict: Verdict, path: str | os.PathLike) -> Path:
    """Write the gate's page atomically: one file that needs no network."""
    return write_text(path, page(verdict))


def page(verdict: Verdict) -> str:
    """Return the gate's page as HTML text."""
    comparison = verdict.comparison and fingerprint_page.page(verdict.comparison)
    return render(
        "report/templates/gate.html.j2", verdict=verdict, about=ABOUT, comparison=comparison
    )


def grid(verdicts: dict[str, Verdict]) -> Figure:
    """Return candidates (rows) against checks (columns): passed, refused, skipped."""
    seen = {c.name for v in verdicts.values() for c in v.checks if c.status != "skipped"}
    names = [n for n in CHECKS if n in seen]
    fig, ax = style.figure(2.6 + 1.25 * len(names), 1.3 + 0.5 * len(verdicts))
    marks = {"pass": ("✓", style.GOOD), "fail": ("✗", style.BAD), "skipped": ("–", style.NEUTRAL)}
    for y, v in enumerate(verdicts.values()):
        states = {c.name: c.status for c in v.checks}
        for x, name in enumerate(names):
            mark, colour = marks[states.get(name, "skipped")]
            ax.text(
                x, y, mark, ha="center", va="center", fontsize=16, color=colour, fontweight="bold"
            )
        ax.text(
            len(names),
            y,
            v.word,
            ha="center",
            va="center",
            fontweight="bold",
            color=style.GOOD if v.passed else style.BAD,
        )
    ax.set_xticks(np.arange(len(names) + 1), [n.replace("_", "\n") for n in names] + ["verdict"])
    ax.set_yticks(np.arange(len(verdicts)), list(verdicts))
    ax.set_xlim(-0.6, len(names) + 0.6)
    ax.set_ylim(len(verdicts) - 0.5, -0.5)
    ax.set_yticks(np.arange(len(verdicts) - 1) + 0.5, minor=True)
    ax.grid(False, which="major")
    ax.grid(True, axis="y", which="minor")
    ax.tick_params(which="both", length=0)
    style.label(ax, "Candidates before the gate", "", "")
    return fig
