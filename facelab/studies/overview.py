"""What will run and how long it takes: the plan as a table, with times from earlier runs on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelab.core.project import project_root
from facelab.reproduce import plan as plans
from facelab.reproduce.internals import Store, canonical, read_json

if TYPE_CHECKING:
    import pandas as pd


def plan_table(profile: str) -> pd.DataFrame:
    """Return one row per step: its question, lane, what it waits for, limit and last measured seconds (None if never).

    `profile` is quick or full; only runs of the same profile count as measured.
    """
    import pandas as pd

    plan = plans.read(project_root() / "notebooks" / "plan.toml")
    store = Store(plan.root)
    rows = []
    for step in plan.in_order():
        past = last_seconds(store, step.name, profile)
        rows.append(
            {
                "step": step.name,
                "question": question(plan.notebook(step)),
                "lane": step.lane,
                "needs": ", ".join(step.needs) or "–",
                "limit [s]": step.limit_s,
                "last time [s]": past,
            }
        )
    return pd.DataFrame(rows)


def last_seconds(store: Store, step: str, profile: str) -> float | None:
    """Return how long a step took when it was last really executed in this profile, or None."""
    for run in store.runs():
        note = read_json(store.step_folder(run, step) / "step.json")
        told = read_json(store.run_folder(run) / "run.json")
        if note and told and note.get("state") == "done" and told.get("profile") == profile:
            return round(note["seconds"], 1)
    return None


def question(notebook: Any) -> str:
    """Return a notebook's first heading: the question it answers."""
    first = canonical.read(notebook)["cells"][0]
    source = "".join(first["source"])  # a text, or a list of its lines
    return source.splitlines()[0].lstrip("# ").strip()
