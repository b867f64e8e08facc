"""What is known of the two sides before anything is said: the training pipeline, and how far the sides are apart."""

from __future__ import annotations

import dataclasses

import numpy as np

from facelab.fingerprint.diagnosis._distance import Measured, distance, same
from facelab.fingerprint.diagnosis._finding_kinds import Finding
from facelab.fingerprint.diagnosis._levels import curve_of, level_in
from facelab.fingerprint.document._schema import Fingerprint
from facelab.fingerprint.model._budget import TRAINING_SHARE, Budget
from facelab.fingerprint.model._linear_fit import LEVELS
from facelab.fingerprint.model._observed import Observed
from facelab.fingerprint.model._pipeline_state import Change
from facelab.fingerprint.probes._cache import EXOTIC, Picture, pictures
from facelab.fingerprint.search._identify import identify
from facelab.fingerprint.search._sides import Identified

FEW_VALUES = 16
CLIPPED = 0.25
"""Distinct values, and the share of samples newly at the extremes, from which a loss of levels fails the gate."""


@dataclasses.dataclass(frozen=True)
class Case:
    """Both sides on the probes `names`: the training side's pipeline as it was recognised, the samples of both, the
    size of a level in each channel (`unit`), and per probe how far apart they are (`distances`, in levels)."""

    train: Fingerprint
    infer: Fingerprint
    names: list[str]
    known: dict[str, Picture]
    training: Identified
    train_samples: Observed
    infer_samples: Observed
    unit: np.ndarray
    distances: dict[str, Measured | None]

    def same(self, name: str) -> bool:
        """Whether one probe's difference is rounding, or the noise of two accurate JPEG decoders."""
        d = self.distances[name]
        plain = [
            e["rms"] for n, e in self.distances.items() if e is not None and self.known[n].plain
        ]
        twice = not self.training.good or curve_of(self.training) is not None
        return d is not None and same(self.known[name], d, plain, self._step(), twice=twice)

    def _step(self) -> float:
        """Return how many levels one step is where both sides give signed bytes, which are quantised; else 0."""
        types = [side.output[self.names[0]]["dtype"] for side in (self.train, self.infer)]
        return float(1 / self.unit.min()) if types == ["int8", "int8"] else 0.0

    def plain_differ(self) -> bool:
        """Whether the probes differ that every decoder reads alike."""
        plain = [n for n in self.names if self.known[n].plain or self.known[n].range == "limited"]
        return any(not self.same(n) for n in plain)

    def worst(self) -> str:
        """Return the probe on which the sides are farthest apart."""
        finite = {
            n: d["rms"] for n, d in self.distances.items() if d is not None and n not in EXOTIC
        }
        return max(finite, key=finite.__getitem__) if finite else self.names[0]

    def before(self) -> float:
        """Return the RMS difference in levels on plain probes before anything is explained."""
        found = [d["rms"] for n in self.train_samples.plain if (d := self.distances.get(n))]
        return float(np.sqrt(np.mean(np.square(found)))) if found else float("inf")

    def training_loss_at_inference(self) -> float:
        """Return the levels RMS that training's pipeline leaves of the inference side, whatever its colours."""
        return self.infer_samples.score(self.training.state).loss

    def turned(self) -> list[str]:
        """Return the probes with an EXIF orientation."""
        return [n for n in self.names if self.known[n].source.orientation != 1]

    def whole(self) -> bool:
        """Whether only the inference side gives whole numbers, or both give signed bytes, which are quantised."""
        types = [side.output[self.names[0]]["dtype"] for side in (self.train, self.infer)]
        only = "float" in types[0] and types[1].startswith(("int", "uint"))
        return only or types == ["int8", "int8"]

    def finding(
        self, change: Change, share: float | None = None, probe: str | None = None
    ) -> Finding:
        """Return a finding with its evidence: the difference on `probe`, by default the worst one."""
        probe = probe or self.worst()
        d = self.distances.get(probe)
        evidence = {
            "value": None if d is None else round(d["rms"], 3),
            "unit": "levels RMS",
            "probe": probe,
            "explains": None if share is None else round(float(share), 4),
        }
        severity = self.damage(change.kind)
        layout = self.infer.output[self.names[0]].get("layout", "")
        return Finding(
            change.kind,
            change.stage,
            change.before,
            change.after,
            evidence,
            severity,
            layout=layout,
        )

    def damage(self, kind: str) -> str:
        """Return `fail` where quantising or clipping leaves hardly anything of the picture, else nothing."""
        if kind not in ("quantization", "saturation"):
            return ""
        lost: list[tuple[int, float]] = []
        for side in (self.train_samples, self.infer_samples):
            values = np.concatenate([side.y[n].ravel() for n in side.plain])
            ends: np.ndarray = (values <= values.min()) | (values >= values.max())
            lost.append((len(np.unique(values)), float(ends.mean())))
        few = lost[1][0] <= FEW_VALUES < lost[0][0]
        return "fail" if few or lost[1][1] - lost[0][1] > CLIPPED else ""


@dataclasses.dataclass
class Outcome:
    """What one rule found; `settles` are kinds of interface difference that it makes void."""

    findings: list[Finding] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    explained: float | None = None
    settles: tuple[str, ...] = ()


def make_case(train: Fingerprint, infer: Fingerprint, names: list[str]) -> Case:
    """Recognise the training side and measure how far apart the sides are."""
    budget = Budget()
    budget.limit = TRAINING_SHARE * budget.total
    samples = Observed(train, names, budget)
    training = identify(train, samples)
    budget.limit = budget.total
    unit = training.linear.unit if training.good else _range_unit(train, names)
    least = 1.0 if _whole_numbers(train, infer, names) else 0.0
    curve = curve_of(training)
    distances = {
        n: distance(train, infer, n, np.maximum(level_in(training, n, unit), least), curve)
        for n in names
    }
    return Case(
        train,
        infer,
        names,
        pictures(),
        training,
        samples,
        Observed(infer, names, budget),
        unit,
        distances,
    )


def _whole_numbers(train: Fingerprint, infer: Fingerprint, names: list[str]) -> bool:
    """Whether both sides give integers: nothing between two of them exists, so that a step is the least difference.

    A quantised range of more than 255 levels (pixels less three means) makes a step larger than a level.
    """
    types = {side.output[n]["dtype"] for side in (train, infer) for n in names}
    return all(t.startswith(("int", "uint")) for t in types)


def _range_unit(train: Fingerprint, names: list[str]) -> np.ndarray:
    """The size of one 8-bit level in each channel of a side that was not recognised, from its extremes."""
    values = [train.output[n]["moments"] for n in names]
    lo = np.min([v["min"] for v in values], axis=0)
    hi = np.max([v["max"] for v in values], axis=0)
    return np.maximum((hi - lo) / LEVELS, 1e-12)
