"""A lossy codec between the sides: pictures stored as JPEG or WebP and read again, before the geometry or behind it."""

from __future__ import annotations

from typing import NamedTuple

from facelab.fingerprint.model._linear_fit import Linear
from facelab.fingerprint.model._observed import Observed
from facelab.fingerprint.model._pipeline_state import State
from facelab.fingerprint.probes._cache import LARGE

QUALITIES = (30, 50, 65, 75, 85, 90, 95, 98)
STEPS = (5, 3, 2, 1)
HOPELESS = 12.0
"""Levels RMS about the best of the coarse qualities beyond which no codec is the cause."""
MOST = 1.5
"""How many times the budget may have been spent before this is tried."""
WEBP = (50, 75, 80, 90)


class Recompressed(NamedTuple):
    """The codec, its quality, where it stands, the pipeline with it, and what it leaves."""

    codec: str
    quality: int
    place: str
    state: State
    linear: Linear

    def words(self) -> str:
        """Return it in words."""
        place = "before the geometry" if self.place == "head" else "behind the geometry"
        return f"recompressed as {self.codec}, quality about {self.quality}, {place}"


def recompressed(observed: Observed, state: State) -> Recompressed | None:
    """Return the codec that explains the samples best."""
    names = [n for n in observed.screen if n != LARGE][:2]
    places = ("tail", "head")
    if observed.budget.spent > MOST * observed.budget.total:
        return None

    def tried(codec: str, quality: int, place: str, subsampling: int = 2) -> Recompressed:
        t = ("recompressed", (codec, quality, subsampling))
        tones = (*state.head, t) if place == "head" else (t, *state.tail)
        trial = state._replace(**{place: tones})
        return Recompressed(codec, quality, place, trial, observed.score(trial, names))

    first = [tried("JPEG", q, place) for place in places for q in QUALITIES]
    first += [tried("JPEG", q, place, 0) for place in places for q in (75, 90, 95)]
    first += [tried("WEBP", q, "tail") for q in WEBP]
    best = min(first, key=lambda r: r.linear.loss)
    if best.linear.loss > HOPELESS:
        return None
    subsampling = next(
        t[1][2] for t in (*best.state.head, *best.state.tail) if t[0] == "recompressed"
    )
    for step in STEPS:
        for quality in (best.quality - step, best.quality + step):
            if 1 <= quality <= 100:
                other = tried(best.codec, quality, best.place, subsampling)
                best = min(best, other, key=lambda r: r.linear.loss)
    return best._replace(linear=observed.score(best.state, observed.plain, full=True))
