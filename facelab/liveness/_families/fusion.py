"""Fusion: one calibrated probability of "live" from the scores of several models, by ridge logistic regression."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.files import read_json, write_json
from facelab.liveness._base import LivenessModel
from facelab.liveness._presentation import Presentation
from facelab.metrics.liveness import LIVE

SCHEMA = "facelab.liveness.fusion/1"
RIDGES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Penalties that are tried where none is given."""
FOLDS = 5


class Fusion(LivenessModel):
    """The probability of "live" by logistic regression on the logits of the members' scores.

    With one member it is that member, calibrated. Where a member has no answer, the fusion has none: a missing sensor
    must not make an attack easier.

    Parameters
    ----------
    name : str
        For reports.
    members : sequence of LivenessModel
        At least one.
    weights : (m,) array
        Per member, of its standardised logit.
    bias : float
        Added to the sum.
    centre, spread : (m,) arrays
        Mean and standard deviation of the logits on the training set.
    threshold : float
        Where "live" begins.
    """

    family = "fusion"

    def __init__(
        self,
        name: str,
        members: Sequence[LivenessModel],
        weights: np.ndarray,
        bias: float,
        centre: np.ndarray,
        spread: np.ndarray,
        *,
        threshold: float = 0.5,
    ):
        super().__init__(name)
        self.members = tuple(members)
        self.weights, self.centre, self.spread = (
            np.asarray(a, float) for a in (weights, centre, spread)
        )
        self.bias, self.threshold = float(bias), float(threshold)
        numbers = np.concatenate(
            [self.weights, self.centre, self.spread, [self.bias, self.threshold]]
        )
        fits = {len(self.members)} == {a.size for a in (self.weights, self.centre, self.spread)}
        if (
            not fits
            or not self.members
            or not np.isfinite(numbers).all()
            or (self.spread <= 0).any()
        ):
            raise BadInputError(
                "the numbers of a fusion do not fit its members",
                where=name,
                expected=f"{len(self.members)} finite weights, centres and spreads above 0",
                got=f"{self.weights.size}, {self.centre.size}, {self.spread.size}",
                fix="fit the fusion again",
            )
        self.needs = frozenset().union(*(m.needs for m in self.members))

    def _score(self, presentation: Presentation) -> tuple[float, str, dict[str, float]]:
        logits, details = np.zeros(len(self.members)), {}
        for k, member in enumerate(self.members):
            answer = member.score(presentation)
            if not answer.answered:
                return math.nan, f"{member.name}: {answer.reason}", details
            logits[k] = logit(answer.score)
            details[member.name] = answer.score
        z = float(self.weights @ ((logits - self.centre) / self.spread) + self.bias)
        return sigmoid(z), "", details

    def describe(self) -> dict[str, Any]:
        """Return name, members and weights."""
        return {
            **super().describe(),
            "members": [m.describe() for m in self.members],
            **self._numbers(),
        }

    def _numbers(self) -> dict[str, Any]:
        return {
            "weights": self.weights.tolist(),
            "bias": self.bias,
            "centre": self.centre.tolist(),
            "spread": self.spread.tolist(),
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write members' names and numbers as JSON (`facelab.liveness.fusion/1`), atomically; `load` reads it."""
        names = [m.name for m in self.members]
        value = {"schema": SCHEMA, "members": names, **self._numbers(), "threshold": self.threshold}
        return write_json(path, value)


def logit(share: float) -> float:
    """Return the logit of a share, which is kept 1e-4 away from 0 and 1.

    >>> logit(0.5), round(logit(1.0), 2)
    (0.0, 9.21)
    """
    p = min(max(share, 1e-4), 1 - 1e-4)
    return math.log(p / (1 - p))


def sigmoid(z: float) -> float:
    """Return 1 / (1 + exp(-z)) without overflow.

    >>> sigmoid(0.0), sigmoid(-1e4) < 1e-300, sigmoid(1e4)
    (0.5, True, 1.0)
    """
    if z >= 0:
        return 1 / (1 + math.exp(-z))
    e = math.exp(max(z, -745.0))
    return e / (1 + e)


def fit_fusion(
    members: Sequence[LivenessModel],
    data: Sequence[Presentation],
    *,
    name: str = "fusion",
    ridge: float | None = None,
) -> Fusion:
    """Fit a fusion on the presentations of the split `train`.

    Attack kinds weigh the same in sum as live faces do, however many there are of each.

    Parameters
    ----------
    members : sequence of LivenessModel
        At least one.
    data : sequence of Presentation
        Those of other splits are left alone, and so are those that a member does not answer.
    name : str
        For reports.
    ridge : float, optional
        Penalty on squared weights; keeps them finite where the classes are separable. By default the one of `RIDGES`
        with the least log loss over five folds of the training people.

    Returns
    -------
    Fusion
        With the threshold 0.5 of its probability; `evaluate` chooses another on other identities.

    Raises
    ------
    BadInputError
        There are fewer than two answered live faces or attacks to train on.

    Examples
    --------
    >>> from facelab import liveness
    >>> faces = liveness.rendered(4, kinds=("live", "screen"))
    >>> fusion = fit_fusion([liveness.load("depth-geometry")], faces)
    >>> fusion.is_live(faces[0]), fusion.is_live(faces[1])
    (True, False)
    """
    train = [p for p in data if p.split == "train"]
    rows = [[m.score(p).score for m in members] for p in train]
    scores = np.array(rows, float).reshape(len(rows), len(members))
    kept = np.isfinite(scores).all(axis=1)
    live = np.array([p.kind == LIVE for p in train], bool)[kept]
    if live.sum() < 2 or (~live).sum() < 2:
        raise BadInputError(
            "a fusion needs live faces and attacks to train on",
            expected="two answered presentations of each, of the split `train`",
            got=f"{int(live.sum())} live, {int((~live).sum())} attacks, {int((~kept).sum())} without an answer",
            fix="give more presentations, or members that answer them",
        )
    logits = np.array([[logit(v) for v in row] for row in scores[kept]])
    centre, spread = logits.mean(axis=0), np.maximum(logits.std(axis=0), 1e-6)
    weight = np.where(live, 0.5 / live.sum(), 0.5 / (~live).sum()) * len(live)
    x, y = (logits - centre) / spread, live.astype(float)
    if ridge is None:
        people = np.array([p.identity for p in train])[kept]
        ridge = min(RIDGES, key=lambda r: _loss_out_of_fold(x, y, weight, people, r))
    solution = _logistic(x, y, weight, ridge)
    return Fusion(name, members, solution[:-1], solution[-1], centre, spread)


def _logistic(x: np.ndarray, y: np.ndarray, weight: np.ndarray, ridge: float) -> np.ndarray:
    """Return (m + 1,) weights and bias by Newton's method; the bias is not penalised."""
    design = np.c_[x, np.ones(len(x))]
    penalty = np.diag([ridge] * x.shape[1] + [1e-9])
    beta = np.zeros(design.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -500, 500)))
        gradient = design.T @ (weight * (p - y)) + penalty @ beta
        hessian = design.T @ (design * (weight * p * (1 - p))[:, None]) + penalty
        step = np.linalg.solve(hessian, gradient)
        beta = beta - step * min(1.0, 5.0 / max(1e-12, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-9:
            break
    return beta


def _loss_out_of_fold(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, people: np.ndarray, ridge: float
) -> float:
    """Return the weighted log loss of predictions for persons that the fit has not seen."""
    _, who = np.unique(people, return_inverse=True)
    loss = 0.0
    for fold in range(FOLDS):
        held = who % FOLDS == fold
        if held.all() or not held.any():
            continue
        beta = _logistic(x[~held], y[~held], weight[~held], ridge)
        z = np.clip(np.c_[x[held], np.ones(held.sum())] @ beta, -500, 500)
        loss += float(weight[held] @ (np.logaddexp(0, z) - y[held] * z))
    return loss


def read_fusion(path: str | os.PathLike[str], load: Any) -> Fusion:
    """Return a fusion from its file; `load` opens members by name. Raises BadInputError for another document."""
    value = read_json(path)
    names = value.get("members") if isinstance(value, dict) else None
    numbers = ("weights", "bias", "centre", "spread", "threshold")
    if (
        not isinstance(value, dict)
        or value.get("schema") != SCHEMA
        or not isinstance(names, list)
        or not all(isinstance(n, str) for n in names)
        or not all(_numeric(value.get(k), k in ("bias", "threshold")) for k in numbers)
    ):
        raise BadInputError(
            "the file is not a fusion of liveness models",
            where=path,
            expected=f"schema {SCHEMA}, members, {', '.join(numbers)}",
            got=f"schema {value.get('schema')!r}"
            if isinstance(value, dict)
            else type(value).__name__,
            fix="write it with Fusion.save, or `facelab eval liveness --fusion-out`",
        )
    if any(n.endswith(".json") for n in names):
        raise BadInputError(
            "a fusion cannot have a fusion as a member",
            where=path,
            got=", ".join(names),
            fix="list the models themselves",
        )
    arrays = [np.array(value[k], float) for k in ("weights", "centre", "spread")]
    return Fusion(
        Path(path).name,
        [load(n) for n in names],
        arrays[0],
        value["bias"],
        arrays[1],
        arrays[2],
        threshold=value["threshold"],
    )


def _numeric(value: Any, single: bool) -> bool:
    def number(v: Any) -> bool:
        return isinstance(v, (int, float)) and not isinstance(v, bool)

    return number(value) if single else isinstance(value, list) and all(map(number, value))


LIVENESS = Fusion
