"""`facelab reproduce`: run the notebooks headless and write the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facelab.commands.common import THREADS, OutPath, echo, emit, json_option, note
from facelab.core import escape

if TYPE_CHECKING:
    from facelab.reproduce import Runner


@click.command(
    "reproduce",
    epilog="Example: facelab reproduce --profile quick --jobs 2 -p 08_matcher_benchmark.seed=1",
)
@click.option(
    "--profile",
    type=click.Choice(["quick", "full"]),
    default="full",
    show_default=True,
    help="Which of the plan's parameter sets to use.",
)
@click.option(
    "--only",
    "only",
    multiple=True,
    metavar="STEP",
    help="Run this step, and what it needs that is not done. May be repeated.",
)
@click.option(
    "--from",
    "start",
    metavar="STEP",
    help="Run this step and those that come after it in the plan.",
)
@click.option(
    "-p",
    "--parameter",
    "texts",
    multiple=True,
    metavar="STEP.NAME=VALUE",
    help="Set a notebook's parameter; checked against its type. May be repeated.",
)
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="STEP.NAME=V1,V2,…",
    help="Run once per value; several make a grid. Runs the named steps unless --only or --from says otherwise.",
)
@click.option("--force", is_flag=True, help="Run the chosen steps even where nothing changed.")
@click.option(
    "--jobs", type=THREADS, help="Steps at once.  [default: 2 here, the workers on a cluster]"
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Run on a dask.distributed cluster, such as tcp://host:8786, "
    "whose workers see this folder.",
)
@click.option("--why", is_flag=True, help="Say for each step why it runs, or that nothing changed.")
@click.option("--dry-run", is_flag=True, help="Say what would run and why, and run nothing.")
@click.option(
    "--plan",
    "plan_path",
    type=click.Path(path_type=Path),
    help="The plan.  [default: notebooks/plan.toml]",
)
@click.option(
    "--reports",
    type=OutPath(folder=True, path_type=Path),
    help="Where results go.  [default: reports]",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    profile: Any,
    only: Any,
    start: Any,
    texts: Any,
    sweeps: Any,
    force: Any,
    jobs: Any,
    scheduler: Any,
    why: Any,
    dry_run: Any,
    plan_path: Any,
    reports: Any,
    as_json: bool,
) -> int:
    """Run the notebooks of the plan headless, skip what is unchanged, and write reports/index.html.

    Exit code 0: every step that was asked for is done and its budgets are met. 1: a step failed or a budget was
    missed. 2: wrong usage or a bad parameter; nothing ran. 130: interrupted; the next call goes on from there.
    """
    if only and start:
        raise click.UsageError("--only and --from exclude each other", ctx)
    from facelab.reproduce import Options, Runner
    from facelab.reproduce import plan as plans
    from facelab.reproduce.internals import verdict_text

    plan = plans.read(plan_path or plans.find())
    options = Options(
        profile=profile,
        jobs=jobs,
        scheduler=scheduler,
        only=only,
        start=start,
        texts=texts,
        force=force,
        reports=reports.resolve() if reports else None,
        said=_said(plan_path, reports),
    )
    if sweeps:
        from facelab.reproduce import sweep

        runners = sweep.prepare(plan, options, sweeps)
    else:
        runners = [Runner(plan, options)]
        runners[0].prepare()
    if why or dry_run:
        for runner in runners:
            _explain(runner, to_stdout=dry_run and not as_json)
    if dry_run:
        if as_json:
            planned = [_planned(runner) for runner in runners]
            emit(planned if sweeps else planned[0], as_json=True, text="")
        return 0
    if sweeps:
        return _sweep(runners, as_json)
    summary = _displayed(runners[0])
    emit(summary, as_json=as_json, text=verdict_text(summary))
    return summary["exit_code"]


def _said(plan_path: Path | None, reports: Path | None) -> tuple[str, ...]:
    """Return the options that a line which repeats this run needs."""
    return (
        *(("--plan", str(plan_path)) if plan_path else ()),
        *(("--reports", str(reports)) if reports else ()),
    )


def _displayed(runner: Runner) -> dict[str, Any]:
    """Run with the display that suits the terminal, and return the summary."""
    from facelab.reproduce.internals import choose_display

    runner.display = choose_display()
    return _run(runner)


def _sweep(runners: list[Runner], as_json: bool) -> int:
    """Run every combination, print the table, and return the exit code."""
    from facelab.reproduce import sweep

    summary = sweep.execute(runners, _displayed, note)
    found = sweep.result(runners[0].store)
    emit(summary, as_json=as_json, text=found.text() if found else "no figures were recorded")
    options = runners[0].options
    where = f" --reports {options.reports}" if options.reports else ""
    note(f"Plot it: facelab compare sweep{where} --plot sweep.png")
    return summary["exit_code"]


def _explain(runner: Runner, *, to_stdout: bool) -> None:
    _, point = runner.options.sweep or ("", ())
    lines = [f"with  {', '.join(point)}"] if point else []
    lines += [
        f"{'run ' if task.run else 'skip'}  {task.step.name}: {'; '.join(task.why)}"
        for task in runner.tasks.values()
        if task.selected or not point  # of a grid, one block per point, of the steps that take part
    ]
    for line in lines:
        echo(escape.line(line), err=not to_stdout)


def _planned(runner: Runner) -> list[dict[str, Any]]:
    return [
        {
            "step": task.step.name,
            "run": task.run,
            "why": task.why,
            "key": task.key,
            "parameters": task.parameters,
        }
        for task in runner.tasks.values()
    ]


def _run(runner: Runner) -> dict[str, Any]:
    from facelab.reproduce.internals import failure_text

    summary = runner.execute()
    for step in summary["steps"]:
        if step["failure"] and step["failure"].get("kind") not in ("interrupted", "blocked"):
            note("\n" + failure_text(step["failure"]))
    return summary
