"""No tested change explains the difference: what is known nevertheless."""

from __future__ import annotations

import numpy as np

from facelab.fingerprint.diagnosis._case import Case, Outcome
from facelab.fingerprint.model._linear_fit import LEVELS, Linear
from facelab.fingerprint.model._observed import FLOOR, Observed
from facelab.fingerprint.model._operations import Refused
from facelab.fingerprint.model._pipeline_state import Change
from facelab.preprocess.colour import GRAY_WEIGHTS

ALIKE = 0.97
"""Correlation of predicted and observed values from which the geometry is said to agree."""
BLOCK, SMOOTH, EDGES = 8, 3.0, 1.15
"""A codec's block in pixels, the levels between neighbours up to which a place is smooth, and how many times as much a
difference jumps there at a block's edge. Own pictures: 1.2 to 2.3 behind JPEG and WebP, .9 to 1.0 behind blur, median,
shift, sharpening and contrast."""
ENOUGH_PICTURES, ENOUGH_STEPS = 6, 30
CODEC = 15.0
"""Levels RMS by which a codec moves the mean of the channels at most, on the median picture. Measured on the probes: 1
to 14 behind JPEG of quality 95 to 10 and WebP of 75 and 20, the most at 48×48."""
BEYOND = 3.0
"""Levels beyond black and white from which they are no rounding."""
LUMA_AGREES = 1.0
"""Levels RMS within which luma is said to agree."""


def other_sizes(case: Case) -> Outcome | None:
    """Say so where only one side brings every picture to one size."""
    sizes = [
        {side.size[n] for n in side.plain} for side in (case.train_samples, case.infer_samples)
    ]
    if (len(sizes[0]) > 1) == (len(sizes[1]) > 1):
        return None
    words = [
        "a size that follows the picture's" if len(s) > 1 else "always {}×{}".format(*min(s))
        for s in sizes
    ]
    return Outcome([case.finding(Change("size", "resize", *words), 1.0)], explained=1.0)


def unknown(case: Case) -> Outcome:
    """Return the finding that names no cause, and what is known as notes."""
    sizes = [
        {side.size[n] for n in side.plain} for side in (case.train_samples, case.infer_samples)
    ]
    if all(len(s) == 1 for s in sizes) and sizes[0] != sizes[1]:
        was, now = ("{}×{}".format(*min(s)) for s in sizes)
        note = "the sizes differ; whether anything else does cannot be determined before they agree"
        return Outcome([case.finding(Change("size", "resize", was, now))], [note])
    words = "the training pipeline", "one that no tested change explains"
    notes = [
        *unchanging(case),
        *known(case),
        *overshoot(case),
        *block_edges(case),
        *differing(case),
    ]
    return Outcome([case.finding(Change("unknown", "output", *words))], notes, 0.0)


def unchanging(case: Case) -> list[str]:
    """Say so where a side answers every picture with one and the same tensor."""
    notes: list[str] = []
    for words, side in (("training", case.train), ("inference", case.infer)):
        answers = {side.output[n].get("digest", n) for n in case.names}
        if len(answers) == 1 and len(case.names) >= ENOUGH_PICTURES:
            notes.append(
                f"the {words} side gives the same tensor for all {len(case.names)} pictures: look for a buffer that is "
                "filled once only, or whose last content was stored for every picture"
            )
    return notes


def overshoot(case: Case) -> list[str]:
    """Say so where training's pipeline explains both sides, and only one has values beyond black and white."""
    linear = case.infer_samples.score(case.training.state)
    if not case.training.good or linear.loss > FLOOR:
        return []
    spans = [_span(case.train_samples, case.training.linear), _span(case.infer_samples, linear)]
    beyond = [lo < -BEYOND or hi > LEVELS + BEYOND for lo, hi in spans]
    if beyond[0] == beyond[1]:
        return []
    side, (lo, hi) = ("training", spans[0]) if beyond[0] else ("inference", spans[1])
    return [
        f"the same pipeline explains both sides, but only {side} has values beyond black and white ({lo:.0f} to "
        f"{hi:.0f} of 0 to {LEVELS:.0f}): what a sharp kernel overshoots is cut off on one side alone"
    ]


def _span(samples: Observed, linear: Linear) -> tuple[float, float]:
    """The least and the largest value of a side, in levels of its pixels."""
    gain = np.where(linear.gain == 0, np.inf, linear.gain)
    values = np.concatenate([samples.y[n].reshape(-1, samples.channels) for n in samples.plain])
    levels: np.ndarray = (values - linear.offset) / gain
    return float(levels.min()), float(levels.max())


def block_edges(case: Case) -> list[str]:
    """Say so where the difference of the sides jumps at every eighth line of the output, as blocks of a codec do."""
    ratios = [r for n in case.names if (r := _jumps(case, n)) is not None]
    if len(ratios) < ENOUGH_PICTURES or np.median(ratios) < EDGES or _brightness(case) > CODEC:
        return []
    return [
        f"where training's picture is smooth, the difference jumps {np.median(ratios):.1f} times as much between "
        f"blocks of {BLOCK}×{BLOCK} pixels of the output as within them: it looks as if a lossy codec (JPEG, a video "
        "stream) stood behind the resize"
    ]


