"""Rank hypotheses about a pipeline, and the pipelines an unknown one is first supposed to be."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from facelab.fingerprint.model._observed import Observed, Scored
from facelab.fingerprint.model._operations import Align, Crop, Orient, Resize
from facelab.fingerprint.model._pipeline_state import Hypothesis, State, templates
from facelab.fingerprint.probes._cache import LARGE
from facelab.fingerprint.search.candidates._sizes import follows_picture, size_rules

MANY = 28
"""Hypotheses beyond this number are thinned out on a single probe first."""


def rank(
    observed: Observed, hypotheses: Iterable[Hypothesis], keep: int = 6, *, large: bool = True
) -> list[Scored]:
    """Score hypotheses, first on one or a few probes, the better ones on the whole screen; the best come first."""
    quick = observed.screen[: 3 if LARGE in observed.screen else 2] if large else observed.colourful
    tried = list(hypotheses)
    if large and len(tried) > 1.5 * MANY:
        tried = [s.hypothesis for s in _scored(observed, tried, quick[:1])[:MANY]]
    first = _scored(observed, tried, quick)
    if not first:
        return []
    limit = max(1.5, 1.6 * first[0].loss)
    kept = [s for s in first[: 12 if large else 5] if s.loss <= limit] or first[:1]
    screen = observed.screen if large else [n for n in observed.screen if n != LARGE]
    return _scored(observed, [s.hypothesis for s in kept], screen, whatever_it_costs=True)[:keep]


def _scored(
    observed: Observed, hypotheses: list[Hypothesis], names: list[str], *, whatever_it_costs=False
):
    """Score hypotheses on some probes while there is budget; the possible ones, cheapest first."""
    out = []
    for h in hypotheses:
        out.append(Scored(h, observed.score(h.state, names)))
        if not (observed.budget.left or whatever_it_costs):
            break
    return sorted((s for s in out if np.isfinite(s.loss)), key=lambda s: s.cost)


def supposed(observed: Observed) -> list[State]:
    """Return the pipelines an unknown one is first supposed to be."""
    size = observed.size[observed.screen[0]]
    head = (("yuv", ("bt601", "limited")),) if observed.family in ("yuyv", "nv12") else ()
    sharp, smooth = Resize(size), Resize(size, antialias=True)
    chains: list[tuple] = []
    if follows_picture(observed):
        kernels = (
            Resize(size),
            Resize(size, antialias=True),
            Resize(size, kernel="area_cv", antialias=True),
        )
        rules = dict.fromkeys(ops for k in kernels for ops in size_rules(observed, k))
        return [State((Orient(), *ops), head) for ops in rules] or [State((Orient(),), head)]
    for r in (sharp, smooth, Resize(size, kernel="area_cv", antialias=True)):
        chains += [
            (Orient(), r),
            (Orient(), r._replace(mode="letterbox")),
            (Orient(), r._replace(mode="letterbox", anchor="top_left")),
            (Orient(), Crop("square"), r),
            (Orient(), r._replace(mode="cover"), Crop("center", size=size)),
        ]
        for bigger in (256 / 224, 72 / 64, 48 / 44, 128 / 112, 1.25):
            side = round(max(size) * bigger)
            chains.append(
                (Orient(), r._replace(size=(side, side), mode="cover"), Crop("center", size=size))
            )
            chains.append((Orient(), r._replace(size=(side, side)), Crop("center", size=size)))
        chains += [
            (Orient(), Crop("face", margin=m, aspect=a, outside=o), r)
            for m in (0.0, 0.1, 0.2, 0.25, 0.3, 0.5)
            for a in ("keep", "square_longer")
            for o in ("clip", "constant")
        ]
    chains += [
        (Orient(), Crop("face", pixels=float(p), style=style), sharp)
        for p in (5, 8, 10, 16, 20, 22, 32)
        for style in ("floor", "size")
    ]
    for kernel, antialias, centers in (
        ("area", True, "half"),
        ("nearest", False, "half"),
        ("nearest", False, "legacy"),
        ("bicubic75", False, "half"),
        ("bicubic", True, "half"),
        ("lanczos3", True, "half"),
        ("gaussian", True, "half"),
    ):
        r = Resize(size, kernel=kernel, antialias=antialias, centers=centers)
        chains += [(Orient(), r), (Orient(), r._replace(mode="letterbox"))]
    chains += [
        (Orient(), Align(points, size, kernel="bilinear32")) for points in templates(size).values()
    ]
    chains += [
        (
            Orient(),
            Align(next(iter(templates(size).values())), size, estimator, kernel="bilinear32"),
        )
        for estimator in ("partial_lmeds", "partial_ransac")
    ]
    return [State(c, head) for c in chains]
