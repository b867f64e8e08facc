"""Rank hypotheses about a pipeline, and the pipelines an unknown one is first supposed to be."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np

from facelab.fingerprint.model._observed import Observed, Scored
from facelab.fingerprint.model._operations import Align, Chain, Crop, Orient, Pad, Resize
from facelab.fingerprint.model._pipeline_state import Hypothesis, State, templates
from facelab.fingerprint.probes._cache import LARGE
from facelab.fingerprint.search.candidates._faces import OFFSETS
from facelab.fingerprint.search.candidates._sizes import follows_picture, size_rules
from facelab.fingerprint.search.candidates._tone import spaces

SPACED = 0.25
"""The share of the loss that another colour space may leave for it to be believed."""
BELIEVED = 15.0
"""Levels RMS beyond which another colour space is not worth following."""
TORCHVISION = (256 / 224, 128 / 112)
"""Ratios of what is resized to what is cut out, where torchvision does it."""
MANY = 28
"""Hypotheses beyond this number are thinned out on a single probe first."""


def rank(
    observed: Observed, hypotheses: Iterable[Hypothesis], keep: int = 6, *, large: bool = True
) -> list[Scored]:
    """Score hypotheses, first on one or a few probes, the better ones on the whole screen; the best come first."""
    quick = observed.screen[: 3 if LARGE in observed.screen else 2] if large else observed.colourful
    tried = list(hypotheses)
    if large and len(tried) > 1.5 * MANY:
        tried = _thinned(_scored(observed, tried, quick[:1]))
    first = _scored(observed, tried, quick)
    if not first:
        return []
    limit = max(1.5, 1.6 * first[0].loss)
    kept = [s for s in first[: 12 if large else 5] if s.loss <= limit] or first[:1]
    screen = observed.screen if large else [n for n in observed.screen if n != LARGE]
    return _scored(observed, [s.hypothesis for s in kept], screen, whatever_it_costs=True)[:keep]


def _thinned(scored: list[Scored]) -> list[Hypothesis]:
    """The best ones, those that do the same to this picture counted once."""
    kept: list[Hypothesis] = []
    seen: set[float] = set()
    for s in scored:
        seen.add(round(s.loss, 9))
        if len(seen) > MANY:
            break
        kept.append(s.hypothesis)
    return kept


def _scored(
    observed: Observed,
    hypotheses: list[Hypothesis],
    names: list[str],
    *,
    whatever_it_costs: bool = False,
) -> list[Scored]:
    """Score hypotheses on some probes while there is budget; the possible ones, cheapest first."""
    out: list[Scored] = []
    for h in hypotheses:
        out.append(Scored(h, observed.score(h.state, names)))
        if not (observed.budget.left or whatever_it_costs):
            break
    return sorted((s for s in out if np.isfinite(s.loss)), key=lambda s: s.cost)


def spaced_starts(observed: Observed, states: list[State], plain: float) -> list[Scored]:
    """Return the pipelines in another colour space that explain a side, best first, at most two.

    `plain` is the least loss without one, which must leave much more. A plain kernel has to do at first: without the
    space nothing says which geometry is near.
    """
    if observed.channels != 3:
        return []
    likely = [s for s in states if _plainly_resized(s.chain)]
    tried = [h._replace(changes=()) for s in likely for h in spaces(s)]
    first = _scored(
        observed, [h for h in tried if h.state.tail[0][1] in COMMON], [_textured(observed)]
    )
    near = list(dict.fromkeys(s.hypothesis.state.chain for s in first[:4]))[:2]
    head = states[0].head
    kernels = [State(_resampled(c, *k), head) for c in near for k in KERNELS]
    tried = [h._replace(changes=()) for s in kernels for h in spaces(s)]
    found = rank(observed, tried, keep=2, large=False)
    return [s for s in found if s.loss < min(SPACED * plain, BELIEVED)]


KERNELS = (("bilinear", False), ("bilinear", True), ("area_cv", True))
"""(kernel, antialias) that are tried in each colour space."""


def _resampled(chain: Chain, kernel: str, antialias: bool) -> Chain:
    return tuple(
        op._replace(kernel=kernel, antialias=antialias) if isinstance(op, Resize) else op
        for op in chain
    )


COMMON = ("hsv", "hsv_bgr", "lab", "lab_bgr")


def _plainly_resized(chain: Chain) -> bool:
    """Whether a chain resizes as most do, with no or a customary margin."""
    return all(
        op.pixels == 0 and op.margin in (0.0, 0.2)
        if isinstance(op, Crop)
        else not isinstance(op, Align)
        and (not isinstance(op, Resize) or (op.kernel, op.antialias) == ("bilinear", False))
        for op in chain
    )


def _textured(observed: Observed) -> str:
    """The probe that shows colours and places of a picture best."""
    return next(
        (n for n in observed.screen if n.split("_")[0] in ("portrait", "texture")),
        observed.screen[0],
    )


def supposed(observed: Observed) -> list[State]:
    """Return the pipelines an unknown one is first supposed to be."""
    size = observed.size[observed.screen[0]]
    head = (("yuv", ("bt601", "limited")),) if observed.family in ("yuyv", "nv12") else ()
    sharp, smooth = Resize(size), Resize(size, antialias=True)
    chains: list[Chain] = []
    if follows_picture(observed):
        kernels = (
            Resize(size),
            Resize(size, antialias=True),
            Resize(size, kernel="area_cv", antialias=True),
        )
        rules = dict.fromkeys(ops for k in kernels for ops in size_rules(observed, k))
        return [State((Orient(), *ops), head) for ops in rules] or [State((Orient(),), head)]
    larger = dict.fromkeys(round(max(size) * k) for k in (72 / 64, 48 / 44, TORCHVISION[1], 1.25))
    for r in (sharp, smooth, Resize(size, kernel="area_cv", antialias=True)):
        chains += [
            (Orient(), r),
            *(
                (Orient(), r._replace(mode="letterbox", anchor=anchor, size_rounding=rounding))
                for anchor in ("center", "top_left")
                for rounding in ("floor", "half_up")
            ),
            (Orient(), Crop("square"), r),
            (Orient(), Pad(anchor="center", square=True), r),
            (Orient(), r._replace(mode="cover"), Crop("center", size=size)),
        ]
        for side in (*_sides(max(size), TORCHVISION[:1]), *larger):
            for rounding in ("floor", "half_up"):
                bigger_one = r._replace(size=(side, side), mode="cover", size_rounding=rounding)
                chains.append((Orient(), bigger_one, Crop("center", size=size)))
            chains.append((Orient(), r._replace(size=(side, side)), Crop("center", size=size)))
        chains += [
            (Orient(), Crop("face", margin=m, aspect=a, outside=o), r)
            for m in (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
            for a in ("keep", "square_longer")
            for o in ("clip", "constant")
        ]
    chains += [
        (Orient(), Crop("face", pixels=float(p), style=style), sharp)
        for p in (5, 8, 10, 16, 20, 22, 32)
        for style in ("floor", "size")
    ]
    # torchvision cuts down the free side, and rounds half to even where the centre begins
    for r, side in itertools.product((sharp, smooth), _sides(size[0], (1.0, *TORCHVISION))):
        cover = r._replace(size=(side, side), mode="cover")
        chains.append((Orient(), cover, Crop("center", size=size, style="even")))
    chains += [
        (Orient(), Crop("fraction", fraction=share, style=style), sharp)
        for share, style in ((0.875, "inset"), (0.875, "floor"), (0.9, "floor"))
    ]
    chains += [
        (Orient(), Crop("fraction", fraction=0.875), r)
        for r in (sharp, smooth, Resize(size, kernel="area_cv", antialias=True))
    ]
    for kernel, antialias, centers in (
        ("area", True, "half"),
        ("nearest", False, "half"),
        ("nearest", False, "legacy"),
        ("bilinear", False, "corner"),
        ("bilinear", False, "legacy"),
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
    arcface = next(iter(templates(size).values()))
    mirrored = Orient(False, "flip_horizontal")
    chains.append((Orient(), Align(arcface, size, kernel="bilinear32"), mirrored))
    chains += [
        (Orient(), Crop("face", pixels=float(x), above=float(y), style="floor"), sharp)
        for x, y in OFFSETS
    ]
    return [State(c, head) for c in chains]


def _sides(side: int, ratios: Iterable[float]) -> tuple[int, ...]:
    """Return what is resized to by each ratio to what is cut out, rounded and cut off, each once."""
    return tuple(dict.fromkeys(f(side * ratio) for ratio in ratios for f in (round, int)))


def usual(observed: Observed) -> list[State]:
    """Return the commonest pipelines to one size, which are worth a look before all the others."""
    if follows_picture(observed):
        return []
    size = observed.size[observed.screen[0]]
    head = (("yuv", ("bt601", "limited")),) if observed.family in ("yuyv", "nv12") else ()
    sharp, smooth = Resize(size), Resize(size, antialias=True)
    area = Resize(size, kernel="area_cv", antialias=True)
    boxed = sharp._replace(mode="letterbox", size_rounding="half_up")
    arcface = next(iter(templates(size).values()))
    chains: list[Chain] = [(Orient(), r) for r in (sharp, smooth, area, boxed)]
    chains.append((Orient(), Align(arcface, size, kernel="bilinear32")))
    return [State(c, head) for c in chains]


def robust(observed: Observed) -> list[State]:
    """Return alignments whose map is estimated robustly: they need OpenCV, which takes long to load."""
    if follows_picture(observed):
        return []
    size = observed.size[observed.screen[0]]
    arcface = next(iter(templates(size).values()))
    return [
        State((Orient(), Align(arcface, size, estimator, kernel="bilinear32")))
        for estimator in ("partial_lmeds", "partial_ransac")
    ]
