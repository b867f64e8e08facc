"""Presentation attack detection by ISO/IEC 30107-3: APCER per attack kind, BPCER, ACER, and where thresholds come from.

A score says how live a presentation looks; "live" is score >= threshold. A presentation without an answer has the
score NaN: it is never accepted, and its share is reported on its own (APNRR, BPNRR), not inside APCER and BPCER.
ACER, the mean of the worst APCER and BPCER, is of the 2017 edition of the standard; papers still quote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.result import Result
from facelab.metrics.intervals import Interval, bootstrap_mean, wilson

__all__ = ["LIVE", "AttackRates", "choose_threshold", "error_curve", "rates"]

LIVE = "live"
"""The kind of a bona fide presentation; every other kind is an attack."""


@dataclass(frozen=True)
class AttackRates(Result):
    """Error rates at one threshold.

    Attributes
    ----------
    threshold : float
        "Live" is score >= threshold.
    apcer : dict of str to Interval
        Per attack kind: the share of its answered presentations that pass as live.
    bpcer : Interval
        The share of answered live presentations that are taken for attacks.
    acer : Interval
        Half of (worst APCER + BPCER). Its bounds are those of its parts, so they are on the safe side.
    worst_kind : str
        The attack kind with the highest APCER.
    counts, no_response : dict of str to int
        Presentations per kind, and those of them without an answer.
    """

    threshold: float
    apcer: dict[str, Interval]
    bpcer: Interval
    acer: Interval
    worst_kind: str
    counts: dict[str, int]
    no_response: dict[str, int]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per attack kind, then BPCER and ACER."""
        named = [(f"APCER {kind}", kind, i) for kind, i in self.apcer.items()]
        named += [("BPCER", LIVE, self.bpcer), ("ACER", "", self.acer)]
        return [
            {
                "rate": name,
                "value": i.value,
                "lo": i.lo,
                "hi": i.hi,
                "presentations": self.counts.get(kind, sum(self.counts.values())),
                "no answer": self.no_response.get(kind, sum(self.no_response.values())),
            }
            for name, kind, i in named
        ]


