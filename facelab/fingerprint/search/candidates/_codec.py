"""A lossy codec between the sides: pictures stored as JPEG or WebP and read again, before the geometry or behind it."""

from __future__ import annotations

from typing import NamedTuple

from facelab.fingerprint.model._linear_fit import Linear
from facelab.fingerprint.model._observed import Observed
from facelab.fingerprint.model._pipeline_state import State
from facelab.fingerprint.probes._cache import LARGE

QUALITIES = range(20, 101)
"""Each is tried: the loss has no slope towards the right one, whose table alone fits."""
COMMON = (30, 40, 50, 60, 70, 75, 80, 85, 90, 92, 95, 98, 100)
HOPELESS = 12.0
"""Levels RMS about the best of the coarse qualities beyond which no codec is the cause."""
MOST = 1.5
"""How many times the budget may have been spent before this is tried."""
WEBP = (40, 50, 60, 70, 75, 80, 85, 90, 95)


class Recompressed(NamedTuple):
    """The codec, its quality, where it stands, the pipeline with it, and what it leaves."""

    codec: str
    quality: int
    place: str
    subsampling: int
    state: State
    linear: Linear

    def words(self) -> str:
        """Return it in words."""
        place = "before the geometry" if self.place == "head" else "behind the geometry"
        return f"recompressed as {self.codec}, quality about {self.quality}, {place}"


def recompressed(observed: Observed, state: State) -> Recompressed | None:
    """Return the codec that explains the samples best."""
    several = [n for n in observed.colourful if n != LARGE]
    names = several[-1:]
    if observed.budget.spent > MOST * observed.budget.total:
        return None

    def tried(codec: str, quality: int, place: str, subsampling: int = 2) -> Recompressed:
        t = ("recompressed", (codec, quality, subsampling))
        tones = (*state.head, t) if place == "head" else (t, *state.tail)
        trial = state._replace(**{place: tones})
        return Recompressed(codec, quality, place, subsampling, trial, observed.score(trial, names))

    first = [tried("JPEG", q, "tail") for q in QUALITIES]
    first += [tried("JPEG", q, "head") for q in COMMON]
    first += [tried("JPEG", q, place, 0) for place in ("tail", "head") for q in COMMON]
    first += [tried("WEBP", q, place) for place in ("tail", "head") for q in WEBP]
    best = min(first, key=lambda r: r.linear.loss)
    if best.codec == "WEBP":
        q, place = best.quality, best.place
        names = several  # a rounding before it turns many of its choices, so that one picture tells little
        near = [tried("WEBP", q + d, place) for d in range(-5, 6)]
        best = min(near, key=lambda r: r.linear.loss)
    if best.linear.loss > HOPELESS:
        return None
    if best.place == "head" and best.codec == "JPEG":
        q, kind = best.quality, best.subsampling
        near = [tried("JPEG", q + d, "head", kind) for d in (-2, -1, 1, 2) if q + d <= 100]
        best = min([best, *near], key=lambda r: r.linear.loss)
    return best._replace(linear=observed.score(best.state, observed.plain, full=True))
