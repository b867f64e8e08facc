"""The words in which a run's outcome is reported on the command line and in the report."""

from __future__ import annotations

from typing import Any

from facelab.core.wording import duration, plural
from facelab.reproduce import _failure as failures


def failure_text(raw: dict[str, Any]) -> str:
    """Return a failure's text from its JSON.

    Parameters
    ----------
    raw : dict[str, Any]
        A failure as plain JSON.

    Returns
    -------
    str
        A failure's text from its JSON.
    """
    return str(failures.from_dict(raw))


STANDINGS = {
    "done": "done",
    "missed": "with missed budgets",
    "failed": "that failed last time",
    "not_done": "not done",
}
"""How a step that a run was not asked for is in its report → the words for it."""


def not_asked_for(steps: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the names of the steps that were neither asked for nor needed, by how they stand (`STANDINGS`).

    >>> not_asked_for([{"step": "a", "asked": True}, {"step": "b", "asked": False, "state": "done", "missed": ["x"]}])
    {'done': [], 'missed': ['b'], 'failed': [], 'not_done': []}
    """
    found: dict[str, list[str]] = {how: [] for how in STANDINGS}
    for step in steps:
        if not step["asked"]:
            done = "missed" if step["missed"] else "done"
            last = "failed" if step.get("last") == "failed" else "not_done"
            found[done if step["state"] == "done" else last].append(step["step"])
    return found


def headline(summary: dict[str, Any]) -> str:
    """Return the verdict in one sentence: on what was asked for, and how the rest of the report stands."""
    steps, others = [s for s in summary["steps"] if s["asked"]], summary["not_asked_for"]
    done = [s for s in steps if s["state"] == "done"]
    budgets, missed = sum(s["budgets"] for s in done), sum(len(s["missed"]) for s in done)
    met = (
        f"{budgets - missed} of {plural(budgets, 'budget')} met"
        if budgets
        else "no budgets were set"
    )
    asked = ""
    if len(steps) < len(summary["steps"]):
        asked = "asked for " if all(s["selected"] for s in steps) else "asked for or needed "
    counted = f"{len(done)} of {plural(len(steps), 'step')} {asked}done, {met}"
    rest = [
        f"{plural(len(names), 'step')} {STANDINGS[how]}"
        + (f" ({', '.join(names)})" if how != "done" else "")
        for how, names in others.items()
        if names
    ]
    counted += f"; not asked for: {', '.join(rest)}" if rest else ""
    return {
        "good": f"Good: {counted}",
        "missed": f"Budget missed: {counted}",
        "failed": f"Failed: {counted}",
        "interrupted": f"Interrupted: {counted}; the next call goes on from there",
    }.get(summary["state"], counted)


def verdict_text(summary: dict[str, Any]) -> str:
    """Return the closing lines for a terminal: the verdict, what was missed, the time, the report.

    Parameters
    ----------
    summary : dict[str, Any]
        A run's summary as plain JSON.

    Returns
    -------
    str
        The closing lines for a terminal.
    """
    run = plural(summary["kernels_started"], "notebook")
    lines = [f"{summary['verdict']} ({duration(summary['seconds'])}, {run} run)"]
    for step in summary["steps"]:
        aside = "" if step["asked"] else "  (not asked for)"
        lines += [f"  missed    {step['step']}: {m}{aside}" for m in step["missed"]]
        if step["state"] in ("failed", "blocked", "interrupted"):
            lines.append(
                f"  {step['state']:<9} {step['step']}: {(step['failure'] or {}).get('what', '')}".rstrip(
                    ": "
                )
            )
        if step["note"]:
            lines.append(f"  note      {step['step']}: {step['note']}")
    return "\n".join([*lines, f"report: {summary['report']}"])