def _brightness(case: Case) -> float:
    """How far apart the means of the channels are, in levels RMS on the median picture; infinite where sizes differ."""
    sides = case.train_samples.y, case.infer_samples.y
    if any(sides[0][n].shape != sides[1][n].shape for n in case.names):
        return np.inf
    off: list[float] = []
    for n in case.names:
        moved: np.ndarray = ((sides[1][n] - sides[0][n]) / case.unit).mean(axis=-1)
        off.append(float(np.sqrt(np.mean(moved**2))))
    return float(np.median(off))


def _jumps(case: Case, name: str) -> float | None:
    """How many times as much one picture's difference jumps at the edges of blocks; None where too little is smooth."""
    x, y = case.train_samples.y[name], case.infer_samples.y[name]
    if x.shape != y.shape or x.shape[2] != len(case.unit):
        return None
    x, y = x / case.unit, y / case.unit
    steps: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for axis, lines in enumerate((case.train_samples.rows[name], case.train_samples.columns[name])):
        for k in range(len(lines) - 1):
            if lines[k + 1] - lines[k] == 1:
                own, off = (np.take(v, k + 1, axis) - np.take(v, k, axis) for v in (x, y - x))
                steps[lines[k + 1] % BLOCK == 0].append(np.abs(off[np.abs(own) <= SMOOTH]))
    edges, within = (np.concatenate(v) if (v := steps[k]) else np.zeros(0) for k in (True, False))
    if min(len(edges), len(within)) < ENOUGH_STEPS:
        return None
    return float((edges.mean() + 0.1) / (within.mean() + 0.1))


def differing(case: Case) -> list[str]:
    """Return which probes differ and by how much, PNG and JPEG apart: where to look next."""
    notes: list[str] = []
    for kind, lossy in (("PNG and raw", False), ("JPEG", True)):
        mine = [n for n in case.names if case.known[n].lossy == lossy]
        off = {n: case.distances[n] for n in mine if not case.same(n)}
        if not mine:
            continue
        if not off:
            notes.append(f"{kind} probes: all {len(mine)} agree")
            continue
        apart = sorted(
            off, key=lambda n: np.inf if (d := off[n]) is None else d["rms"], reverse=True
        )
        told = ", ".join(
            f"{n} another size"
            if (d := off[n]) is None
            else f"{n} {d['rms']:.2f} levels RMS (at most {d['max']:.1f})"
            for n in apart[:8]
        )
        more = f", and {len(apart) - 8} more" if len(apart) > 8 else ""
        notes.append(f"{kind} probes: {len(off)} of {len(mine)} differ: {told}{more}")
    return notes


def known(case: Case) -> list[str]:
    """Return what agrees and what does not, in sentences."""
    if not case.training.good:
        return ["the training pipeline was not recognised, so it is not described"]
    pairs = _predicted_and_observed(case)
    if not pairs:
        return []
    notes: list[str] = []
    x, y = (np.concatenate([p[k] for p in pairs.values()]) for k in (0, 1))
    likeness = float(np.corrcoef(x.ravel(), y.ravel())[0, 1]) if x.std() and y.std() else 0.0
    if likeness >= ALIKE:
        notes.append(
            f"the geometry agrees: training's pictures and inference's correlate by {likeness:.3f}"
        )
    if x.shape[1] == 3:
        luma = float(np.sqrt(np.mean(((x - y) @ np.array(GRAY_WEIGHTS["bt601"])) ** 2)))
        if luma <= LUMA_AGREES < float(np.sqrt(np.mean((x - y) ** 2))):
            notes.append(f"luma agrees to {luma:.1f} levels, so only chroma differs")
    worst = {n: float(np.sqrt(np.mean((a - b) ** 2))) for n, (a, b) in pairs.items()}
    least, most = (f(worst, key=worst.__getitem__) for f in (min, max))
    if worst[least] <= 1.0 < worst[most]:
        notes.append(f"{least!r} agrees; {most!r} differs most, by {worst[most]:.0f} levels RMS")
    return notes


def _predicted_and_observed(case: Case) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Per probe, training's pixels and inference's in training's units (n × channels); empty where sizes differ."""
    linear = case.training.linear
    out: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for n in case.infer_samples.screen:
        try:
            x, cover = case.infer_samples.predicted(case.training.state, n)
        except Refused:
            return {}
        y = case.infer_samples.y[n].reshape(-1, case.infer_samples.channels)
        if y.shape[1] != linear.matrix.shape[0]:
            return {}
        inside = cover > 1 - 1e-4
        if inside.sum() > 8:
            expected = x[inside] @ linear.matrix.T
            out[n] = (expected / linear.unit, (y[inside] - linear.offset) / linear.unit)
    return out
