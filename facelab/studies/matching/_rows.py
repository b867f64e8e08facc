"""What was measured: a row per contender and shape, as a record, as JSON and as a text table."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from facelab.core import machine, timing
from facelab.core.records import Record

VERSIONS = ("numpy", "scipy", "scikit-learn", "faiss-cpu", "usearch", "numkong", "numba")


@dataclass
class Row:
    """One contender at one shape: seconds of every round, and how right its answers were."""

    case: str
    name: str
    samples: np.ndarray
    correct: bool
    error: float | None
    recall: float | None
    exact: bool = True
    threads: int = 1
    shape: dict = field(default_factory=dict)
    note: str = ""
    prepare_s: float | None = None
    blas: str = ""

    @property
    def seconds(self) -> float:
        """Return the median time of a call."""
        return float(np.median(self.samples))

    @property
    def warning(self) -> str | None:
        """Return why the time is not to be trusted, or None."""
        return timing.summarise(self.samples).warning or (
            "one call only" if len(self.samples) == 1 else None
        )


def with_threads(threads: int) -> str:
    """Return what a case's name says of threads: nothing of one.

    >>> with_threads(1), with_threads(2)
    ('', ', 2 threads')
    """
    return f", {threads} threads" if threads > 1 else ""


def as_record(row: Row, *, run: str, step: str) -> Record:
    """Return a row as a record: median seconds with its interval, the error beside the speed, machine and warning."""
    s = timing.summarise(row.samples)
    note = f"{row.shape} {row.note}".strip()
    note += f"; recall {row.recall:.4f}" if row.recall is not None else ""
    note += f"; {row.blas}" if row.blas else ""
    return Record(
        run=run,
        step=step,
        case=row.case,
        metric=f"{row.name}, {row.threads} thread(s)",
        value=s.p50,
        unit="s",
        better="lower",
        lo=s.lo,
        hi=s.hi,
        n=s.n,
        method="median of interleaved rounds",
        error=row.error,
        warning=row.warning,
        passed=row.correct,
        machine={**machine.facts(threads=row.threads, versions=VERSIONS), "blas": blas_facts()},
        note=note,
    )


def blas_facts() -> list[dict]:
    """Return which BLAS each library brought, its version, and for which core its kernels were chosen.

    The environment may override that choice (OPENBLAS_CORETYPE), and each library carries its own copy: a figure
    for "BLAS" means nothing without it.
    """
    from threadpoolctl import threadpool_info

    return [
        {
            "library": i["filepath"].replace("\\", "/").split("/")[-1],
            "version": i.get("version"),
            "core": i.get("architecture"),
        }
        for i in threadpool_info()
        if i["user_api"] == "blas"
    ]


def as_dict(row: Row) -> dict:
    """Return a row as plain JSON."""
    s = timing.summarise(row.samples)
    return {
        "case": row.case,
        "name": row.name,
        "exact": row.exact,
        "correct": row.correct,
        "recall": row.recall,
        "largest_relative_error": row.error,
        "threads": row.threads,
        "prepare_s": row.prepare_s,
        "blas": row.blas,
        "median_s": s.p50,
        "lo_s": s.lo,
        "hi_s": s.hi,
        "rounds": s.n,
        "warning": row.warning,
        "samples_s": row.samples.tolist(),
        "note": row.note,
    }


def table(rows: list[Row]) -> str:
    """Return rows as a text table, fastest first within a case; the error or recall is beside the speed."""
    lines = []
    for case in dict.fromkeys(r.case for r in rows):
        lines += [case, f"  {'':<22}{'median':>11}{'× fastest':>11}  answers"]
        mine = sorted((r for r in rows if r.case == case), key=lambda r: r.seconds)
        for r in mine:
            said = (
                f"error {r.error:.1e}"
                if r.error is not None
                else ""
                if r.recall is None
                else ("exact" if r.exact and r.correct else f"recall {r.recall:.3f}")
            )
            said += "" if r.correct else "  WRONG"
            said += f"  ({r.warning.split(':')[0]})" if r.warning else ""
            said += f"  [{r.blas}]" if r.blas else ""
            lines.append(
                f"  {r.name:<22}{r.seconds * 1e3:>9.3f}ms{r.seconds / mine[0].seconds:>11.2f}  {said}"
            )
    return "\n".join(lines)
