"""Join two runs' records by (step, case, metric) and say what got better or worse beyond noise."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from facelab.core import machine, records
from facelab.core.errors import BadInputError
from facelab.core.escape import line
from facelab.core.records import Record
from facelab.core.wording import number, span

Verdict = Literal["worse", "better", "changed", "same", "not comparable", "gone", "new"]
ORDER: tuple[Verdict, ...] = ("worse", "gone", "better", "changed", "new", "not comparable", "same")

ROUNDING = 1e-6
"""Relative difference below which two figures without an interval are one: float32 sums in another order."""
TIMING_FACTOR = 0.05
"""A timing must differ by this much besides having disjoint intervals (asv's rule: statistics and a factor)."""
TIMING_FACTOR_BARE = 0.20
"""The same for timings that carry no interval, whose noise is unknown."""

_TIMING_UNITS = ("s", "ms", "us", "µs", "ns", "min", "/s", "1/s", "fps", "Hz", "FLOP/s", "B/s", "x")


@dataclass
class Row:
    """One figure in two runs. `change` is relative to A where that makes sense; `why` says how noise was judged."""

    step: str
    case: str
    metric: str
    verdict: Verdict
    why: str
    unit: str = ""
    better: str = "none"
    a: Any = None
    b: Any = None
    a_interval: tuple[float, float] | None = None
    b_interval: tuple[float, float] | None = None
    change: float | None = None
    budget: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain JSON."""
        return asdict(self)


class NothingRecorded(BadInputError):
    """A run whose steps recorded no figure, such as one that failed at once."""


def load(path: Path) -> tuple[list[Record], dict[str, Any] | None]:
    """Return (records, machine facts or None) of a run's folder, a step's folder or a `.jsonl` file.

    Raises NothingRecorded (a BadInputError) if there are no records.
    """
    path = Path(path)
    if path.is_file():
        return _some(records.read(path), path), None
    own = path / "records.jsonl"
    files = [own] if own.is_file() else sorted(path.glob("*/records.jsonl"))
    if not files:
        raise NothingRecorded(
            "the folder holds no records",
            where=path,
            expected="records.jsonl",
            fix="name a run of `facelab reproduce`, or latest or previous",
        )
    try:
        facts = json.loads((path / "run.json").read_text(encoding="utf-8")).get("machine")
    except (OSError, ValueError, AttributeError):
        facts = None
    return _some([r for f in files for r in records.read(f)], path), facts


def _some(found: list[Record], path: Path) -> list[Record]:
    if not found:  # against nothing, nothing got worse
        raise NothingRecorded(
            "there are no records to compare",
            where=path,
            expected="at least one record",
            got="an empty file",
            fix="the run may have failed: look at its report, or run it again",
        )
    return found


def is_timing(record: Record) -> bool:
    """Return whether a figure depends on the machine: it carries one, or its unit is of time or speed."""
    return record.machine is not None or record.unit in _TIMING_UNITS or record.unit.endswith("/s")


def compare(
    a: list[Record],
    b: list[Record],
    *,
    machine_a: dict[str, Any] | None = None,
    machine_b: dict[str, Any] | None = None,
) -> list[Row]:
    """Return a row for each figure of either run, the worst first.

    `machine_a` and `machine_b` stand in for timings that carry no machine. Where a run has a figure
    twice, its last counts.
    """
    first, second = {r.key: r for r in a}, {r.key: r for r in b}
    rows: list[Row] = []
    for key in {**first, **second}:
        before, now = first.get(key), second.get(key)
        if before is None or now is None:
            present = now if before is None else before
            assert present is not None  # one of the two has the key
            rows.append(
                Row(
                    *key,
                    "new" if before is None else "gone",
                    f"only in {'B' if before is None else 'A'}",
                    present.unit,
                    present.better,
                    before and before.value,
                    now and now.value,
                )
            )
        else:
            rows.append(_row(before, now, machine_a, machine_b))
    return sorted(rows, key=lambda r: (ORDER.index(r.verdict), r.step))


def _row(
    a: Record, b: Record, machine_a: dict[str, Any] | None, machine_b: dict[str, Any] | None
) -> Row:
    row = Row(
        *a.key,
        "same",
        "equal",
        b.unit,
        b.better,
        a.value,
        b.value,
        _interval(a),
        _interval(b),
        budget=b.budget or a.budget,
    )
    values = _numbers(a, b)
    if values is not None and values[0]:
        row.change = (values[1] - values[0]) / abs(values[0])
    if a.unit != b.unit:
        row.verdict, row.why = (
            "not comparable",
            f"the unit changed: {a.unit or 'none'} → {b.unit or 'none'}",
        )
        return row
    timing = is_timing(a) or is_timing(b)
    if timing and not machine.same_machine(a.machine or machine_a, b.machine or machine_b):
        row.verdict, row.why = (
            "not comparable",
            "a timing, and the machines differ or are not known",
        )
        return row
    if values is None:
        differs, row.why = a.value != b.value, "compared as it stands"
    else:
        differs, row.why = _beyond_noise(values, (_interval(a), _interval(b)), timing)
    if differs:
        row.verdict = _direction(a, b, values)
    if a.passed != b.passed and None not in (a.passed, b.passed) and a.budget == b.budget:
        row.verdict = "better" if b.passed else "worse"
        row.why += f"; the budget {b.budget} is now {'met' if b.passed else 'missed'}"
    return row


def _interval(r: Record) -> tuple[float, float] | None:
    return None if r.lo is None or r.hi is None else (float(r.lo), float(r.hi))


def _numbers(a: Record, b: Record) -> tuple[float, float] | None:
    """Return both values if both are numbers, else None."""
    x, y = a.value, b.value
    if isinstance(x, bool) or isinstance(y, bool):
        return None
    return (x, y) if isinstance(x, (int, float)) and isinstance(y, (int, float)) else None


def _beyond_noise(
    values: tuple[float, float],
    intervals: tuple[tuple[float, float] | None, tuple[float, float] | None],
    timing: bool,
) -> tuple[bool, str]:
    before, now = values
    if math.isclose(before, now, rel_tol=ROUNDING, abs_tol=1e-12):
        return False, "equal"
    change = abs(now - before) / abs(before) if before else math.inf
    left, right = intervals
    if left is None and right is None:
        if timing:
            return (
                change > TIMING_FACTOR_BARE,
                f"no intervals: a change above {TIMING_FACTOR_BARE:.0%} counts",
            )
        return True, "no intervals: any change counts"
    left, right = left or (before, before), right or (now, now)
    apart = left[1] < right[0] or right[1] < left[0]
    if timing and apart and change <= TIMING_FACTOR:
        return False, f"the intervals are disjoint, but the change is below {TIMING_FACTOR:.0%}"
    return apart, "the 95 % intervals are disjoint" if apart else "the 95 % intervals overlap"


def _direction(a: Record, b: Record, values: tuple[float, float] | None) -> Verdict:
    better = b.better if b.better != "none" else a.better
    if better == "none" or values is None:
        if isinstance(a.value, bool) and isinstance(b.value, bool) and better != "none":
            return "better" if b.value == (better == "higher") else "worse"
        return "changed"
    return "better" if (values[1] > values[0]) == (better == "higher") else "worse"


def summary(rows: list[Row]) -> dict[str, int]:
    """Return how many rows have each verdict."""
    return {verdict: sum(r.verdict == verdict for r in rows) for verdict in ORDER}


def text(rows: list[Row], name_a: str, name_b: str) -> str:
    """Return the comparison for a terminal: what differs, then the counts."""
    lines = [f"A = {line(name_a)}", f"B = {line(name_b)}"]
    for row in rows:
        if row.verdict == "same":
            continue
        differs = row.change is not None and row.verdict in ("worse", "better", "changed")
        change = f" ({row.change:+.1%})" if differs else ""
        left = f"{number(row.a)} {span(*(row.a_interval or (None, None)))}".strip()
        right = f"{number(row.b)} {span(*(row.b_interval or (None, None)))}".strip()
        named = line(f"{row.step} · {row.case} · {row.metric}")
        figure = f"{named}: {line(left)} → {line(right)} {line(row.unit)}".rstrip()
        lines += [f"{row.verdict.upper():<15} {figure}{change}", f"{'':<15} {line(row.why)}"]
    counts = ", ".join(f"{n} {verdict}" for verdict, n in summary(rows).items() if n)
    return "\n".join([*lines, counts or "no figures to compare"])
