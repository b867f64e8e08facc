"""One finding of the doctor."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Check:
    """One finding: `status` is ok, info, warn or broken; `fix` says what fixes it; `data` has the figures.

    Examples
    --------
    >>> Check("machine", "memory", "ok", "16 GiB").status
    'ok'
    """

    area: str
    name: str
    status: Literal["ok", "info", "warn", "broken"]
    detail: str
    fix: str | None = None
    data: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict:
        """Return the finding as plain JSON."""
        return dataclasses.asdict(self)
