"""`facelab gate`: may this candidate be deployed?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facelab.commands.common import OutPath
from facelab.commands.json_file import emit_file, json_file_option
from facelab.core.errors import BadInputError


@click.command(
    "gate", epilog="Example: facelab gate bundle/ --inference infer.json --policy policy.toml"
)
@click.argument("bundle", required=False, type=click.Path())
@click.option(
    "--inference",
    type=click.Path(),
    metavar="F",
    help="Fingerprint of the inference side (facelab fingerprint capture or import).",
)
@click.option(
    "--outputs",
    type=click.Path(),
    metavar="DIR",
    help="What the inference program answered for the probes: "
    "NAME.npy, or NAME.bin with NAME.json.",
)
@click.option(
    "--baseline",
    metavar="RUN",
    help="A run, a step's folder or a file of records that the candidate's "
    "figures must not be worse than: also `latest` or `previous`.",
)
@click.option(
    "--device",
    type=click.Path(),
    multiple=True,
    metavar="F",
    help="Measured on the target device: figures, a trace (.npz), a verdict on memory, a budget report; repeatable.",
)
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(),
    metavar="F",
    help="What must be met (TOML).  [default: the policy that ships]",
)
@click.option(
    "--print-policy",
    is_flag=True,
    help="Print the policy that ships, with every key explained, and stop.",
)
@json_file_option
@click.option("--junit", type=OutPath(), metavar="F", help="Write JUnit XML for a test report.")
@click.option("--sarif", type=OutPath(), metavar="F", help="Write SARIF 2.1.0 for code scanning.")
@click.option(
    "--html", type=OutPath(), metavar="F", help="Write a page with the table and the causes."
)
@click.pass_context
def command(
    ctx: click.Context,
    bundle: Any,
    inference: Any,
    outputs: Any,
    baseline: Any,
    device: Any,
    policy_file: Any,
    print_policy: Any,
    json_path: Any,
    junit: Any,
    sarif: Any,
    html: Any,
) -> None:
    """Run every check that has data on BUNDLE and answer PASS (exit 0) or FAIL (exit 1).

    Checks: integrity, preprocessing fingerprint, golden outputs, INT8 budgets, accuracy against a baseline beyond
    noise, origin of thresholds, model size, latency and memory of the target device. A check without data is skipped;
    the policy says which may be.
    """
    from facelab.deploy import policy

    if print_policy:
        click.echo(policy.DEFAULT, nl=False)
        return
    if bundle is None:
        raise click.UsageError("name a bundle, or --print-policy", ctx)
    from facelab.deploy import judge

    rules = policy.load(policy_file) if policy_file else policy.default()
    verdict = judge(
        bundle,
        rules,
        inference=inference,
        outputs=outputs,
        baseline=_baseline(baseline),
        device=device or None,
    )
    if junit or sarif:
        from facelab.deploy.internals import write_junit, write_sarif

        for path, write in ((junit, write_junit), (sarif, write_sarif)):
            if path:
                write(verdict, path)
    if html:
        from facelab.report.deploy import write_page

        write_page(verdict, html)
    emit_file(verdict.to_dict(), json_path, text=verdict.text())
    ctx.exit(0 if verdict.passed else 1)


def _baseline(name: str | None) -> Any:
    """Return what `judge` takes: a path as it is, or the name of a run with its records."""
    if name is None or Path(name).exists():
        return name
    from facelab.deploy.internals import evidence
    from facelab.reproduce import plan
    from facelab.reproduce.internals import Store

    try:
        path = Store(plan.find().parents[1], None).find(str(name))
    except BadInputError as e:
        e.fix = (
            "name a run of facelab reproduce, a folder or a file with records, latest or previous"
        )
        raise
    return str(name), evidence.read(path)
