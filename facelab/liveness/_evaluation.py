"""Score a set, choose a threshold on some identities, report on others; and what a loose box does to the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.result import Result
from facelab.core.timing import median_interval
from facelab.liveness._base import Answer, LivenessModel
from facelab.liveness._presentation import Presentation
from facelab.metrics import liveness as metric

MODEL_RULE = "model"
"""The rule that takes the model's own threshold."""


@dataclass(frozen=True)
class LivenessEvaluation(Result):
    """How well a model tells live faces from attacks.

    Attributes
    ----------
    model : dict
        What the model is.
    rule : str
        How the threshold was chosen.
    chosen_on, reported_on : str
        Splits; `chosen_on` is "none" where the threshold is the model's own.
    rates : AttackRates
        APCER per kind, BPCER, ACER with intervals, on `reported_on`.
    auc : float
        Share of (live, attack) pairs of `reported_on` that the scores order rightly.
    milliseconds : tuple of three float
        Median wall time of one presentation, with its 95 % interval.
    reasons : dict of str to int
        Why presentations got no answer.
    scores, kinds, splits : (n,) arrays
        Of all presentations; raw, so that figures can be computed again.
    """

    model: dict[str, Any]
    rule: str
    chosen_on: str
    reported_on: str
    rates: metric.AttackRates
    auc: float
    milliseconds: tuple[float, float, float]
    reasons: dict[str, int]
    scores: np.ndarray
    kinds: np.ndarray
    splits: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return the document `facelab.eval.liveness/1`; scores without an answer are null."""
        out = {"schema": "facelab.eval.liveness/1", **super().to_dict()}
        out["scores"] = [None if np.isnan(s) else float(s) for s in self.scores]
        return out

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per attack kind, then BPCER and ACER, each with the model's name."""
        return [{"model": self.model["name"], **row} for row in self.rates.rows()]

    def __str__(self) -> str:
        ms, lo, hi = self.milliseconds
        lines = [
            f"{self.model['name']}: threshold {self.rates.threshold:.4g} ({self.rule}, chosen on {self.chosen_on}), "
            f"reported on {self.reported_on}, AUC {self.auc:.4f}, {ms:.2f} ms [{lo:.2f}, {hi:.2f}]"
        ]
        for row in self.rates.rows():
            silent = f", {row['no answer']} without an answer" if row["no answer"] else ""
            lines.append(
                f"  {row['rate']:<18} {row['value']:.3f} [{row['lo']:.3f}, {row['hi']:.3f}]  "
                f"n = {row['presentations']}{silent}"
            )
        lines += [f"  no answer, {n} times: {why}" for why, n in self.reasons.items()]
        return "\n".join(lines)


def score_all(
    model: LivenessModel,
    data: Sequence[Presentation],
    progress: Callable[[Iterable], Iterable] = lambda items: items,
) -> list[Answer]:
    """Return the model's answer to each presentation, in their order.

    Parameters
    ----------
    model : LivenessModel
        From `load`.
    data : sequence of Presentation
        From `rendered` or `read_presentations`.
    progress : callable
        Wraps the iterable, to show progress.

    Returns
    -------
    list of Answer
        The model's answer to each presentation, in their order.
    """
    return [model.score(p) for p in progress(data)]


def evaluate(
    model: LivenessModel,
    data: Sequence[Presentation],
    *,
    rule: str = "eer",
    choose_on: str = "validation",
    report_on: str = "test",
    replicates: int = 1000,
    seed: int = 0,
    progress: Callable[[Iterable], Iterable] = lambda items: items,
) -> LivenessEvaluation:
    """Evaluate a model by ISO/IEC 30107-3: the threshold comes from one set of identities, the figures from another.

    Parameters
    ----------
    model : LivenessModel
        From `load` or `fit_fusion`.
    data : sequence of Presentation
        With kinds, identities and splits.
    rule : str
        `eer`, `apcer<=SHARE`, `bpcer<=SHARE` (see `facelab.metrics.liveness`), or `model` for the model's own.
    choose_on, report_on : str
        Splits. No identity may be in both.
    replicates, seed : int
        Of the bootstrap over identities.
    progress : callable
        Wraps the iterable of presentations.

    Returns
    -------
    LivenessEvaluation
        Figures with intervals, cost, and raw scores.

    Raises
    ------
    BadInputError
        A split is empty or lacks live faces or attacks, or both share an identity.

    Examples
    --------
    >>> from facelab import liveness
    >>> faces = liveness.rendered(4, kinds=("live", "screen"))
    >>> found = evaluate(liveness.load("depth-geometry"), faces, replicates=20)
    >>> found.rates.bpcer.value, found.reported_on
    (0.0, 'test')
    """
    data = [p for p in data if p.split in (choose_on, report_on)]
    _check_splits(data, rule, choose_on, report_on)
    answers = score_all(model, data, progress)
    scores = np.array([a.score for a in answers])
    kinds = np.array([p.kind for p in data])
    splits = np.array([p.split for p in data])
    who = np.array([p.identity for p in data])
    chosen, reported = splits == choose_on, splits == report_on
    threshold = (
        model.threshold
        if rule == MODEL_RULE
        else metric.choose_threshold(scores[chosen], kinds[chosen], rule)
    )
    rates = metric.rates(
        scores[reported],
        kinds[reported],
        threshold,
        identities=who[reported],
        replicates=replicates,
        seed=seed,
    )
    took = 1e3 * np.array([a.seconds for a in answers])
    reasons: dict[str, int] = {}
    for answer in answers:
        if not answer.answered:
            reasons[answer.reason] = reasons.get(answer.reason, 0) + 1
    return LivenessEvaluation(
        model.describe(),
        rule,
        "none" if rule == MODEL_RULE else choose_on,
        report_on,
        rates,
        _auc(scores[reported], kinds[reported]),
        (float(np.median(took)), *median_interval(took)),
        reasons,
        scores,
        kinds,
        splits,
    )


