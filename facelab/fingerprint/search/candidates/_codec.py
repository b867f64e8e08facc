"""A lossy codec between the sides: pictures stored as JPEG or WebP and read again, before the geometry or behind it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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
BEYOND = 2.0
"""How many times what the coarsest JPEG changes a picture may differ for a codec to be looked for."""
CHROMA = 2
"""Chroma at half its width and height, as Pillow numbers it."""
WEBP = (40, 50, 60, 70, 75, 80, 85, 90, 95)
TRIALS = (
    *(("JPEG", COMMON, place, kind) for kind in (CHROMA, 0) for place in ("tail", "head")),
    *(("WEBP", WEBP, place, CHROMA) for place in ("tail", "head")),
    ("JPEG", tuple(q for q in QUALITIES if q not in COMMON), "tail", CHROMA),
)
"""Codec, qualities, place and chroma in the order in which they are tried: what is common first."""
NEARLY = 4.0
"""Levels RMS on one picture or two from which a codec is as good as found."""
PROOF = 450.0
"""Units of `budget.Budget` that holding it against every probe may take: enough for WebP before the geometry."""
WORK = 600.0
"""Units of `budget.Budget` that this may take: enough for all of them on outputs of up to 224×224."""


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


def _with_codec(state: State, codec: str, quality: int, place: str, subsampling: int) -> State:
    t = ("recompressed", (codec, quality, subsampling))
    return state._replace(**{place: (*state.head, t) if place == "head" else (t, *state.tail)})


def _beyond_codecs(observed: Observed, state: State) -> bool:
    """Whether the picture that differs most does so by more than the coarsest JPEG makes of it.

    That is known from two pictures, where the search below stores and reads more than a hundred.
    """
    linear = observed.score(state)
    losses = {n: observed.score(state, [n]).loss for n in observed.screen if n != LARGE}
    worst = max(losses, key=losses.__getitem__)
    if not np.isfinite(losses[worst]):
        return True
    coarsest = (
        _with_codec(state, "JPEG", QUALITIES[0], place, CHROMA) for place in ("tail", "head")
    )
    made = max(observed.apart(state, other, worst, linear) for other in coarsest)
    return losses[worst] > BEYOND * made + HOPELESS / 4


def recompressed(observed: Observed, state: State) -> Recompressed | None:
    """Return the codec that explains the samples best."""
    several = [n for n in observed.colourful if n != LARGE]
    names = several[-1:]
    if observed.budget.spent > MOST * observed.budget.total or _beyond_codecs(observed, state):
        return None

    def tried(codec: str, quality: int, place: str, subsampling: int = CHROMA) -> Recompressed:
        trial = _with_codec(state, codec, quality, place, subsampling)
        return Recompressed(codec, quality, place, subsampling, trial, observed.score(trial, names))

    observed.budget.grant(WORK)
    first: list[Recompressed] = []
    for codec, qualities, place, subsampling in TRIALS:
        for q in qualities:
            if first and not observed.budget.left:
                break
            first.append(tried(codec, q, place, subsampling))
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
    if best.linear.loss <= NEARLY:
        observed.budget.finish(PROOF)
    return best._replace(linear=observed.score(best.state, observed.plain, full=True))
