"""A notebook's handle on its run: records, checks, raw samples, figures, and the end marker.

The runner tells a kernel where to write through FACELAB_RUN, FACELAB_STEP and FACELAB_STEP_DIR; without them the
notebook is being explored by a person, and everything goes to `reports/interactive/<step>/`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core import html_table, records
from facelab.core.errors import BadInputError, MissingAssetError
from facelab.core.files import atomic_path, write_json
from facelab.core.project import own_folders, project_root
from facelab.core.records import Record
from facelab.core.templates import render
from facelab.core.timing import ratio
from facelab.session import _call_key as call_key
from facelab.session import _kept_results as kept_results

END_MARKER = "end.json"


class Run:
    """One execution of one notebook, headless or interactive; `start` makes it.

    Its folder holds `records.jsonl`, `figures/*.png`, `samples/*.npz`, `results/*` (what `long` kept), and `end.json`
    once `done` was called.

    Parameters
    ----------
    step : str
        The step's name in the plan.
    folder : str or path
        Where results are written; earlier records in it are removed.
    run : str
        The identifier of the run.
    headless : bool
        Whether the runner executes it.
    recompute : bool
        Whether kept results are computed again.

    Examples
    --------
    >>> import tempfile
    >>> run = Run("my_question", folder=tempfile.mkdtemp(), run="example", headless=False)
    >>> _ = run.check("yunet-n", "recall", 0.98, ">= 0.95", n=200)
    PASS  yunet-n · recall: 0.98  (budget >= 0.95)
    """

    def __init__(
        self,
        step: str,
        *,
        folder: str | os.PathLike,
        run: str,
        headless: bool,
        recompute: bool = False,
    ):
        self.step, self.folder, self.run, self.headless = step, Path(folder), run, headless
        self.recompute = recompute
        self.records: list[Record] = []
        self.figures: list[str] = []
        self.alt: dict[str, str] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        for stale in ("records.jsonl", END_MARKER):
            (self.folder / stale).unlink(missing_ok=True)

    def record(
        self,
        case: str,
        metric: str,
        value: Any,
        *,
        samples: np.ndarray | dict | None = None,
        **fields: Any,
    ) -> Record:
        """Store one figure; `fields` are those of `Record`. Raw `samples` go to a file that the record names.

        Returns the record. Raises BadInputError for a value that is not finite or a budget that cannot be read.
        """
        if samples is not None:
            fields["samples"] = self._store(case, metric, samples)
        record = Record(
            run=self.run, step=self.step, case=case, metric=metric, value=value, **fields
        )
        records.append(self.folder / "records.jsonl", record)
        self.records.append(record)
        return record

    def record_ratio(
        self, case: str, metric: str, slow: np.ndarray, fast: np.ndarray, **fields: Any
    ) -> tuple[float, float, float]:
        """Store how many times faster `fast` is than `slow`, and return it with its 95 % interval.

        Both are seconds from the same rounds. `fields` are those of `record`.
        """
        times, low, high = ratio(slow, fast)
        facts = {"unit": "times", "better": "higher", "lo": low, "hi": high, **fields}
        self.record(case, metric, times, **facts)
        return times, low, high

    def check(
        self, case: str, metric: str, value: Any, budget: str, *, judged: bool = True, **fields: Any
    ) -> Record:
        """Store a figure that must meet `budget` (such as ">= 0.98"), and print the outcome in one line.

        With `judged=False` the figure is stored without a budget, and nothing is printed.
        """
        if not judged:
            return self.record(case, metric, value, **fields)
        record = self.record(case, metric, value, budget=budget, **fields)
        print(f"{'PASS' if record.passed else 'FAIL'}  {record.line()}  (budget {budget})")
        record.was_printed = True
        return record

    def long(self, name: str, function: Callable, /, *args: Any, **kwargs: Any) -> Any:
        """Return `function(*args, **kwargs)`: computed by a runner, loaded from the last run by a person.

        A runner always computes, and keeps the result under `results/`. In an interactive session a kept result with
        the same arguments, code, packages, mirror and processor is loaded, whatever the profile, and said to be;
        otherwise it is computed below a progress bar, and kept. `function` belongs to a module of facelab
        or of the project. Its arguments and its result are plain values (see
        `facelab.session._call_key.describe` and `facelab.session._stored_results.pack`).
        Raises BadInputError for others.
        """
        _check_name(name, "a result")
        parts, last = call_key.parts(function, args, kwargs), None
        if not self.headless:
            if self.recompute:
                why = "asked for by recompute=True"
            elif call_key.changed_since_loaded(function.__module__):
                why = "facelab's files changed since this kernel started; restart it to use them"
            else:
                kept, last, why = kept_results.load(
                    project_root() / "reports",
                    self.step,
                    name,
                    parts,
                    self.folder,
                    kept_results.outputs_of(args, kwargs),
                )
                if kept:
                    print(kept_results.told(name, kept, self.step))
                    return kept.value
            print(f"{name}: computing, {why}")
        return kept_results.compute(
            self.folder,
            self.run,
            name,
            function,
            args,
            kwargs,
            parts=parts,
            show=not self.headless,
            expected_s=last["seconds"] if last else None,
        )

    def output(self, name: str) -> kept_results.Output:
        """Return a folder of this step as an argument for a call under `long`: loading brings its files along."""
        _check_name(name, "a folder")
        return kept_results.Output(name)

    def figure(self, fig: Any, name: str, alt: str = "") -> Any:
        """Save a matplotlib figure as `figures/<name>.png` and return it, so that the cell shows it inline.

        `alt` says in words what is to be seen, for the report.
        """
        _check_name(name, "a figure")
        with atomic_path(self.folder / "figures" / f"{name}.png") as tmp:
            fig.savefig(tmp, dpi=110, bbox_inches="tight", metadata={"Description": alt or name})
        self.figures = [*(f for f in self.figures if f != name), name]
        self.alt[name] = alt
        return fig

    def upstream(self, step: str) -> Path:
        """Return the folder of a step that this one needs (the plan's `needs`), with its records and files.

        Interactively it is what that step left last: headless, or else when a person ran it.
        Raises MissingAssetError if there is nothing.
        """
        if self.headless:
            known = json.loads(os.environ.get("FACELAB_UPSTREAM", "{}"))
            candidates = [Path(known[step])] if step in known else []
        else:
            reports = project_root() / "reports"
            candidates = [reports / "latest" / step, reports / "interactive" / step]
        for folder in candidates:
            if (folder / END_MARKER).is_file():
                return folder
        raise MissingAssetError(
            f"the step {step!r} has left no result",
            where=self.step,
            expected="a step named in the plan's `needs`"
            if self.headless
            else "a finished run of that notebook",
            got="; ".join(map(str, candidates)) or "nothing",
            fix=f"add it to `needs` in the plan, or run: facelab reproduce --only {step}",
        )

    def done(self, verdict: str | None = None) -> Verdict:
        """Write the end marker and return the verdict: the one given, or one counted from the checks."""
        checked = [r for r in self.records if r.budget is not None]
        failed = [f"{r.case} · {r.metric}" for r in checked if not r.passed]
        if verdict is None:
            verdict = f"{len(checked) - len(failed)} of {len(checked)} budgets met"
            verdict += f"; missed: {', '.join(failed)}" if failed else ""
        write_json(
            self.folder / END_MARKER,
            {
                "step": self.step,
                "run": self.run,
                "verdict": verdict,
                "records": len(self.records),
                "figures": self.figures,
                "alt": self.alt,
                "failed": failed,
            },
        )
        return Verdict(verdict, self.records)

    def _repr_html_(self) -> str:
        rows = [
            [
                r.case,
                r.metric,
                r.value,
                r.unit,
                r.budget or "",
                {None: "", True: "PASS", False: "FAIL"}[r.passed],
            ]
            for r in self.records
        ]
        return html_table.table(
            ["case", "metric", "value", "unit", "budget", ""],
            rows,
            caption=f"{self.step}: {len(rows)} records in {self.folder}",
        )

    def _store(self, case: str, metric: str, samples: np.ndarray | dict) -> str:
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in f"{case}-{metric}")[:120]
        name = f"samples/{safe}.npz"
        arrays: dict[str, Any] = (
            samples if isinstance(samples, dict) else {"samples": np.asarray(samples)}
        )
        with atomic_path(self.folder / name) as tmp, tmp.open("wb") as f:
            np.savez_compressed(f, **arrays)
        return name


class Verdict(str):
    """How a notebook ended, in one sentence; a notebook shows it with the table of its checks."""

    checked: list[Record]

    def __new__(cls, text: str, found: list[Record]) -> Verdict:
        made = super().__new__(cls, text)
        made.checked = [r for r in found if r.budget is not None]
        return made

    def _repr_html_(self) -> str:
        good = all(r.passed for r in self.checked)
        colour = html_table.GOOD if good else html_table.BAD
        rows = [["PASS" if r.passed else "FAIL", r.line(), r.budget] for r in self.checked]
        checks = html_table.table(["", "figure", "budget"], rows) if rows else ""
        return render(
            "session/templates/verdict.html.j2", text=str(self), colour=colour, checks=checks
        )


def _check_name(name: str, of: str) -> None:
    if not name.replace("_", "").replace("-", "").isalnum():
        raise BadInputError(
            f"{of}'s name is not a plain word",
            expected="letters, digits, '-' and '_'",
            got=name,
            fix="choose a name of these characters",
        )


def _show_figures() -> None:
    """Let this kernel show matplotlib figures as pictures, whatever MPLBACKEND says.

    Our figures are made without pyplot, whose import is what registers the usual formatter.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None and (formatter := shell.display_formatter.formatters.get("image/png")):
        formatter.for_type_by_name("matplotlib.figure", "Figure", _png)


def _png(fig: Any) -> bytes:
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return buffer.getvalue()


def is_headless() -> bool:
    """Return whether a runner (not a person) is executing this notebook.

    Returns
    -------
    bool
        Whether a runner (not a person) is executing this notebook.

    Examples
    --------
    >>> is_headless()
    False
    """
    return "FACELAB_STEP_DIR" in os.environ


def start(step: str | None = None, *, recompute: bool = False) -> Run:
    """Open the run of this notebook; `step` names it when a person runs it interactively.

    Headless, the runner's environment decides the step, the run's identifier and the folder. Interactively the
    results go to `reports/interactive/<step>/`, earlier records of that folder are replaced, and long calls are
    loaded from the last run where they still hold (`Run.long`), unless `recompute` is set.

    Parameters
    ----------
    step : str or None
        The name of the step; None for the name of the notebook.
    recompute : bool
        Whether kept results are computed again.

    Returns
    -------
    Run
        The run, to which results are recorded.

    Examples
    --------
    >>> run = start("my_question")
    >>> run.record("yunet-n", "faces", 12).value
    12
    """
    _show_figures()
    if is_headless():
        return Run(
            os.environ["FACELAB_STEP"],
            folder=os.environ["FACELAB_STEP_DIR"],
            run=os.environ.get("FACELAB_RUN", "unnamed"),
            headless=True,
        )
    step = step or "notebook"
    with contextlib.suppress(OSError):
        # modules beside the notebooks go on being found, after all installed ones
        for folder in (str(Path.cwd()), *map(str, own_folders(project_root()))):
            if folder not in sys.path:
                sys.path.append(folder)
        os.chdir(project_root())
    return Run(
        step,
        folder=project_root() / "reports" / "interactive" / step,
        run="interactive",
        headless=False,
        recompute=recompute,
    )
