"""One row of the gate's table."""

from __future__ import annotations

import dataclasses
from typing import Literal

Status = Literal["pass", "fail", "skipped"]


@dataclasses.dataclass(frozen=True)
class Check:
    """One row of the gate's table: what was found, in a sentence, the figures behind it, and the fix if it failed.

    `causes` are words for machines: a finding's kind, a budget's name, a damaged file.
    """

    name: str
    status: Status
    what: str
    fix: str = ""
    causes: tuple[str, ...] = ()
    figures: dict = dataclasses.field(default_factory=dict)
    file: str = ""

    def to_dict(self) -> dict:
        """Return the row as plain JSON."""
        return {
            "name": self.name,
            "status": self.status,
            "what": self.what,
            "fix": self.fix,
            "causes": list(self.causes),
            "figures": self.figures,
            "file": self.file,
        }


def skipped(name: str, why: str, fix: str = "") -> Check:
    """Return a check that has no data."""
    return Check(name, "skipped", why, fix)
