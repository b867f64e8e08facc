"""A verdict as SARIF 2.1.0 and JUnit XML: the gate's checks, and the fingerprint's findings by its own exporters."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree as ET

import facelab
from facelab.core import escape
from facelab.core.files import write_bytes, write_json
from facelab.deploy._gate import Verdict
from facelab.deploy.policy import CHECKS
from facelab.fingerprint import export as fingerprint_export

ABOUT = {
    "integrity": "Every file of the bundle has the bytes that its manifest promises",
    "fingerprint": "Inference preprocesses as training did",
    "golden_outputs": "The model's outputs are the golden ones",
    "int8": "Quantisation stays within its budgets",
    "accuracy": "No quality figure is worse than the baseline's beyond noise",
    "thresholds": "Thresholds were chosen on other data than they are reported on",
    "model_size": "The model's file fits the target device",
    "latency": "A call is fast enough on the target device",
    "memory": "Peak memory fits the target device",
}
"""What each check asks, as a rule."""


def sarif(verdict: Verdict) -> dict:
    """Return the verdict as a SARIF 2.1.0 log: a run of the gate, and the fingerprint's own run where there is one."""
    rules = [{"id": name, "shortDescription": {"text": ABOUT[name]}} for name in CHECKS]
    results = [
        {
            "ruleId": c.name,
            "ruleIndex": CHECKS.index(c.name),
            "level": "error",
            "message": {"text": escape.block(f"{c.what}." + (f" Fix: {c.fix}." if c.fix else ""))},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": _uri(verdict.bundle, c.file or "manifest.json")}
                    }
                }
            ],
            "properties": {"status": c.status, "causes": list(c.causes)},
        }
        for c in verdict.checks
        if c.name in verdict.refused
    ]
    gate = {
        "tool": {
            "driver": {"name": "facelab gate", "version": facelab.__version__, "rules": rules}
        },
        "results": results,
        "properties": {"verdict": verdict.word, "policy": verdict.policy},
    }
    runs = [gate]
    if verdict.comparison is not None:
        runs += fingerprint_export.sarif(verdict.comparison)["runs"]
    return {"$schema": fingerprint_export.SARIF_SCHEMA, "version": "2.1.0", "runs": runs}


def _uri(bundle: Path, file: str) -> str:
    from urllib.parse import quote

    return quote((Path(bundle) / file).as_posix(), safe="/._-~", errors="surrogateescape")


def junit(verdict: Verdict) -> bytes:
    """Return the verdict as JUnit XML: a suite of the checks, and the fingerprint's suites where there is one."""
    suite = ET.Element(
        "testsuite", name=_clean(f"gate {verdict.name}"), errors="0", time=f"{verdict.seconds:.3f}"
    )
    for c in verdict.checks:
        case = ET.SubElement(suite, "testcase", classname="facelab.gate", name=c.name, time="0")
        if c.name in verdict.refused:
            ET.SubElement(
                case,
                "failure",
                message=_clean(c.what),
                type=_clean(c.causes[0] if c.causes else c.status),
            ).text = _clean(f"{c.what}\n{c.fix}".strip())
        elif c.status == "skipped":
            ET.SubElement(case, "skipped", message=_clean(c.what))
    for absent in [n for n in verdict.refused if n not in {c.name for c in verdict.checks}]:
        case = ET.SubElement(suite, "testcase", classname="facelab.gate", name=absent, time="0")
        ET.SubElement(case, "failure", message="required, but switched off", type="policy")
    cases = suite.findall("testcase")
    counts = {
        "tests": len(cases),
        "failures": sum(c.find("failure") is not None for c in cases),
        "skipped": sum(c.find("skipped") is not None for c in cases),
    }
    for key, value in counts.items():
        suite.set(key, str(value))
    root = ET.Element("testsuites", name="facelab gate")
    root.append(suite)
    if verdict.comparison is not None:
        root.extend(
            ET.fromstring(fingerprint_export.junit(verdict.comparison)).findall("testsuite")
        )
    for key in ("tests", "failures"):
        root.set(key, str(sum(int(s.get(key, "0")) for s in root.findall("testsuite"))))
    root.set("errors", "0")
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def _clean(text: str) -> str:
    return escape.xml(text)


def write_sarif(verdict: Verdict, path: str | os.PathLike) -> Path:
    """Write the SARIF log atomically.

    Parameters
    ----------
    verdict : Verdict
        The verdict of `judge`.
    path : str or path
        A file.

    Returns
    -------
    path
        The path of the file.
    """
    return write_json(path, sarif(verdict))


def write_junit(verdict: Verdict, path: str | os.PathLike) -> Path:
    """Write the JUnit report atomically.

    Parameters
    ----------
    verdict : Verdict
        The verdict of `judge`.
    path : str or path
        A file.

    Returns
    -------
    path
        The path of the file.
    """
    return write_bytes(path, junit(verdict))
