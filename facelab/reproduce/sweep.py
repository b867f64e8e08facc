"""A sweep: one run per point of a grid of parameters, each cached and reported like any other run."""

from __future__ import annotations

import dataclasses
import itertools
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError
from facelab.core.wording import duration
from facelab.reproduce._runner import Options, Runner
from facelab.reproduce._several import Runs, side_by_side
from facelab.reproduce._store import Store
from facelab.reproduce.plan import Plan, overrides

SCHEMA = "facelab.sweep/1"
MOST_POINTS = 200


def points(plan: Plan, texts: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the grid that options such as `08_matcher.dimension=128,256` span, each point as `-p` texts.

    Values are parted by commas; where one holds a comma itself, by semicolons. Raises BadInputError for another form,
    a parameter that is named twice, or a grid of more than 200 points.
    """
    axes, seen = [], set()
    for text in texts:
        target, equals, values = text.partition("=")
        overrides(plan, [f"{target}{equals}{values or '?'}"])
        words = [w.strip() for w in values.split(";" if ";" in values else ",")]
        if not all(words) or len(set(words)) < len(words) or target in seen:
            raise BadInputError(
                "a sweep cannot be read",
                where=f"--sweep {text}",
                expected="--sweep STEP.NAME=VALUE,VALUE,… with different values, each name once",
                got=text,
                fix="correct the list; part values that hold commas by semicolons",
            )
        seen.add(target)
        axes.append([f"{target}={word}" for word in words])
    grid = list(itertools.product(*axes))
    if len(grid) > MOST_POINTS:
        raise BadInputError(
            "the sweep has too many points",
            where="--sweep",
            expected=f"at most {MOST_POINTS}",
            got=len(grid),
            fix="sweep fewer values at once",
        )
    return grid


def prepare(plan: Plan, options: Options, texts: tuple[str, ...]) -> list[Runner]:
    """Return a prepared runner per point, so that every mistake shows before anything runs.

    Without a selection of steps each run asks for the swept ones. Raises BadInputError for a mistake.
    """
    grid, name = points(plan, texts), f"sweep-{secrets.token_hex(4)}"
    only = options.only or (() if options.start else tuple(overrides(plan, list(grid[0]))))
    runners = []
    for point in grid:
        chosen = dataclasses.replace(
            options, only=only, texts=(*options.texts, *point), sweep=(name, point)
        )
        runners.append(Runner(plan, chosen))
        runners[-1].prepare()
    return runners


def execute(
    runners: list[Runner],
    each: Callable[[Runner], dict[str, Any]],
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run the points one after the other and return the sweep's summary; an interruption ends it.

    `say` gets one line before each point: which point it is, its values, and about how long the rest takes.
    """
    summaries: list[dict[str, Any]] = []
    for k, runner in enumerate(runners):
        say(_heading(k, runners, summaries))
        summaries.append(each(runner))
        if summaries[-1]["exit_code"] == 130:
            break
    if line := _short(runners, summaries):
        say(line)
    name, _ = runners[0].options.sweep or ("", ())
    return {
        "schema": SCHEMA,
        "sweep": name,
        "points": len(runners),
        "exit_code": max(s["exit_code"] for s in summaries),
        "runs": summaries,
    }


def _short(runners: list[Runner], ended: list[dict[str, Any]]) -> str:
    """Return the closing line that names the points which were not good, or an empty text."""
    bad = [k for k, summary in enumerate(ended) if summary["exit_code"]]
    if not bad:
        return ""
    named = "; ".join(", ".join((runners[k].options.sweep or ("", ()))[1]) for k in bad[:6])
    more = f" and {len(bad) - 6} more" if len(bad) > 6 else ""
    return (
        f"{len(bad)} of {len(runners)} points missed a budget or failed (exit code "
        f"{max(ended[k]['exit_code'] for k in bad)}): {named}{more}"
    )


def _heading(k: int, runners: list[Runner], ended: list[dict[str, Any]]) -> str:
    """Return the line before a point, such as `point 2 of 12: 03_train.strategy=whole, 03_train.seed=8`."""
    _, point = runners[k].options.sweep or ("", ())
    line = f"point {k + 1} of {len(runners)}: {', '.join(point)}"
    took = [s["seconds"] for s in ended if s["kernels_started"]]
    if took:
        line += f" · about {duration(sum(took) / len(took) * (len(runners) - k))} to go"
    return line


def members(store: Store) -> list[Path]:
    """Return the runs of the newest sweep, in their order. Raises BadInputError if there is none."""
    ended = store.ended()
    name = next((run["sweep"] for run in ended if run.get("sweep")), None)
    if name is None:
        raise BadInputError(
            "there is no sweep",
            where=store.runs_folder,
            expected="runs of one sweep",
            fix="make one: facelab reproduce --sweep STEP.NAME=VALUE,VALUE",
        )
    found = [run["run"] for run in reversed(ended) if run.get("sweep") == name]
    return [store.run_folder(run) for run in found]


def result(store: Store) -> Runs | None:
    """Return the newest sweep side by side, or None where its runs recorded nothing."""
    try:
        return side_by_side(members(store))
    except BadInputError:
        return None
