"""A new project: a plan with one step, its notebook, a module beside it, and a Makefile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError
from facelab.core.files import check_writable, write_text
from facelab.reproduce import canonical

STEP = "01_threshold"

_PLAN = f"""# What `facelab reproduce` runs: one [[step]] per notebook, in reading order.
# `needs`, `lane`, `inputs`, `outputs` and the other fields: the page "Writing a notebook" of the documentation.

schema = "facelab.plan/1"

[[step]]
name = "{STEP}"
notebook = "{STEP}.ipynb"
limit_s = 120
records = ["genuine/accepted", "impostor/accepted"]
figures = ["scores"]
[step.quick]
pairs = 500
"""

_MODULE = '''"""This project's own code. A change here runs again the steps whose notebooks import it."""

import numpy as np

from facelab import metrics
from facelab.report import style


def scores(pairs: int, gap: float, seed: int) -> dict:
    """Return cosine scores of `pairs` genuine and `pairs` impostor pairs, whose means are `gap` apart.

    They are drawn, not measured: put your own embedder's scores here.
    """
    rng = np.random.default_rng(seed)
    impostor = np.clip(rng.normal(0.0, 0.12, pairs), -1, 1)
    genuine = np.clip(rng.normal(gap, 0.15, pairs), -1, 1)
    return {"genuine": genuine, "impostor": impostor}


def accepted(values: np.ndarray, threshold: float) -> dict:
    """Return the share of scores at or above a threshold, with its 95 % interval and the number of pairs."""
    count, n = int((values >= threshold).sum()), len(values)
    lo, hi = metrics.intervals.wilson(count, n)
    return {"value": count / n, "lo": lo, "hi": hi, "n": n}


def draw(found: dict, threshold: float):
    """Return the two histograms with the threshold between them."""
    fig, ax = style.figure(7, 3.6)
    bins = np.linspace(-0.6, 1, 65)
    for k, name in enumerate(("impostor", "genuine")):
        ax.hist(found[name], bins, alpha=0.6, color=style.PALETTE[k], label=name)
    ax.axvline(threshold, color="black", ls="--", label=f"threshold {threshold:g}")
    ax.legend()
    style.label(ax, "Scores of pairs", "cosine similarity", "pairs")
    return fig
'''

_MAKEFILE = """FACELAB ?= facelab
PROFILE ?= full
.PHONY: reproduce quick lab

reproduce:  ## run what has changed and write reports/index.html
\t$(FACELAB) reproduce --profile $(PROFILE) $(ARGS)

quick:
\t$(MAKE) reproduce PROFILE=quick

lab:  ## explore the notebooks; the dry run registers their kernel
\t@$(FACELAB) reproduce --dry-run
\tJUPYTER_PATH="$(CURDIR)/.cache/jupyter/data" jupyter lab --notebook-dir=notebooks \\
\t  --ServerApp.contents_manager_class=facelab.session._contents.Notebooks
"""

_IGNORE = ".cache/\nreports/\ndata/\nmodels/\n__pycache__/\n.ipynb_checkpoints/\n"

_CELLS = (
    (
        "question",
        "# Which share of pairs does a threshold accept?\n\nA run takes a few seconds. The scores are drawn from two "
        "normal distributions by `own.py`, beside this notebook. Put the scores of your own embedder there.",
    ),
    (
        "parameters",
        "pairs: int = 5000  # genuine pairs, and as many impostor pairs\n"
        "gap: float = 0.6  # distance between the two means, in cosine similarity\n"
        "threshold: float = 0.35  # pairs at or above it are accepted\n"
        "seed: int = 7  # of the random numbers",
    ),
    ("begin", f'import facelab\nimport own\n\nrun = facelab.start("{STEP}")'),
    (
        "scores-text",
        "## The scores\n\nThe result of a long call is kept: a person who opens this notebook gets the last run's.",
    ),
    ("scores", 'found = run.long("scores", own.scores, pairs, gap, seed)'),
    (
        "scores-figure",
        'run.figure(own.draw(found, threshold), "scores", alt="two histograms and the threshold")',
    ),
    (
        "checks-text",
        "## The shares\n\nThe dashed line cuts both: to its right, genuine pairs are accepted and impostors let in.",
    ),
    (
        "checks",
        'genuine = own.accepted(found["genuine"], threshold)\n'
        'impostor = own.accepted(found["impostor"], threshold)\n'
        'run.check("genuine", "accepted", budget=">= 0.9", better="higher", **genuine)\n'
        'run.check("impostor", "accepted", budget="<= 0.01", better="lower", **impostor)',
    ),
    ("verdict", "run.done()"),
)


def files() -> dict[str, str]:
    """Return {path: text} of a new project.

    >>> sorted(files())[:3]
    ['.gitignore', 'Makefile', 'notebooks/01_threshold.ipynb']
    """
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {},
        "cells": list(map(_cell, _CELLS)),
    }
    return {
        ".gitignore": _IGNORE,
        "Makefile": _MAKEFILE,
        "notebooks/plan.toml": _PLAN,
        f"notebooks/{STEP}.ipynb": canonical.canonical(notebook),
        "notebooks/own.py": _MODULE,
    }


def create_project(folder: str | os.PathLike[str]) -> list[Path]:
    """Write a new project into a folder and return its files.

    Raises BadInputError where one of the files is already there: nothing is written then.

    Parameters
    ----------
    folder : str or path
        The folder to create.

    Returns
    -------
    list of path
        The files that were written.

    Raises
    ------
    BadInputError
        The folder cannot be written, or already holds one of the files.
    """
    folder = Path(folder)
    check_writable(folder, folder=True)
    there = [name for name in files() if (folder / name).exists() or (folder / name).is_symlink()]
    if there:
        raise BadInputError(
            "the folder already holds a file of a new project",
            where=folder,
            expected="none of " + ", ".join(files()),
            got=", ".join(there),
            fix="choose another folder, or move the file away",
        )
    return [write_text(folder / name, text) for name, text in files().items()]


def _cell(cell: tuple[str, str]) -> dict[str, Any]:
    name, source = cell
    prose = name == "question" or name.endswith("-text")
    tags = {"tags": ["parameters"]} if name == "parameters" else {}
    made: dict[str, Any] = {
        "cell_type": "markdown" if prose else "code",
        "id": name,
        "metadata": tags,
        "source": source,
    }
    return made if prose else {**made, "outputs": [], "execution_count": None}
