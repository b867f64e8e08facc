"""A comparison as JUnit XML, for test reports."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree as ET

from facelab.core.files import write_bytes
from facelab.fingerprint.diagnosis._comparison import Comparison
from facelab.fingerprint.export._sarif import sentence

_XML_BAD = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(comparison: Comparison) -> bytes:
    """Return the comparison as JUnit XML: a test case per probe, and one per cause.

    A probe beyond rounding fails while the verdict is a mismatch; a benign cause is not a failure.
    """
    mismatch = not comparison.good
    cases: list[ET.Element] = []
    for f in comparison.findings:
        case = ET.Element("testcase", classname="facelab.fingerprint.cause", name=f.kind, time="0")
        if f.severity != "benign" and mismatch:
            failure = ET.SubElement(case, "failure", message=xml_text(f.fix), type=f.kind)
            failure.text = xml_text(sentence(f))
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
        ET.SubElement(
            case, "failure", message=comparison.verdict, type=comparison.verdict
        ).text = xml_text("; ".join(comparison.notes) or comparison.verdict)
        cases.append(case)
    failures = sum(c.find("failure") is not None for c in cases)
    suite = ET.Element(
        "testsuite",
        name=xml_text(f"{comparison.train.name} against {comparison.infer.name}"),
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


def xml_text(text: str) -> str:
    """Drop characters that XML cannot hold."""
    return _XML_BAD.sub("?", text)


def write_junit(comparison: Comparison, path: str | os.PathLike[str]) -> Path:
    """Write the JUnit report atomically."""
    return write_bytes(path, junit(comparison))
