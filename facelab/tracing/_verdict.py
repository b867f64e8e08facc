"""One verdict about memory, by rules from the most to the least specific."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from facelab.tracing import _census
from facelab.tracing._census import Census
from facelab.tracing._growth import Growth, growth

MB = 1_000_000
LEAST_BYTES = 256 * 1024
"""Growth after settling below which nothing is called a leak."""
LEAST_WARM = 2 * MB
LEAST_KEPT = 8 * MB
"""Bytes that the allocator must have kept, and given back when trimmed, for `retention`; also 5 % of RSS."""
LEAST_BLOCKS = 5000
LEAST_COUNT = 3
BLOCK_BYTES = 50
"""What a small Python object costs at least: 5000 of them are LEAST_BYTES."""


class Meaning(NamedTuple):
    """Whether a verdict is a leak, and what to do about it."""

    leak: bool
    fix: str


VERDICTS = {
    "no growth": Meaning(False, ""),
    "warm-up": Meaning(False, "nothing: memory grew first and then stayed"),
    "retention": Meaning(
        False, "facelab.core.allocator.pin_mmap_threshold() before swaps, or trim() after them"
    ),
    "native leak": Meaning(True, "facelab.tracing.allocating_lines names the line (memray)"),
    "Python objects": Meaning(True, "look for a list or dict that only grows"),
    "held array": Meaning(True, "drop the arrays, or keep a bounded number"),
    "session held by a NodeArg": Meaning(
        True, "keep names and shapes of inputs, not what get_inputs() returns"
    ),
    "held sessions": Meaning(True, "drop the old session after a swap"),
    "threads": Meaning(True, "join threads, or use a pool of fixed size"),
    "descriptors": Meaning(True, "close files, sockets and pipes: use `with`"),
}
"""Verdict → whether it is a leak, and the fix."""


@dataclass(frozen=True)
class Verdict:
    """A name of `VERDICTS`, a sentence, bytes per frame with their interval, and the smallest visible leak."""

    name: str
    what: str
    slope: float
    lo: float
    hi: float
    visible: float


class Evidence(NamedTuple):
    """Readings, the reading where they had settled, two censuses, and RSS before and after a trim."""

    readings: dict[str, np.ndarray]
    settled: int
    before: Census
    after: Census
    rss: int
    trimmed: int

    def growth(self, name: str, least: float) -> Growth:
        """Return how one series grows after settling."""
        frame, value = self.readings["frame"], self.readings[name]
        return growth(frame[self.settled :], value[self.settled :], least=least)


def decide(e: Evidence) -> Verdict:
    """Return the verdict; the first rule that holds decides."""
    native = e.growth("in_use", LEAST_BYTES)
    mapped = e.growth("anonymous", LEAST_BYTES)
    blocks = e.growth("blocks", LEAST_BLOCKS)
    main = native if native.sustained or not mapped.sustained else mapped
    found = _counts(e) or _sessions(e) or _bytes(e, native, mapped, blocks) or _no_leak(e)
    visible = max(native.visible, min(blocks.visible * BLOCK_BYTES, mapped.visible))
    return Verdict(found[0], found[1], main.slope, main.lo, main.hi, visible)


def _counts(e: Evidence) -> tuple[str, str] | None:
    threads, files = e.growth("threads", LEAST_COUNT), e.growth("descriptors", LEAST_COUNT)
    if threads.sustained:
        new = _new(e.before.threads, e.after.threads)
        return "threads", f"{threads.total:.0f} more threads, {threads.slope:.3g} per frame{new}"
    if files.sustained:
        new = _new(e.before.files, e.after.files)
        return "descriptors", f"{files.total:.0f} more open files, {files.slope:.3g} per frame{new}"
    return None


def _new(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    fresh = sorted(set(after) - set(before))
    return f": {', '.join(fresh[:3])}" + (" …" if len(fresh) > 3 else "") if fresh else ""


def _sessions(e: Evidence) -> tuple[str, str] | None:
    orphans = e.after.orphans - e.before.orphans
    if orphans > 0:
        return (
            "session held by a NodeArg",
            f"{orphans} inputs or outputs outlive their closed session, and keep its weights in memory",
        )
    sessions = e.after.sessions - e.before.sessions
    if sessions > 0:
        return "held sessions", f"{sessions} more inference sessions are alive"
    return None


def _bytes(e: Evidence, native: Growth, mapped: Growth, blocks: Growth) -> tuple[str, str] | None:
    if not (native.sustained or mapped.sustained or blocks.sustained):
        return None
    if mapped.sustained and not native.sustained and not blocks.sustained:
        return _mapped(e, mapped)
    arrays = e.after.array_bytes - e.before.array_bytes
    size = max(native.total if native.sustained else 0, LEAST_BYTES)
    if arrays >= 0.5 * size:
        return "held array", _arrays(e)
    objects = e.after.object_bytes - e.before.object_bytes
    if blocks.sustained and (objects >= 0.5 * size or not native.sustained):
        return "Python objects", f"{blocks.total:.0f} more blocks{_types(e)}"
    if native.sustained:
        return (
            "native leak",
            f"malloc handed out {native.total / MB:.1f} MB more than it got back, "
            f"{native.slope:.0f} bytes per frame; no Python object holds it",
        )
    return None


def _mapped(e: Evidence, mapped: Growth) -> tuple[str, str] | None:
    """RSS grew and malloc's use did not: kept by the allocator, or mapped past it."""
    if e.rss - e.trimmed >= 0.5 * mapped.total:
        return None
    return (
        "native leak",
        f"{mapped.total / MB:.1f} MB were mapped without malloc, {mapped.slope:.0f} bytes per frame",
    )


def _arrays(e: Evidence) -> str:
    grown = {
        k: (n - e.before.arrays.get(k, (0, 0))[0], size - e.before.arrays.get(k, (0, 0))[1])
        for k, (n, size) in e.after.arrays.items()
    }
    key = max(grown, key=lambda k: grown[k][1])
    held = _census.holder(key)
    return f"{grown[key][0]} more arrays {key}, {grown[key][1] / MB:.1f} MB" + (
        f", in {held}" if held else ""
    )


def _types(e: Evidence) -> str:
    grown = {k: n - e.before.types.get(k, 0) for k, n in e.after.types.items()}
    key = max(grown, key=lambda k: grown[k])
    return f", most of type {key} ({grown[key]} more)" if grown[key] > 0 else ""


def _no_leak(e: Evidence) -> tuple[str, str]:
    rss = e.readings["rss"]
    grew, kept = e.rss - float(rss[0]), e.rss - e.trimmed
    much = max(LEAST_KEPT, 0.05 * e.rss)
    if grew >= much and kept >= max(much, 0.5 * grew):
        return (
            "retention",
            f"RSS grew by {grew / MB:.0f} MB, of which a trim returned {kept / MB:.0f} MB: freed memory that the "
            "allocator kept",
        )
    if grew >= LEAST_WARM:
        return "warm-up", f"RSS grew by {grew / MB:.1f} MB and then stayed"
    return "no growth", f"RSS changed by {grew / MB:+.1f} MB"
