"""Turn the ways in which an execution can end into a `Failure` that names the cell, the line and the likely cause."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError
from facelab.core.files import open_input
from facelab.reproduce._failure import (
    Failure,
    cause_of_death,
    cause_of_exception,
    end_of,
    heading_of,
    line_in_cell,
    plain,
    source_around,
)

LOG_END = 1 << 16
"""Bytes at the end of a log that are read."""


@dataclass
class Scene:
    """What is known when an execution ends: the cells, the index of the one that ran, the job and its folder.

    `reply` is what the kernel answered to the failing cell (an exception with ename and evalue), if it did.
    """

    job: dict
    folder: Path
    cells: list = field(default_factory=list)
    index: int | None = None
    reply: Any = None

    @property
    def cell(self) -> Any:
        """Return the cell that ran last, or None if none did."""
        return (
            self.cells[self.index]
            if self.index is not None and self.index < len(self.cells)
            else None
        )

    def fail(
        self,
        kind: str,
        what: str,
        *,
        cause: str,
        traceback: list[str] | None = None,
        line: int | None = None,
    ) -> Failure:
        """Return a failure at the cell that ran last."""
        failure = Failure(kind, what, traceback=end_of(traceback or []), line=line, cause=cause)
        if self.index is not None and self.cell is not None:
            failure.heading = heading_of(self.cells, self.index)
            failure.cell = str(self.cell.get("id", self.index + 1))
            failure.source = source_around(self.cell.source, line)
        return failure


def interrupted(scene: Scene) -> Failure:
    """Return the failure of a step that the runner ended."""
    return scene.fail("interrupted", "the step was interrupted", cause="Ctrl-C, or a signal to end")


def no_kernel(scene: Scene, e: Exception) -> Failure:
    """Return the failure of a kernel that is not there or does not answer."""
    return scene.fail(
        "no-kernel",
        f"the kernel {scene.job['kernel']!r} did not start: {e}",
        cause="it is not registered, its environment is broken, or the machine is overloaded; run "
        "`make setup`, then `facelab doctor`, and see the step's log.txt",
        traceback=_log(scene),
    )


def too_large(scene: Scene) -> Failure:
    """Return the failure of a notebook that printed or showed too much."""
    return scene.fail(
        "output-too-large",
        f"the notebook's output grew beyond {scene.job['output_mb']:g} MB and the "
        "kernel was stopped",
        cause="a cell prints in a loop or shows an array whole; print less, or "
        "raise `output_mb` in notebooks/plan.toml",
    )


def timed_out(scene: Scene) -> Failure:
    """Return the failure of a step that ran into its wall limit; the interrupted kernel may have said where."""
    errors = [o for o in (scene.cell or {}).get("outputs", []) if o["output_type"] == "error"]
    traceback = list(errors[0]["traceback"]) if errors else []
    return scene.fail(
        "timeout",
        f"the step ran into its wall limit of {scene.job['limit_s']:g} s",
        traceback=traceback,
        line=_line(scene, traceback),
        cause="this cell is slow or waits for something that does not "
        "come; a slower machine needs a larger `limit_s` in notebooks/plan.toml, or --profile quick",
    )


def raised(scene: Scene, e: Any) -> Failure:
    """Return the failure of a cell that raised; `e` is papermill's PapermillExecutionError."""
    name, value, traceback = e.ename, e.evalue, list(e.traceback)
    if name == "CellExecutionError" and hasattr(scene.reply, "ename"):
        # no error output: a pretty-printer such as rich.traceback showed it as text; the kernel's reply still names it
        name, value = scene.reply.ename, scene.reply.evalue
    if not plain("".join(traceback)).strip() and scene.cell is not None:
        traceback = [text for o in scene.cell.outputs if (text := _text_of(o))]
    message = (plain(value).strip().split("\n") or [""])[0][:300]
    what = f"a cell raised {name}" + (f": {message}" if message else "")
    return scene.fail(
        "raised",
        what,
        traceback=traceback,
        line=_line(scene, traceback),
        cause=cause_of_exception(name, message),
    )


def died(scene: Scene, code: int | None) -> Failure:
    """Return the failure of a kernel that ended with `code` (negative: a signal) while a cell ran."""
    kind, what, cause = cause_of_death(code)
    return scene.fail(kind, what, traceback=_log(scene), cause=cause)


def _line(scene: Scene, traceback: list[str]) -> int | None:
    return line_in_cell(
        traceback, scene.cell.get("execution_count") if scene.cell is not None else None
    )


def _text_of(output: Any) -> str:
    if output["output_type"] == "stream":
        return "".join(output["text"])
    return "".join(output.get("data", {}).get("text/plain", ""))


def log_lines(folder: Path) -> list[str]:
    """Return the last lines of a step's `log.txt`; none where the notebook put something else in its place."""
    try:
        with open_input(folder / "log.txt") as f:
            f.seek(-min(LOG_END, f.seek(0, os.SEEK_END)), os.SEEK_END)
            return f.read(LOG_END).decode(errors="replace").splitlines()
    except (OSError, BadInputError):
        return []


def _log(scene: Scene) -> list[str]:
    """Return the end of what the kernel's process wrote by itself, such as faulthandler's stack."""
    lines = log_lines(scene.folder)
    return end_of(
        [line for line in lines if line != "Kernel died while waiting for execute reply."], lines=8
    )
