"""Notebook 19: flicker against delay for each smoother, the heart's formulas, and the way from frame to drawn heart."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab import embedding, emotion, feedback
from facelab.core.timing import median_interval
from facelab.datasets import synthetic
from facelab.feedback import heart
from facelab.feedback.internals import EmotionScores, score_source
from facelab.zoo.internals import mirror

SWEEPS: dict[str, tuple[str, tuple[float, ...]]] = {
    "ema": ("tau_s", (0.15, 0.3, 0.6, 1.0, 1.5)),
    "majority": ("window_s", (0.3, 0.6, 1.0, 1.7, 2.5)),
    "one-euro": ("min_cutoff_hz", (1.0, 0.5, 0.25, 0.15, 0.1)),
    "hmm": ("evidence_s", (0.05, 0.1, 0.2, 0.5, 1.0)),
}
"""Smoother → the constant that is varied, and its values; the middle one is the default."""
REAL = "mini-xception-107"
CLIPS = (
    "ageitgey_short_hamilton_clip.mp4",
    "cleardusk_obama.mp4",
    "justinshenk_test.mp4",
)


def rendered_scores(
    model: Path,
    *,
    seconds: float = 60.0,
    rate_hz: float = 15.0,
    people: int = 4,
    seed: int = 0,
    size: int = 72,
) -> EmotionScores:
    """Return a classifier's scores on rendered people whose emotions change, and the true emotion of each frame.

    Each person shows emotions of 1.5 to 5 seconds; the face eases from one to the next within 0.4 s while the head
    sways by 12 degrees. Boxes have a detector's noise, pixels a sensor's.
    """
    rng, classifier = np.random.default_rng(seed), emotion.load(model, threads=1)
    names = classifier.emotions
    n, rows, truth = int(seconds * rate_hz), [], []
    for person in range(people):
        base = synthetic.recipe(seed, 1000 + person, size=size, classes=names)
        mine = n // people
        plan = _plan(rng, names, mine / rate_hz)
        sway = rng.uniform(0, 2 * np.pi, 2)
        for k in range(mine):
            t = k / rate_hz
            begun, shows = max(p for p in plan if p[0] <= t)
            factors: dict[str, Any] = {
                "emotion": shows,
                "intensity": float(min(1.0, (t - begun) / 0.4) * 0.6),
                "yaw": float(12 * np.sin(0.9 * t + sway[0])),
                "pitch": float(7 * np.sin(0.6 * t + sway[1])),
            }
            shown = synthetic.make(synthetic.change(base, **factors), size)
            side = float(shown.box[2] - shown.box[0])
            box = shown.box + rng.normal(0, 0.045 * side, 4)
            noise = rng.normal(0, 6, shown.image.shape)  # of the sensor, again in each frame
            image = np.clip(np.round(shown.image + noise), 0, 255).astype(np.uint8)
            rows.append(classifier.classify(image, box[None])[0])
            truth.append(shows)
    scores = np.clip(np.array(rows, float), 0, None)
    scores /= scores.sum(axis=1, keepdims=True)
    return EmotionScores(
        np.arange(len(rows)) / rate_hz,
        scores,
        tuple(classifier.classes),
        "rendered people",
        tuple(truth),
    )


def _plan(
    rng: np.random.Generator, names: Sequence[str], seconds: float
) -> list[tuple[float, str]]:
    plan, t, last = [], 0.0, ""
    while t < seconds:
        last = str(rng.choice([n for n in names if n != last]))
        plan.append((t, last))
        t += float(rng.uniform(1.5, 5))
    return plan


def clip_scores(most: int = 300) -> list[EmotionScores]:
    """Return the scores of a published classifier on the real clips of the mirror; none without a mirror."""
    root = mirror.mirror()
    if root is None or mirror.is_address(root):
        return []
    paths = [Path(root) / "images" / "video" / name for name in CLIPS]
    if REAL not in {e.name for e in emotion.available()} or not all(p.is_file() for p in paths):
        return []
    classifier, detector = emotion.load(REAL, threads=1), embedding.default_detector(1)
    return [score_source(p, classifier, detector, most=most) for p in paths]


def offline_truth(scores: EmotionScores, window_s: float = 1.0) -> tuple[str | None, ...]:
    """Return a reference where nobody labelled the frames: the best label of a window that also looks ahead."""
    out: list[str | None] = []
    for t in scores.times_s:
        near = np.abs(scores.times_s - t) <= window_s / 2
        rows = scores.scores[near]
        rows = rows[~np.isnan(rows).any(axis=1)]
        out.append(scores.labels[int(rows.mean(axis=0).argmax())] if len(rows) else None)
    return tuple(out)


@dataclass(frozen=True)
class Point:
    """One smoother with one constant.

    `changes_per_minute` and the true changes per minute; `delay_s` is the median time from a true change until the new
    emotion is shown; `missed` is the share after which it never was: these count with their whole stay. Both are over
    the `n` changes to a label that was not shown already. `right` is the share of frames with the true label; `default`
    marks facelab's own constants.
    """

    smoother: str
    constant: str
    changes_per_minute: float
    true_per_minute: float
    delay_s: float | None
    delay_lo_s: float | None
    delay_hi_s: float | None
    missed: float
    right: float
    n: int
    default: bool


def point(
    sequences: Sequence[EmotionScores], kind: str, default: bool = False, **constants: float
) -> Point:
    """Return how a smoother does on sequences with a known or an offline truth."""
    changes = true_changes = 0
    seconds, delays, missed, judged, right, frames = 0.0, [], 0, 0, 0, 0
    for scores in sequences:
        truth = scores.truth or offline_truth(scores)
        found = feedback.follow(scores, feedback.smoother(scores.labels, kind, **constants))
        changes += found.changes
        seconds += scores.seconds
        right += sum(a == b for a, b in zip(truth, found.shown))
        frames += len(truth)
        starts = [k for k in range(1, len(truth)) if truth[k] != truth[k - 1]]
        true_changes += len(starts)
        for k, stop in zip(starts, [*starts[1:], len(truth)]):
            if found.shown[k - 1] == truth[k]:
                continue  # it was shown before it was true: chance, and not a quick answer
            judged += 1
            hit = next((j for j in range(k, stop) if found.shown[j] == truth[k]), None)
            missed += hit is None
            until = scores.times_s[min(stop, len(truth) - 1) if hit is None else hit]
            delays.append(float(until - scores.times_s[k]))
    low, high = median_interval(np.array(delays)) if len(delays) > 5 else (None, None)
    return Point(
        kind,
        ", ".join(f"{k} {v:g}" for k, v in constants.items()) or "no smoothing",
        60 * changes / seconds,
        60 * true_changes / seconds,
        float(np.median(delays)) if delays else None,
        low,
        high,
        missed / max(1, judged),
        right / frames,
        judged,
        default,
    )


def sweep(sequences: Sequence[EmotionScores]) -> list[Point]:
    """Return a point for each smoother and constant, no smoothing first."""
    out = [point(sequences, "argmax", True)]
    for kind, (name, values) in SWEEPS.items():
        middle = values[len(values) // 2]
        out += [point(sequences, kind, v == middle, **{name: v}) for v in values]
    return out


def with_default(points: Sequence[Point], kind: str) -> Point:
    """Return a smoother's point with facelab's own constants."""
    return next(p for p in points if p.smoother == kind and p.default)


# ---------------------------------------------------------------- flashes
def flash_rows() -> list[dict[str, Any]]:
    """Return the flashes of each emotion's heart by both formulas: one row each."""
    rows = []
    for name in heart.load_settings().styles:
        for formula in ("eased", "literal"):
            end = 5.0 - 1 / 30  # whole beats of every emotion, so that the loop closes
            shown = heart.animate([0.0, end], [name] * 2, formula=formula)
            found = shown.flashes(64)
            rows.append(
                {
                    "emotion": name,
                    "formula": formula,
                    "general": found.general,
                    "red": found.red,
                    "allowed": found.passed,
                }
            )
    return rows


