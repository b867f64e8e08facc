"""Long calls of notebooks: a runner always computes and keeps them, a person gets the last result that still holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from facelab.core import call_key, progress, results
from facelab.core.records import now

FOLDER = "results"


def folders(reports: Path, step: str) -> list[Path]:
    """Return where earlier results of a step lie: runs, newest first, then what a person computed last."""
    runs = reports / "runs"
    names = sorted((p.name for p in runs.iterdir() if p.is_dir()), reverse=True) if runs.is_dir() else []
    return [*(runs / name / step / FOLDER for name in names), reports / "interactive" / step / FOLDER]


def load(reports: Path, step: str, name: str, parts: dict[str, Any]) -> tuple[results.Kept | None, dict | None, str]:
    """Return (a result of the same key, else what is known of another one, and in words why there is none)."""
    kept, other = results.find(folders(reports, step), name, call_key.key_of(parts))
    if kept:
        return kept, other, ""
    why = f"the last result differs ({call_key.differences(other['parts'], parts)})" if other else "no earlier result"
    return None, other, why


def compute(folder: Path, run: str, name: str, function: Callable, args: tuple, kwargs: Mapping[str, Any], *,
            parts: dict[str, Any], show: bool = False, expected_s: float | None = None) -> Any:
    """Call the function, keep what it returns in `folder`, and return that as it would be loaded.

    Nothing is kept where facelab's files are newer than this process: the key would name code that did not run.
    """
    began = time.perf_counter()
    if show:
        with progress.bar(name, expected_s=expected_s):
            value = function(*args, **kwargs)
    else:
        value = function(*args, **kwargs)
    seconds = time.perf_counter() - began
    if call_key.changed_since_loaded(function.__module__):
        return results.unpack(*results.pack(value))
    return results.keep(folder / FOLDER, name, value, parts=parts, key=call_key.key_of(parts), at=now(), run=run,
                        seconds=seconds)


def told(name: str, kept: results.Kept, step: str) -> str:
    """Return what a person reads when a result was loaded."""
    source = "an earlier session" if kept.run == "interactive" else f"run {kept.run}"
    return (f"{name}: loaded, computed on {kept.at[:10]} at {kept.at[11:16]} UTC in {kept.seconds:.1f} s by {source}. "
            f"To compute it again: facelab.start({step!r}, recompute=True)")
