"""Evidence from a running pipeline: latency traces, memory verdicts, budget reports, liveness evaluations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.budget.internals import BudgetReport
from facelab.core.errors import BadInputError
from facelab.core.files import read_json
from facelab.core.records import Record
from facelab.tracing import load
from facelab.tracing.internals import VERDICTS

LATENCY, MEMORY = "facelab.latency/1", "facelab.memory/1"
BUDGET = "facelab.budget-report/1"
SCHEMAS = (LATENCY, MEMORY, BUDGET)
LEAST_CALLS = 20
LARGEST = 64 << 20


@dataclass(frozen=True)
class MemoryVerdict:
    """What a watched run said about its memory: the verdict's name, whether it is a leak, its sentence, the frames."""

    name: str
    leak: bool
    what: str
    frames: int

    @property
    def fix(self) -> str:
        """What to do about it."""
        return VERDICTS[self.name].fix


@dataclass(frozen=True)
class BudgetVerdict:
    """How a budgeted run ended and why it broke its budget (empty: it did not), recomputed from its figures."""

    name: str
    end: str
    reasons: tuple[str, ...]
    held_by: str


@dataclass(frozen=True)
class RunEvidence:
    """Seconds of every call (n,), peak memory in bytes, the verdict, and where it was measured; None where unknown."""

    device: str
    seconds: np.ndarray | None = None
    memory: int | None = None
    verdict: MemoryVerdict | None = None
    budget: BudgetVerdict | None = None


def is_run_evidence(path: str | os.PathLike) -> bool:
    """Return whether a file is a trace, or says that it is a latency, memory or budget document."""
    if Path(path).suffix == ".npz":
        return True
    try:
        with Path(path).open("rb") as f:
            head = f.read(200)
    except OSError:
        return False
    return any(f'"{schema}"'.encode() in head for schema in SCHEMAS)


def read(path: str | os.PathLike) -> RunEvidence:
    """Read a trace (.npz), or the JSON of `facelab trace show`, `facelab memory run` or `facelab budget run`.

    Raises BadInputError naming the key that is missing or out of range.
    """
    if Path(path).suffix == ".npz":
        trace = load(path)
        found = trace.stages()
        return RunEvidence(_device(found.machine), _calls(found.calls * 1e3, path))
    value = read_json(path, max_bytes=LARGEST)
    device = _device(value.get("machine"))
    if value.get("schema") == LATENCY:
        return RunEvidence(device, _calls(value.get("latency_ms"), path))
    if value.get("schema") == BUDGET:
        return _budget(value, device, path)
    return _memory(value, device, path)


def _device(machine: Any) -> str:
    name = machine.get("cpu") if isinstance(machine, dict) else None
    return name if isinstance(name, str) and name else "unnamed device"


def _calls(times: Sequence[float] | np.ndarray | None, path: object) -> np.ndarray:
    found = np.asarray(times if times is not None else [], object)
    plain = all(isinstance(t, (int, float)) and not isinstance(t, bool) for t in found.tolist())
    if found.ndim != 1 or not plain or len(found) < LEAST_CALLS:
        raise BadInputError(
            "the trace holds too few calls for percentiles",
            where=path,
            expected=f"at least {LEAST_CALLS} calls",
            got=f"{found.size} values",
            fix="trace more frames: facelab trace run --frames 300",
        )
    seconds = found.astype(np.float64) / 1e3
    if not (np.isfinite(seconds).all() and (seconds > 0).all()):
        raise BadInputError(
            "the trace holds calls that took no time",
            where=path,
            expected="positive, finite durations",
            got=f"{seconds.min() * 1e3} ms",
            fix="record the trace again",
        )
    return seconds