def flicker_flashes(scores: EmotionScores, most_s: float = 20.0) -> dict[str, heart.Flashes]:
    """Return the flashes while unsmoothed labels of a sequence drive the heart: literally, and eased."""
    keep = scores.times_s <= scores.times_s[0] + most_s
    found = feedback.follow(scores, feedback.smoother(scores.labels, "argmax"))
    labels = [label for label, k in zip(found.shown, keep) if k]
    times = scores.times_s[keep]
    return {
        formula: heart.animate(times, labels, formula=formula).flashes(48)
        for formula in ("literal", "eased")
    }


# ---------------------------------------------------------------- latency
@dataclass(frozen=True)
class Stage:
    """A part of the way from frame to drawn heart: milliseconds, and whether they were measured or modelled."""

    name: str
    ms: np.ndarray
    method: str


def stages(model: Path, n: int = 60, seed: int = 0) -> list[Stage]:
    """Return what each stage takes on n rendered pictures; each counts once, after one round to warm up."""
    classifier, detector = emotion.load(model, threads=1), embedding.default_detector(1)
    images = rendered_images(n, seed)
    smooth = feedback.smoother(classifier.classes)
    beating = feedback.Heart()
    taken: dict[str, list[float]] = {k: [] for k in ("detect", "classify", "smooth", "draw")}
    for k, image in enumerate([images[0], *images]):
        marks = [time.perf_counter()]
        boxes = detector.detect(image).boxes[:1]
        marks.append(time.perf_counter())
        row = classifier.classify(image, boxes)[0] if len(boxes) else None
        marks.append(time.perf_counter())
        beating.show(smooth.update(k / 15, row).label)
        marks.append(time.perf_counter())
        pose = beating.step(1 / 60)
        heart.Animation([pose], [None], 60.0, beating.settings).frames(240)
        marks.append(time.perf_counter())
        if k:
            for name, ms in zip(taken, np.diff(marks) * 1e3):
                taken[name].append(float(ms))
    out = [Stage(name, np.array(ms), "measured") for name, ms in taken.items()]
    out.append(Stage("wait for the display", np.linspace(0, 1000 / 60, 61), "model"))
    return out


def total(parts: Sequence[Stage], seed: int = 0) -> np.ndarray:
    """Return 2000 draws of the sum of all stages, in milliseconds; stages count as independent."""
    rng = np.random.default_rng(seed)
    return np.sum([rng.choice(p.ms, 2000) for p in parts], axis=0)


def hue_seconds(settings: heart.HeartSettings | None = None) -> float:
    """Return how long the longest change of hue takes: by the settings, not measured."""
    s = settings or heart.load_settings()
    hues = [style.hue_deg for style in s.styles.values()]
    ways = [abs((a - b + 180) % 360 - 180) for a in hues for b in hues]
    return max(ways) / s.hue_rate_deg_s


def rendered_images(n: int, seed: int = 0, size: int = 320) -> list[np.ndarray]:
    """Return n pictures (size, size, 3) uint8 of rendered people with some background around them."""
    recipes = (synthetic.recipe(seed, k, size=160, fill=0.6) for k in range(n))
    out = []
    for k, one in enumerate(recipes):
        picture = np.full((size, size, 3), 120, np.uint8)
        x, y = (int(v) for v in np.random.default_rng((seed, k)).integers(0, size - 160, 2))
        picture[y : y + 160, x : x + 160] = synthetic.make(one, 160).image
        out.append(picture)
    return out
