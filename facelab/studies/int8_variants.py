"""A session's variants, made, measured and timed in one call whose result can be stored and resumed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from facelab.core.progress import track
from facelab.quantization import Session
from facelab.quantization.internals import FLOAT, export
from facelab.quantization.recipes import Recipe
from facelab.studies import int8_quantization


def make_table(
    session: Session,
    recipes: Iterable[Recipe],
    out: Path,
    *,
    runs: int,
    modelmaker: bool = False,
    threads: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Make and measure a variant a recipe, time all against the float model, and put the files into `out`,
    each with its spec beside it, as a bundle takes it.

    With `modelmaker`, Model Maker's own INT8 export is measured too. Returns `files` and `rows` by variant and the
    thread counts that were timed, for `take_up`.
    """
    made = session.make_all(recipes)
    for name, path in track(made.items(), "variants"):
        session.add(name, path)
    if modelmaker:
        int8_quantization.add_modelmaker(session)
    counts = session.time(threads=threads, runs=runs)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    files = {
        v: export.with_spec(session, v, out / p.name)
        for v, p in session.files.items()
        if v != FLOAT
    }
    export.write_labels(session, out)
    return {"files": files, "rows": session.rows, "threads": counts}


def take_up(session: Session, table: dict[str, Any]) -> list[int]:
    """Enter what `make_table` returned into the session, as if it had been measured now; return the thread counts."""
    session.files = {FLOAT: session.base, **table["files"]}
    session.rows = dict(table["rows"])
    return table["threads"]


def blame(session: Session, recipe: Recipe) -> list[dict[str, Any]]:
    """Return `Session.blame` of a recipe: the layers, most harmful first."""
    return session.blame(recipe)
