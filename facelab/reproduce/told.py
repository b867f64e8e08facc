"""The words in which a run's outcome is told on the command line and in the report."""

from __future__ import annotations

from typing import Any

from facelab.report.index_words import duration, plural
from facelab.reproduce import failure as failures


def failure(raw: dict[str, Any]) -> str:
    """Return a failure's text from its JSON."""
    return str(failures.from_dict(raw))


def headline(summary: dict[str, Any]) -> str:
    """Return the verdict in one sentence."""
    steps = [s for s in summary["steps"] if s["state"] != "skipped"]
    done = [s for s in steps if s["state"] == "done"]
    budgets, missed = sum(s["budgets"] for s in done), sum(len(s["missed"]) for s in done)
    met = f"{budgets - missed} of {plural(budgets, 'budget')} met" if budgets else "no budgets were set"
    skipped = len(summary["steps"]) - len(steps)
    counted = f"{len(done)} of {plural(len(steps), 'step')} done, {met}" + (f" ({skipped} not asked for)" if skipped
                                                                             else "")
    return {"good": f"Good: {counted}", "missed": f"Budget missed: {counted}", "failed": f"Failed: {counted}",
            "interrupted": f"Interrupted: {counted}; the next call goes on from there"}.get(summary["state"], counted)


def verdict(summary: dict[str, Any]) -> str:
    """Return the closing lines for a terminal: the verdict, what was missed, the time, the report."""
    run = plural(summary["kernels_started"], "notebook")
    lines = [f"{summary['verdict']} ({duration(summary['seconds'])}, {run} run)"]
    for step in summary["steps"]:
        lines += [f"  missed    {step['step']}: {m}" for m in step["missed"]]
        if step["state"] in ("failed", "blocked", "interrupted"):
            lines.append(f"  {step['state']:<9} {step['step']}: {(step['failure'] or {}).get('what', '')}".rstrip(": "))
        if step["note"]:
            lines.append(f"  note      {step['step']}: {step['note']}")
    return "\n".join([*lines, f"report: {summary['report']}"])
