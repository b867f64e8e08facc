"""The outcome of comparing two fingerprints."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from facelab.core.html_table import BAD, GOOD, table
from facelab.core.templates import render
from facelab.fingerprint.diagnosis._distance import Distance
from facelab.fingerprint.diagnosis._finding_kinds import Finding
from facelab.fingerprint.document._schema import Fingerprint

SCHEMA = "facelab.comparison/1"


@dataclasses.dataclass
class Comparison:
    """The outcome of `compare`.

    Attributes
    ----------
    verdict : str
        `identical`, `equivalent`, `mismatch` or `undecided`.
    findings : list of Finding
        The causes, most important first, each with its fix.
    explained : float or None
        Share of the difference's power that the causes account for; None where nothing differs or could be predicted.
    distances : mapping of str to Distance or None
        Largest and RMS difference per probe, in levels of 8-bit input; None where the two tensors cannot be aligned.
    train, infer : Fingerprint
        What was compared.
    notes : list of str
        What else a reader should know.
    first_stage : dict or None
        The first stage that differs, where both sides have specs.
    cost : dict or None
        What the difference costs a model, where that was measured.

    Examples
    --------
    >>> from facelab import fingerprint
    >>> found = fingerprint.compare("train.json", "infer.json")
    >>> found.verdict, found.good, found.findings
    ('equivalent', True, [])
    """

    verdict: str
    findings: list[Finding]
    explained: float | None
    distances: Mapping[str, Distance | None]
    train: Fingerprint
    infer: Fingerprint
    notes: list[str]
    first_stage: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None

    @property
    def good(self) -> bool:
        """Whether inference does what training did."""
        return self.verdict in ("identical", "equivalent")

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain JSON."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "training": self.train.name,
            "inference": self.infer.name,
            "findings": [f.to_dict() for f in self.findings],
            "explained": self.explained,
            "first_deviating_stage": self.first_stage,
            "distances": self.distances,
            "notes": self.notes,
            "cost": self.cost,
        }

    def _repr_html_(self) -> str:
        """Return what JupyterLab shows: the verdict and the causes."""
        rows = [
            (
                f.kind,
                f.stage,
                f.training,
                f.inference,
                f"{share:.1%}" if share is not None else "",
                f.severity,
                f.fix,
            )
            for f in self.findings
            for share in (f.evidence.get("explains"),)
        ]
        names = ("cause", "stage", "training", "inference", "explains", "severity", "fix")
        return render(
            "fingerprint/templates/comparison.html.j2",
            comparison=self,
            colour=GOOD if self.good else BAD,
            causes=table(names, rows) if rows else "",
        )
