"""`facelab doctor`: what is installed, what answers, what is present, and the fix for whatever is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from facelab.commands.common import echo, emit, json_option, note
from facelab.core import escape

if TYPE_CHECKING:
    from facelab.doctor import Check

MARKS = {"ok": "ok     ", "info": "       ", "warn": "warning", "broken": "BROKEN "}


@click.command(epilog="Example: facelab doctor --quick")
@click.option(
    "--quick",
    is_flag=True,
    help="Do not start the kernels' interpreters (seconds instead of a minute).",
)
@json_option
def command(quick: bool, as_json: bool) -> int:
    """Say what is installed, which kernels answer, which models and data are here, and how to fix what is wrong.

    Exit code 1 if something that facelab needs is broken; a warning alone leaves it at 0.
    """
    from facelab.doctor import all_checks

    lines = FindingLines()
    show = None if as_json else lambda check: echo(escape.block(lines.of(check)))
    if not quick:
        note("kernels are started last, side by side; --quick leaves that out")
    checks = all_checks(start_kernels=not quick, answered=show)
    broken, warned = (sum(c.status == s for c in checks) for s in ("broken", "warn"))
    report = {
        "ok": not broken,
        "broken": broken,
        "warnings": warned,
        "checks": [c.as_dict() for c in checks],
    }
    verdict = f"{broken} broken" if broken else "nothing is broken"
    emit(report, as_json=as_json, text=f"\n{verdict}, {warned} warning{'s' * (warned != 1)}")
    return 1 if broken else 0


class FindingLines:
    """Findings as lines for a reader, one at a time: a heading where the area changes, each problem with its fix."""

    def __init__(self) -> None:
        self._area = ""

    def of(self, check: Check) -> str:
        """Return the lines of one finding."""
        lines = []
        if check.area != self._area:
            lines += ["", check.area] if self._area else [check.area]
            self._area = check.area
        lines.append(
            f"  {MARKS[check.status]} {escape.line(check.name)}: {escape.line(check.detail)}"
        )
        if check.fix:
            lines.append(f"          fix: {escape.line(check.fix)}")
        return "\n".join(lines)