def rates(
    scores: np.ndarray,
    kinds: Sequence[str] | np.ndarray,
    threshold: float,
    *,
    identities: Sequence[Any] | np.ndarray | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> AttackRates:
    """Return APCER per attack kind, BPCER and ACER at a threshold, with 95 % intervals.

    Parameters
    ----------
    scores : (n,) array of float
        Higher is more live; NaN is "no answer".
    kinds : (n,) sequence of str
        `live`, or the name of the attack.
    threshold : float
        Chosen on other identities (see `choose_threshold`).
    identities : (n,) sequence, optional
        Who is shown. Rows of one identity are resampled together; without them rows count as independent.
    replicates, seed : int
        Of the bootstrap over identities.

    Returns
    -------
    AttackRates
        A share of 0 or 1, which no bootstrap can spread, gets Wilson's interval over its identities.

    Raises
    ------
    BadInputError
        There is no answered live presentation, or an attack kind has no answer, or the lengths differ.

    References
    ----------
    ISO/IEC 30107-3:2017, Biometric presentation attack detection, part 3: testing and reporting.

    Examples
    --------
    >>> r = rates([0.9, 0.8, 0.2, 0.7, 0.1], ["live", "live", "live", "print", "screen"], 0.5)
    >>> {kind: i.value for kind, i in r.apcer.items()}, round(r.bpcer.value, 3), round(r.acer.value, 3)
    ({'print': 1.0, 'screen': 0.0}, 0.333, 0.667)
    """
    s, k = _checked(scores, kinds)
    who = np.arange(len(s)) if identities is None else np.asarray(identities)
    if len(who) != len(s):
        raise BadInputError(
            "scores and identities differ in length",
            expected=len(s),
            got=len(who),
            fix="give one identity per score",
        )
    answered = np.isfinite(s)
    passed = s >= threshold
    shares: dict[str, Interval] = {}
    for kind in sorted(set(k.tolist())):
        mine = (k == kind) & answered
        wrong = ~passed[mine] if kind == LIVE else passed[mine]
        shares[kind] = _share(wrong, who[mine], kind, replicates, seed)
    bpcer = shares.pop(LIVE)
    worst = max(shares, key=lambda kind: shares[kind].value)
    acer = Interval(
        (shares[worst].value + bpcer.value) / 2,
        (max(i.lo for i in shares.values()) + bpcer.lo) / 2,
        (max(i.hi for i in shares.values()) + bpcer.hi) / 2,
        "bounds of its parts",
        min(bpcer.units, shares[worst].units),
    )
    every = [LIVE, *shares]
    counts = {kind: int((k == kind).sum()) for kind in every}
    silent = {kind: int(((k == kind) & ~answered).sum()) for kind in every}
    return AttackRates(float(threshold), shares, bpcer, acer, worst, counts, silent)


def _share(wrong: np.ndarray, who: np.ndarray, kind: str, replicates: int, seed: int) -> Interval:
    if not len(wrong):
        raise BadInputError(
            "no presentation of a kind got an answer",
            where=kind,
            expected="at least one score that is not NaN",
            got="none",
            fix="leave the kind out, or give the model what it needs (see its reasons)",
        )
    people = len(np.unique(who.astype(str)))
    value = float(wrong.mean())
    if value in (0.0, 1.0) or people == len(wrong):
        errors = people * value if value in (0.0, 1.0) else int(wrong.sum())
        lo, hi = wilson(errors, people)
        return Interval(value, lo, hi, "Wilson, by identity", people)
    return bootstrap_mean(wrong.astype(float), replicates=replicates, seed=seed, groups=who)


def error_curve(
    scores: np.ndarray, kinds: Sequence[str] | np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (thresholds, worst APCER, BPCER), each (k,) float64, at every threshold where either changes.

    Thresholds are in the middle between neighbouring scores, and one lies beyond each end.

    Parameters
    ----------
    scores : (n,) array of float
        Higher is more live; NaN is left out.
    kinds : (n,) sequence of str
        `live`, or the name of the attack.

    Returns
    -------
    tuple of three (k,) float64 arrays
        Thresholds rise; APCER falls; BPCER rises.

    Raises
    ------
    BadInputError
        There are no live presentations or no attacks with an answer.

    Examples
    --------
    >>> t, apcer, bpcer = error_curve([0.9, 0.2], ["live", "print"])
    >>> t.tolist(), apcer.tolist(), bpcer.tolist()
    ([0.2, 0.55, 1.9], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0])
    """
    s, k = _checked(scores, kinds)
    keep = np.isfinite(s)
    s, k = s[keep], k[keep]
    live = np.sort(s[k == LIVE])
    attacks = [np.sort(s[k == kind]) for kind in sorted(set(k.tolist()) - {LIVE})]
    if not len(live) or not attacks:
        raise BadInputError(
            "a threshold needs live presentations and attacks",
            expected="answered presentations of both",
            got=f"{len(live)} live, {len(s) - len(live)} attacks",
            fix="add presentations of the missing kind to the set",
        )
    values = np.unique(s)
    cuts = np.concatenate([values[:1], (values[1:] + values[:-1]) / 2, values[-1:] + 1.0])
    bpcer = np.searchsorted(live, cuts, side="left") / len(live)
    apcer = np.max([1 - np.searchsorted(a, cuts, side="left") / len(a) for a in attacks], axis=0)
    return cuts, apcer, bpcer


def choose_threshold(
    scores: np.ndarray, kinds: Sequence[str] | np.ndarray, rule: str = "eer"
) -> float:
    """Return a threshold from scores of identities that are not reported on.

    Parameters
    ----------
    scores, kinds
        As for `error_curve`.
    rule : str
        `eer`: worst APCER and BPCER as near to each other as they get; `apcer<=0.05`: the loosest threshold at which
        no attack kind passes more often; `bpcer<=0.05`: the strictest one that rejects no more live faces.

    Returns
    -------
    float
        Among equally good thresholds the middle one.

    Raises
    ------
    BadInputError
        The rule is unknown, or one side is missing.

    Examples
    --------
    >>> choose_threshold([0.9, 0.8, 0.2, 0.1], ["live", "live", "print", "screen"])
    0.5
    """
    cuts, apcer, bpcer = error_curve(scores, kinds)
    if rule == "eer":
        badness = np.abs(apcer - bpcer) + 1e-6 * (apcer + bpcer)
        good = np.flatnonzero(badness <= badness.min() + 1e-12)
        return float(cuts[good[len(good) // 2]])
    name, relation, text = rule.partition("<=")
    try:
        limit = float(text)
    except ValueError:
        limit = -1.0
    if relation != "<=" or name not in ("apcer", "bpcer") or not 0 <= limit <= 1:
        raise BadInputError(
            f"there is no rule {rule!r} for a threshold",
            expected="eer, apcer<=SHARE or bpcer<=SHARE, such as apcer<=0.05",
            got=rule,
            fix="choose one of these",
        )
    if name == "apcer":
        good = np.flatnonzero(apcer <= limit)
        best = good[bpcer[good] == bpcer[good].min()]
    else:
        good = np.flatnonzero(bpcer <= limit)
        best = good[apcer[good] == apcer[good].min()]
    return float(cuts[best[len(best) // 2]])


def _checked(scores: Any, kinds: Any) -> tuple[np.ndarray, np.ndarray]:
    s, k = np.asarray(scores, dtype=np.float64), np.asarray(kinds).astype(str)
    if s.ndim != 1 or s.shape != k.shape or not len(s) or np.isinf(s).any():
        raise BadInputError(
            "scores and kinds do not fit each other",
            expected="two lists of one length, n >= 1; scores finite or NaN",
            got=f"shapes {s.shape} and {k.shape}",
            fix="give one kind per score",
        )
    if LIVE not in k or (k == LIVE).all():
        raise BadInputError(
            "liveness needs live presentations and attacks",
            expected=f"the kind {LIVE!r}, and at least one other",
            got=", ".join(sorted(set(k.tolist()))),
            fix="check the column of kinds",
        )
    return s, k
