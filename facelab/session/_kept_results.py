"""Long calls of notebooks: a runner always computes and keeps them, a person gets the last result that still holds."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facelab.core import progress, run_names
from facelab.core.records import now
from facelab.session import _call_key as call_key
from facelab.session import _stored_results as stored_results

FOLDER = "results"


@dataclass(frozen=True)
class Output:
    """A folder of the step that a long call fills; the call gets its path, and loading brings its files along."""

    name: str


def folders(reports: Path, step: str) -> list[Path]:
    """Return where earlier results of a step are stored: runs, newest first, then what a person computed last."""
    runs = reports / "runs"
    return [
        *(runs / name / step / FOLDER for name in run_names.newest_first(runs)),
        reports / "interactive" / step / FOLDER,
    ]


def load(
    reports: Path, step: str, name: str, parts: dict[str, Any], folder: Path, outputs: list[Output]
) -> tuple[stored_results.Kept | None, dict | None, str]:
    """Return (a result of the same key, else what is known of another one, and in words why there is none).

    The files of the call's `outputs` are copied into the step's `folder`; a result that lost them is none.
    """
    kept, other = stored_results.find(folders(reports, step), name, call_key.key_of(parts), folder)
    if kept and not all((kept.found / o.name).is_dir() for o in outputs):
        return None, other, "the earlier result's files are gone"
    if kept:
        for o in outputs:
            bring(kept.found / o.name, folder / o.name)
        return kept, other, ""
    why = (
        f"the last result differs ({call_key.differences(other['parts'], parts)})"
        if other
        else "no earlier result"
    )
    return None, other, why


def bring(source: Path, target: Path) -> None:
    """Copy a folder over another one, unless they are the same."""
    if source.resolve() == target.resolve():
        return
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def outputs_of(args: tuple, kwargs: Mapping[str, Any]) -> list[Output]:
    """Return the folders that a call fills."""
    return [v for v in (*args, *kwargs.values()) if isinstance(v, Output)]


def compute(
    folder: Path,
    run: str,
    name: str,
    function: Callable,
    args: tuple,
    kwargs: Mapping[str, Any],
    *,
    parts: dict[str, Any],
    show: bool = False,
    expected_s: float | None = None,
) -> Any:
    """Call the function, keep what it returns in `folder`, and return that as it would be loaded.

    Nothing is kept where facelab's files are newer than this process: the key would name code that did not run.
    """

    def real(value: Any) -> Any:
        return folder / value.name if isinstance(value, Output) else value

    args, kwargs = tuple(map(real, args)), {k: real(v) for k, v in kwargs.items()}
    began = time.perf_counter()
    if show:
        with progress.bar(name, expected_s=expected_s):
            value = function(*args, **kwargs)
    else:
        value = function(*args, **kwargs)
    seconds = time.perf_counter() - began
    if call_key.changed_since_loaded(function.__module__):
        return stored_results.unpack(*stored_results.pack(value))
    return stored_results.keep(
        folder / FOLDER,
        name,
        value,
        parts=parts,
        key=call_key.key_of(parts),
        at=now(),
        run=run,
        seconds=seconds,
    )


def told(name: str, kept: stored_results.Kept, step: str) -> str:
    """Return what a person reads when a result was loaded."""
    source = "an earlier session" if kept.run == "interactive" else f"run {kept.run}"
    return (
        f"{name}: loaded, computed on {kept.at[:10]} at {kept.at[11:16]} UTC in {kept.seconds:.1f} s by {source}. "
        f"To compute it again: facelab.start({step!r}, recompute=True)"
    )
