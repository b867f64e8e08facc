"""Pairs of preprocessing functions rebuilt from public reports, and what comparing them may say.

A row: pair | training side | inference side | kinds of which one must be named | kinds that may be named beside it |
probes | where such a pair is reported. An empty fourth field means that both sides do the same, so that any mismatch is
a false accusation. `equal` among the kinds allows that no mismatch is found; `unknown` that no cause is.

`KEPT` was drawn at random before any pair was run: these rows were run once after everything else was fixed.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

ROWS = Path(__file__).with_name("rows.txt")


class Pair(NamedTuple):
    """One row of the table."""

    name: str
    train: str
    infer: str
    must: frozenset[str]
    may: frozenset[str]
    probes: str
    source: str

    @property
    def same(self) -> bool:
        """Whether both sides do the same."""
        return not self.must


def _pair(line: str) -> Pair:
    name, train, infer, must, may, probes, source = (v.strip() for v in line.split("|"))
    return Pair(name, train, infer, frozenset(must.split()), frozenset(may.split()), probes, source)


PAIRS = tuple(_pair(line) for line in ROWS.read_text(encoding="utf-8").splitlines())
SEED = 20261127
LATER = ("n", "a", "b", "d", "e", "h", "i", "j", "k", "l", "m", "q")
"""Rows that were collected after the search had been changed for the others, and run once before it was changed again:
n first, then a01 to b51, then a31 to d26, then e, then h, then i, j beside i
but run after everything else, then k, then l, then m, then q."""
FIXED_AGAINST = 85
"""This many pairs were looked at while the search was changed; the others were kept aside."""


def _drawn() -> frozenset[str]:
    names = sorted(p.name for p in PAIRS if not p.name.startswith(LATER))
    random.Random(SEED).shuffle(names)
    return frozenset(names[FIXED_AGAINST:])


KEPT = _drawn()


def outcome(pair: Pair, verdict: str, kinds: list[str]) -> str:
    """Return right, unknown (no cause named), missed (a difference not seen) or false (a wrong accusation)."""
    good = verdict in ("identical", "equivalent")
    if pair.same:
        return "right" if good else "false"
    if good:
        return "right" if "equal" in pair.must else "missed"
    if any(k not in pair.must | pair.may | {"unknown"} for k in kinds):
        return "false"
    return "right" if pair.must & set(kinds) else "unknown"