def _check_splits(data: Sequence[Presentation], rule: str, choose_on: str, report_on: str) -> None:
    people = {s: {p.identity for p in data if p.split == s} for s in (choose_on, report_on)}
    wanted = [report_on] if rule == MODEL_RULE else [choose_on, report_on]
    for split in wanted:
        if not people[split]:
            raise BadInputError(
                "a split has no presentation",
                where=split,
                expected=f"presentations of {' and '.join(wanted)}",
                got="none",
                fix='give the column `split`, or use the rule "model" with the model\'s own threshold',
            )
    both = people[choose_on] & people[report_on]
    if rule != MODEL_RULE and (choose_on == report_on or both):
        raise BadInputError(
            "the threshold would be chosen on people that it is reported on",
            where=f"{choose_on} and {report_on}",
            expected="no identity in both",
            got=f"{len(both)} in both, such as {sorted(both)[0]}",
            fix="split by identity",
        )


def _auc(scores: np.ndarray, kinds: np.ndarray) -> float:
    keep = np.isfinite(scores)
    live, attack = scores[keep & (kinds == metric.LIVE)], scores[keep & (kinds != metric.LIVE)]
    attack = np.sort(attack)
    below = np.searchsorted(attack, live, side="left")
    equal = np.searchsorted(attack, live, side="right") - below
    return float((below + 0.5 * equal).mean() / len(attack))


@dataclass(frozen=True)
class BoxSensitivity(Result):
    """What happens to answers when the box is larger or elsewhere: one entry per change, arrays (k,).

    `flipped` is the share of presentations whose decision changes against the box as given; `drift` the median
    absolute change of the score; `apcer` the worst kind's; all on the same presentations and threshold.
    """

    model: str
    scale: np.ndarray
    shift: np.ndarray
    flipped: np.ndarray
    drift: np.ndarray
    apcer: np.ndarray
    bpcer: np.ndarray

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per change."""
        names = ("scale", "shift", "flipped", "drift", "apcer", "bpcer")
        columns = [getattr(self, n) for n in names]
        return [
            {"model": self.model, **dict(zip(names, map(float, row)))}
            for row in zip(*columns, strict=True)
        ]


def box_sensitivity(
    model: LivenessModel,
    data: Sequence[Presentation],
    threshold: float,
    *,
    scales: Sequence[float] = (0.8, 0.9, 1.0, 1.1, 1.25, 1.5),
    shifts: Sequence[float] = (0.05, 0.1, 0.2),
    seed: int = 0,
) -> BoxSensitivity:
    """Score presentations again with boxes that are larger by `scales` or moved by `shifts`.

    Parameters
    ----------
    model : LivenessModel
        From `load`.
    data : sequence of Presentation
        Of the split that is reported on.
    threshold : float
        Where "live" begins.
    scales : sequence of float
        Sides of the box, as a share of the given ones.
    shifts : sequence of float
        Shares of the box's size, in a direction drawn for each presentation.
    seed : int
        Of the directions.

    Returns
    -------
    BoxSensitivity
        The first scale of 1.0, or the box as given, is what the others are compared with.

    Examples
    --------
    >>> from facelab import liveness
    >>> model, faces = liveness.load("depth-geometry"), liveness.rendered(1, kinds=("live", "screen"))
    >>> found = box_sensitivity(model, faces, model.threshold, scales=(1.0, 1.1), shifts=())
    >>> found.scale.tolist(), found.flipped.tolist()
    ([1.0, 1.1], [0.0, 0.0])
    """
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, 2 * np.pi, len(data))
    kinds = [p.kind for p in data]
    base = np.array([a.score for a in score_all(model, data)])
    changes = [(float(s), 0.0) for s in scales] + [(1.0, float(s)) for s in shifts]
    out: list[tuple[float, float, float, float]] = []
    for scale, shift in changes:
        moved = [_moved(p, scale, shift, a) for p, a in zip(data, angles)]
        scores = np.array([a.score for a in score_all(model, moved)])
        rates = metric.rates(scores, kinds, threshold)
        drift = np.abs(scores - base)
        out.append(
            (
                float(((scores >= threshold) != (base >= threshold)).mean()),
                float(np.nanmedian(drift)) if np.isfinite(drift).any() else float("nan"),
                rates.apcer[rates.worst_kind].value,
                rates.bpcer.value,
            )
        )
    columns = np.array(out).T
    scale, shift = np.array(changes).T
    return BoxSensitivity(model.name, scale, shift, *columns)


def _moved(p: Presentation, scale: float, shift: float, angle: float) -> Presentation:
    by = (shift * float(np.cos(angle)), shift * float(np.sin(angle)))
    return replace(p, looks=tuple(look.with_box(scale, by) for look in p.looks))
