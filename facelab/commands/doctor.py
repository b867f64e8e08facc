"""`facelab doctor`: what is installed, what answers, what is present, and the fix for whatever is wrong."""

from __future__ import annotations

import click

from facelab.commands.common import emit, json_option
from facelab.core.escape import line
from facelab.doctor import Check, all_checks

MARKS = {"ok": "ok     ", "info": "       ", "warn": "warning", "broken": "BROKEN "}


@click.command(epilog="Example: facelab doctor --quick")
@click.option(
    "--quick",
    is_flag=True,
    help="Do not start the kernels' interpreters (seconds instead of a minute).",
)
@json_option
def command(quick: bool, as_json: bool) -> int:
    """Say what is installed, which kernels answer, which models and data are here, and how to mend what is wrong.

    Exit code 1 if something that facelab needs is broken; a warning alone leaves it at 0.
    """
    checks = all_checks(start_kernels=not quick)
    broken = [c for c in checks if c.status == "broken"]
    report = {
        "ok": not broken,
        "broken": len(broken),
        "warnings": sum(c.status == "warn" for c in checks),
        "checks": [c.as_dict() for c in checks],
    }
    emit(report, as_json=as_json, text=render(checks))
    return 1 if broken else 0


def render(checks: list[Check]) -> str:
    """Return the report for people, grouped by area, each problem with its fix, the verdict last."""
    lines, area = [], None
    for check in checks:
        if check.area != area:
            area = check.area
            lines.append(f"{'' if not lines else chr(10)}{area}")
        lines.append(f"  {MARKS[check.status]} {line(check.name)}: {line(check.detail)}")
        if check.fix:
            lines.append(f"          fix: {line(check.fix)}")
    broken, warned = (sum(c.status == s for c in checks) for s in ("broken", "warn"))
    verdict = f"{broken} broken" if broken else "nothing is broken"
    lines.append(f"\n{verdict}, {warned} warning{'s' * (warned != 1)}")
    return "\n".join(lines)
