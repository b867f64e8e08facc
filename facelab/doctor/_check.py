"""One finding of the doctor."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Check:
    """One finding of the doctor.

    Attributes
    ----------
    area, name : str
        What was checked, such as "machine" and "memory".
    status : str
        `ok`, `info`, `warn` or `broken`.
    detail : str
        What was found.
    fix : str or None
        What to do about it.
    data : dict
        The figures behind it.

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
