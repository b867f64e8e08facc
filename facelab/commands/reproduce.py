"""`facelab reproduce`: run the notebooks headless and write the report."""

from __future__ import annotations

from pathlib import Path

import click

from facelab.commands.common import THREADS, OutPath, emit, json_option, note


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
    ctx,
    profile,
    only,
    start,
    texts,
    force,
    jobs,
    scheduler,
    why,
    dry_run,
    plan_path,
    reports,
    as_json,
) -> int:
    """Run the notebooks of the plan headless, skip what is unchanged, and write reports/index.html.

    Exit code 0: every step that was asked for is done and its budgets are met. 1: a step failed or a budget was
    missed. 2: wrong usage or a bad parameter; nothing ran. 130: interrupted; the next call goes on from there.
    """
    if only and start:
        raise click.UsageError("--only and --from exclude each other", ctx)
    from facelab.reproduce import plan as plans
    from facelab.reproduce import progress
    from facelab.reproduce.runner import Options, Runner

    said = [
        *(("--plan", str(plan_path)) if plan_path else ()),
        *(("--reports", str(reports)) if reports else ()),
    ]
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
        said=tuple(said),
    )
    runner = Runner(plan, options)
    tasks = runner.prepare()
    if why or dry_run:
        for task in tasks:
            say = click.echo if dry_run and not as_json else note
            say(f"{'run ' if task.run else 'skip'}  {task.step.name}: {'; '.join(task.why)}")
    if dry_run:
        if as_json:
            emit(
                [
                    {
                        "step": t.step.name,
                        "run": t.run,
                        "why": t.why,
                        "key": t.key,
                        "parameters": t.parameters,
                    }
                    for t in tasks
                ],
                as_json=True,
                text="",
            )
        return 0
    runner.display = progress.choose()
    summary = runner.execute()
    from facelab.reproduce import told

    for step in summary["steps"]:
        if step["failure"] and step["failure"].get("kind") not in ("interrupted", "blocked"):
            note("\n" + told.failure(step["failure"]))
    emit(summary, as_json=as_json, text=told.verdict(summary))
    return summary["exit_code"]
