"""A comparison as SARIF 2.1.0 (code scanning) and as JUnit XML (test reports)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import facelab
from facelab.core.files import write_bytes, write_json
from facelab.fingerprint.compare import Comparison
from facelab.fingerprint.kinds import FIX, KINDS, Finding

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"fail": "error", "warn": "warning", "benign": "note"}
_XML_BAD = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def sentence(f: Finding) -> str:
    """Return a finding in one line: cause, both values, how much it explains, and the fix."""
    share = f.evidence.get("explains")
    explained = f" Explains {share:.0%} of the difference." if share is not None else ""
    figure = ""
    if f.evidence.get("value") is not None:
        figure = f" {f.evidence['value']:g} {f.evidence['unit']} on probe {f.evidence['probe']!r}."
    return f"{f.kind} ({f.stage}): training {f.training}; inference {f.inference}.{figure}{explained} {f.fix}"


def sarif(comparison: Comparison) -> dict:
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


def write_sarif(comparison: Comparison, path: str | os.PathLike) -> Path:
    """Write the SARIF log atomically."""
    return write_json(path, sarif(comparison))


def junit(comparison: Comparison) -> bytes:
    """Return the comparison as JUnit XML: a test case per probe, and one per cause.

    A probe beyond rounding fails while the verdict is a mismatch; a benign cause is no failure.
    """
    mismatch = comparison.verdict == "mismatch"
    cases: list[ET.Element] = []
    for f in comparison.findings:
        case = ET.Element("testcase", classname="facelab.fingerprint.cause", name=f.kind, time="0")
        if f.severity != "benign" and mismatch:
            failure = ET.SubElement(case, "failure", message=_clean(f.fix), type=f.kind)
            failure.text = _clean(sentence(f))
        cases.append(case)
    for probe, d in comparison.distances.items():
        case = ET.Element("testcase", classname="facelab.fingerprint.probe", name=probe, time="0")
        if mismatch and (d is None or d["rms"] > 1.0):
            text = (
                "the tensors have different shapes"
                if d is None
                else f"differs by {d['rms']:.2f} levels RMS, at most {d['max']:.2f}"
            )
            ET.SubElement(case, "failure", message=text, type="difference").text = text
        cases.append(case)
    if mismatch and not any(c.find("failure") is not None for c in cases):
        case = ET.Element("testcase", classname="facelab.fingerprint", name="verdict", time="0")
        ET.SubElement(case, "failure", message="mismatch", type="mismatch").text = "mismatch"
        cases.append(case)
    failures = sum(c.find("failure") is not None for c in cases)
    suite = ET.Element(
        "testsuite",
        name=_clean(f"{comparison.train.name} against {comparison.infer.name}"),
        tests=str(len(cases)),
        failures=str(failures),
        errors="0",
        skipped="0",
        time="0",
    )
    suite.extend(cases)
    root = ET.Element(
        "testsuites", tests=str(len(cases)), failures=str(failures), errors="0", time="0"
    )
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def _clean(text: str) -> str:
    """Drop characters that XML cannot hold."""
    return _XML_BAD.sub("?", text)


def write_junit(comparison: Comparison, path: str | os.PathLike) -> Path:
    """Write the JUnit report atomically."""
    return write_bytes(path, junit(comparison))
