"""What a budgeted run did: which limits held and by what, what was used, and how it ended."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from facelab.budget._file import Budget
from facelab.core.result import Result

SCHEMA = "facelab.budget-report/1"
SLACK = 1.1
"""A share that nothing held is broken from here on, times the share: short runs start up at full speed."""
ENDS = {
    "finished": "the command ended with exit code 0",
    "failed": "the command ended with another exit code; no sign of a refused allocation",
    "killed for memory": "the kernel killed it because it needed more memory than allowed",
    "part killed for memory": "the kernel killed a process below the command, which went on",
    "killed for other memory": "the kernel killed it for memory at another limit: a group above or the machine",
    "crashed": "a signal ended it, and the kernel killed nothing for memory",
    "ended, cause unknown": "it ended badly, and whether memory was the cause cannot be determined",
    "time is up": "it ran past the time it was given and was ended",
}
"""How a run can end, and what that says."""


@dataclass(frozen=True)
class Held:
    """One limit: what was asked, by what it was held (None: by nothing), what is really set, and a remark."""

    limit: str
    asked: float
    mechanism: str | None
    value: float | None
    note: str = ""


@dataclass(frozen=True)
class BudgetReport(Result):
    """The report of a budgeted run.

    Attributes
    ----------
    budget : dict
        The budget as it was given.
    command : tuple of str
        What was run.
    end : str
        One of `ENDS`.
    exit_code, signal : int or None
        How the command ended.
    held : tuple of Held
        One entry per limit.
    oom_kills : int or None
        Processes that the kernel killed for memory; None where it does not say.
    peak_bytes : int or None
        The most memory the group had, page cache included, as the kernel counts it.
    sampled_rss_bytes : int
        The largest sum of resident memory that was seen, a look every few hundredths of a second.
    cpu_seconds, wall_seconds : float
        Processor time of all processes, and the time that passed.
    throttled : dict or None
        {periods, throttled, seconds}: how often the share made it wait.
    watts : float or None
        Mean power, modelled from processor time by the budget's `[power]`; never measured.
    passed : bool
        Whether it finished, and no limit was broken; a limit that nothing held is judged by what was seen.
    reasons : tuple of str
        Why not.
    machine : dict
        Where.
    """

    budget: dict[str, Any]
    command: tuple[str, ...]
    end: str
    exit_code: int | None
    signal: int | None
    held: tuple[Held, ...]
    oom_kills: int | None
    peak_bytes: int | None
    sampled_rss_bytes: int
    cpu_seconds: float
    wall_seconds: float
    throttled: dict[str, float] | None
    watts: float | None
    passed: bool
    reasons: tuple[str, ...]
    machine: dict[str, Any]
    watts_method: str = "model"
    schema: str = SCHEMA

    @property
    def cpu_share(self) -> float:
        """Mean processor time per second, in cores."""
        return self.cpu_seconds / self.wall_seconds if self.wall_seconds > 0 else 0.0

    @property
    def memory_bytes(self) -> int:
        """The peak that counts: the kernel's where it has one, else what was sampled."""
        return self.peak_bytes if self.peak_bytes is not None else self.sampled_rss_bytes

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON, the schema first."""
        fields = super().to_dict()
        return {"schema": fields.pop("schema"), **fields, "cpu_share": self.cpu_share}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> BudgetReport:
        """Return the report that `to_dict` wrote; raises TypeError, ValueError or KeyError for other documents."""
        names = {f.name for f in dataclasses.fields(cls)}
        if value.get("schema") != SCHEMA or value.get("end") not in ENDS:
            raise ValueError(f"schema {value.get('schema')!r}, end {value.get('end')!r}")
        kept = {k: v for k, v in value.items() if k in names}
        kept["budget"] = Budget.model_validate(kept["budget"]).to_dict()
        kept["held"] = tuple(Held(**h) for h in kept["held"])
        kept |= {k: tuple(map(str, kept[k])) for k in ("command", "reasons")}
        for key in ("cpu_seconds", "wall_seconds", "sampled_rss_bytes"):
            if not _amount(kept[key]):
                raise ValueError(f"{key} {kept[key]!r}")
        for key in ("peak_bytes", "oom_kills", "watts"):
            if kept[key] is not None and not _amount(kept[key]):
                raise ValueError(f"{key} {kept[key]!r}")
        return cls(**kept)

    def broken(self) -> list[str]:
        """Return why the budget was broken, recomputed from the figures; empty where it was kept."""
        budget = Budget.model_validate(self.budget)
        by = {h.limit: h.mechanism or "" for h in self.held}
        out = [] if self.end == "finished" else [f"the command did not finish: {self.end}"]
        if self.end == "finished" and self.oom_kills:
            out.append(f"{self.oom_kills} processes were killed for memory")
        memory = budget.memory_bytes
        if memory is not None and self.memory_bytes > memory:
            out.append(f"it used {self.memory_bytes / 1e6:.1f} MB of {memory / 1e6:g} MB")
        share = budget.cpu_share
        if share is not None and not by.get("cpu_share") and self.cpu_share > share * SLACK:
            out.append(f"it used {self.cpu_share:.2f} cores, which nothing prevented")
        if budget.watts is not None and (self.watts is None or self.watts > budget.watts):
            out.append(f"{self.watts or 0:.2f} W modelled, more than {budget.watts:g} W")
        return out

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per limit: asked, held by, used."""
        used = {
            "memory_mb": self.memory_bytes / 1e6,
            "cpu_share": self.cpu_share,
            "threads": None,
            "watts": self.watts,
        }
        return [
            {
                "limit": h.limit,
                "asked": h.asked,
                "held by": h.mechanism or "nothing",
                "set": h.value,
                "used": used[h.limit],
                "note": h.note,
            }
            for h in self.held
        ]

    def text(self) -> str:
        """Return the report for a terminal."""
        lines = [f"{self.end}: {ENDS[self.end]}"]
        for row in self.rows():
            used = "" if row["used"] is None else f", used {row['used']:.3g}"
            note = f" ({row['note']})" if row["note"] else ""
            lines.append(
                f"{row['limit']:<10} asked {row['asked']:g}, held by {row['held by']}{used}{note}"
            )
        if self.throttled is not None:
            t = self.throttled
            lines.append(
                f"throttled in {t['throttled']:.0f} of {t['periods']:.0f} periods, {t['seconds']:.2f} s in all"
            )
        lines.append(f"{self.cpu_seconds:.2f} s of processor time in {self.wall_seconds:.2f} s")
        lines += [f"not passed: {reason}" for reason in self.reasons]
        return "\n".join(lines)


def _amount(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and value >= 0