def _memory(value: dict[str, Any], device: str, path: object) -> RunEvidence:
    name, peak, frames = value.get("verdict"), value.get("peak_rss_mb"), value.get("frames")
    if (
        not isinstance(name, str)
        or name not in VERDICTS
        or isinstance(peak, bool)
        or not isinstance(peak, (int, float))
        or not 0 < peak < 1e9
        or not isinstance(frames, int)
        or isinstance(frames, bool)
    ):
        raise BadInputError(
            "the file is not a verdict about memory",
            where=path,
            expected=f"a verdict ({', '.join(VERDICTS)}), peak_rss_mb > 0, frames",
            got=f"{name!r}, {peak!r}, {frames!r}"[:120],
            fix="write it with: facelab memory run --out memory.json",
        )
    # whether it is a leak follows from the name: a document that says otherwise is not believed
    verdict = MemoryVerdict(name, VERDICTS[name].leak, str(value.get("what", ""))[:400], frames)
    return RunEvidence(device, None, round(peak * 1e6), verdict)


def _budget(value: dict[str, Any], device: str, path: object) -> RunEvidence:
    """Read a budget report; whether it passed follows from its figures, and not from what it says of itself."""
    try:
        report = BudgetReport.from_dict(value)
    except (BadInputError, TypeError, ValueError, KeyError) as e:
        raise BadInputError(
            "the file is not the report of a budgeted run",
            where=path,
            expected="what facelab budget run --out wrote",
            got=f"{type(e).__name__}: {e}".splitlines()[0][:160],
            fix="write it with: facelab budget run BUDGET --out report.json -- COMMAND",
        ) from None
    memory = [h.mechanism or "nothing" for h in report.held if h.limit == "memory_mb"]
    held = memory[0] if memory else "no limit"
    verdict = BudgetVerdict(
        str(report.budget.get("name", "budget"))[:80], report.end, tuple(report.broken()), held
    )
    return RunEvidence(device, None, report.memory_bytes or None, None, verdict)


def records_of(value: dict[str, Any], path: object) -> list[Record]:
    """Return the figures of a latency, memory or budget document as records that name their machine."""
    machine = value.get("machine") if isinstance(value.get("machine"), dict) else {}
    if value["schema"] == BUDGET:
        run = _budget(value, _device(machine), path)
        assert run.budget is not None
        broken, end = int(bool(run.budget.reasons)), run.budget.end
        made = [_record("budget", "broken", broken, "", 1, machine, note=end)]
        if run.memory is not None:
            made.append(_record("budget", "peak memory", run.memory / 1e6, "MB", 1, machine))
        return made
    if value["schema"] == MEMORY:
        found = _memory(value, _device(machine), path)
        assert found.verdict is not None and found.memory is not None
        case, n = "memory", found.verdict.frames
        peak, leak = found.memory / 1e6, int(found.verdict.leak)
        return [
            _record(case, "peak RSS", peak, "MB", n, machine),
            _record(case, "leak", leak, "", n, machine, note=found.verdict.name),
        ]
    out = []
    for row in value.get("stages", []):
        try:
            for metric in ("p50", "p90", "p99"):
                ms = [None if v is None else float(v) * 1e3 for v in row[metric]]
                name, n = str(row["name"]), int(row["n"])
                made = _record(name, f"latency {metric.upper()}", ms[0], "ms", n, machine)
                made.lo, made.hi = ms[1], ms[2]
                out.append(made)
        except (KeyError, TypeError, ValueError, IndexError) as e:
            raise BadInputError(
                "a stage of the latency document cannot be read",
                where=path,
                expected="name, n, and [value, lo, hi] for p50, p90 and p99",
                got=f"{type(e).__name__} in {str(row)[:80]}",
                fix="write it with: facelab trace show TRACE --json",
            ) from None
    return out


def _record(
    case: str,
    metric: str,
    value: float | None,
    unit: str,
    n: int,
    machine: Any,
    note: str | None = None,
) -> Record:
    return Record(
        run="evidence",
        step="trace",
        case=case,
        metric=metric,
        value=value,
        unit=unit,
        better="lower",
        n=n,
        machine=machine,
        note=note,
    )
