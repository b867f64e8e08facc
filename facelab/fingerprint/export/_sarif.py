"""A comparison as SARIF 2.1.0, for code scanning."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import facelab
from facelab.core.files import write_json
from facelab.fingerprint.diagnosis._compare import Comparison
from facelab.fingerprint.diagnosis._finding_kinds import FIX, KINDS, Finding

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"fail": "error", "warn": "warning", "benign": "note"}


def sentence(f: Finding) -> str:
    """Return a finding in one line: cause, both values, how much it explains, and the fix."""
    share = f.evidence.get("explains")
    explained = f" Explains {share:.0%} of the difference." if share is not None else ""
    figure = ""
    if f.evidence.get("value") is not None:
        figure = f" {f.evidence['value']:g} {f.evidence['unit']} on probe {f.evidence['probe']!r}."
    return f"{f.kind} ({f.stage}): training {f.training}; inference {f.inference}.{figure}{explained} {f.fix}"


def sarif(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as a SARIF 2.1.0 log; each finding is a result located at the inference fingerprint."""
    uri = Path(comparison.infer.path or comparison.infer.name or "inference").as_posix()
    rules = [
        {
            "id": kind,
            "shortDescription": {"text": f"Preprocessing differs: {kind.replace('_', ' ')}"},
            "help": {"text": FIX[kind].format(train="(training)", infer="(inference)")},
        }
        for kind in KINDS
    ]
    results = [
        {
            "ruleId": f.kind,
            "ruleIndex": KINDS.index(f.kind),
            "level": LEVELS[f.severity],
            "message": {"text": sentence(f)},
            "locations": [
                {
                    "physicalLocation": {"artifactLocation": {"uri": _uri(uri)}},
                    "logicalLocations": [{"name": f.stage, "kind": "member"}],
                }
            ],
            "properties": {
                "training": f.training,
                "inference": f.inference,
                "evidence": f.evidence,
                "severity": f.severity,
                "severityFrom": f.severity_from,
            },
        }
        for f in comparison.findings
    ]
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "facelab fingerprint",
                        "version": facelab.__version__,
                        "rules": rules,
                    }
                },
                "results": results,
                "properties": {
                    "verdict": comparison.verdict,
                    "training": comparison.train.name,
                    "inference": comparison.infer.name,
                    "explained": comparison.explained,
                },
            }
        ],
    }


def _uri(path: str) -> str:
    from urllib.parse import quote

    return quote(path, safe="/._-~")


def write_sarif(comparison: Comparison, path: str | os.PathLike[str]) -> Path:
    """Write the SARIF log atomically."""
    return write_json(path, sarif(comparison))
