"""Measure the diagnosis: every planted mistake in every base pipeline, with and without the training side's spec."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable

from facelab.fingerprint import Fingerprint, compare
from facelab.studies.planted import _pipelines as planted
from facelab.studies.planted._pipelines import BASES, HARMLESS, PAIRS, SINGLES, Planted

SIDES = ("spec", "black box")
"""What the training side gives: its spec, or only its tensors. The inference side never gives more than tensors."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison: `group` is single, pair or harmless; `wanted` holds, for each mistake planted, the kinds that
    count as its name; `found` the kinds named, first first."""

    base: str
    side: str
    group: str
    mistakes: tuple[str, ...]
    wanted: tuple[tuple[str, ...], ...]
    verdict: str
    found: tuple[str, ...]
    explained: float | None
    seconds: float

    @property
    def right(self) -> bool:
        """Harmless: no mismatch. Single: a mismatch whose first kind is the planted one. Pair: both kinds named."""
        if self.group == "harmless":
            return self.verdict != "mismatch"
        if self.verdict != "mismatch" or not self.found:
            return False
        if self.group == "single":
            return self.found[0] in self.wanted[0]
        return all(any(k in self.found for k in kinds) for kinds in self.wanted)

    def to_dict(self) -> dict:
        """Return the row as plain JSON."""
        return {**dataclasses.asdict(self), "right": self.right}


def cases(base: str, *, every: int = 1) -> list[tuple[str, tuple[Planted, ...]]]:
    """Return (group, mistakes) for one base; `every` keeps each n-th of a group, for a quick look."""
    by_name = {m.name: m for m in SINGLES}
    pairs = [(by_name[a], by_name[b]) for a, b in PAIRS]
    groups = {
        "harmless": [(m,) for m in HARMLESS],
        "single": [(m,) for m in SINGLES],
        "pair": pairs,
    }
    offset = list(BASES).index(base)
    return [
        (group, c)
        for group, all_cases in groups.items()
        for c in [c for c in all_cases if all(m.suits(base) for m in c)][offset % every :: every]
    ]


def run_matrix(
    bases: Iterable[str] = tuple(BASES),
    *,
    sides: Iterable[str] = SIDES,
    every: int = 1,
    black_box: Callable[..., Fingerprint] = planted.black_box,
) -> list[Row]:
    """Compare every planted case of every base and return the rows."""
    rows = []
    for base in bases:
        trains = {
            side: planted.documented(base) if side == "spec" else black_box(base) for side in sides
        }
        for group, mistakes in cases(base, every=every):
            infer = black_box(base, *mistakes)
            for side, train in trains.items():
                started = time.perf_counter()
                c = compare(train, infer)
                rows.append(
                    Row(
                        base,
                        side,
                        group,
                        tuple(m.name for m in mistakes),
                        tuple(m.kinds for m in mistakes),
                        c.verdict,
                        tuple(f.kind for f in c.findings),
                        c.explained,
                        time.perf_counter() - started,
                    )
                )
    return rows


def shares(rows: list[Row]) -> dict[str, tuple[int, int]]:
    """Return group → (right, all)."""
    return {
        g: (sum(r.right for r in rows if r.group == g), sum(r.group == g for r in rows))
        for g in ("single", "pair", "harmless")
    }
