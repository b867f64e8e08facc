"""SARIF and JUnit validate, the page is self-contained, the cost is measured on known models."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import numpy as np
import pytest

from facelab.core.errors import BadInputError
from facelab.fingerprint import compare
from facelab.fingerprint import export as export
from facelab.report.fingerprint import page
from facelab.studies import fingerprint_cost as cost
from facelab.studies.planted import BASES, SINGLES

BY_NAME = {m.name: m for m in SINGLES}
GRAY = next(iter(BASES))

# The parts of OASIS SARIF 2.1.0 that a log of results uses, with the specification's required properties, value sets
# and closed objects (section 3.13 on).
TEXT = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": {"type": "string"}, "markdown": {"type": "string"}},
    "additionalProperties": False,
}
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"enum": ["2.1.0"]},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "additionalProperties": False,
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "additionalProperties": False,
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "additionalProperties": False,
                                "properties": {
                                    "name": {"type": "string"},
                                    "version": {"type": "string"},
                                    "informationUri": {"type": "string", "format": "uri"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "additionalProperties": False,
                                            "properties": {
                                                "id": {"type": "string"},
                                                "shortDescription": TEXT,
                                                "help": TEXT,
                                            },
                                        },
                                    },
                                },
                            }
                        },
                    },
                    "properties": {"type": "object"},
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message"],
                            "additionalProperties": False,
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": {"type": "integer", "minimum": -1},
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": TEXT,
                                "properties": {"type": "object"},
                                "locations": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "additionalProperties": False,
                                        "properties": {
                                            "physicalLocation": {
                                                "type": "object",
                                                "additionalProperties": False,
                                                "properties": {
                                                    "artifactLocation": {
                                                        "type": "object",
                                                        "additionalProperties": False,
                                                        "properties": {
                                                            "uri": {
                                                                "type": "string",
                                                                "format": "uri-reference",
                                                            }
                                                        },
                                                    }
                                                },
                                            },
                                            "logicalLocations": {
                                                "type": "array",
                                                "uniqueItems": True,
                                                "items": {
                                                    "type": "object",
                                                    "additionalProperties": False,
                                                    "properties": {
                                                        "name": {"type": "string"},
                                                        "kind": {"type": "string"},
                                                    },
                                                },
                                            },
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}


@pytest.fixture(scope="module")
def comparisons(documented, black_box):
    mistakes = (
        [BY_NAME["mirrored"]],
        [BY_NAME["raw pixels"], BY_NAME["EXIF orientation ignored"]],
        [],
    )
    return [compare(documented(GRAY), black_box(GRAY, *m)) for m in mistakes]


def test_sarif_validates_and_names_each_cause(comparisons):
    for c in comparisons:
        log = json.loads(json.dumps(export.sarif(c)))
        jsonschema.Draft202012Validator(SARIF, format_checker=jsonschema.FormatChecker()).validate(
            log
        )
        run = log["runs"][0]
        assert [r["ruleId"] for r in run["results"]] == [f.kind for f in c.findings]
        assert all(
            run["tool"]["driver"]["rules"][r["ruleIndex"]]["id"] == r["ruleId"]
            for r in run["results"]
        )


def validate_junit(data: bytes) -> ET.Element:
    """The widely used JUnit schema: required attributes, allowed children, and counts that add up."""
    root = ET.fromstring(data)
    allowed = {
        "testsuites": {"testsuite"},
        "testsuite": {"testcase"},
        "testcase": {"failure", "error", "skipped"},
    }
    required = {
        "testsuites": set(),
        "testsuite": {"name", "tests", "failures", "errors"},
        "testcase": {"name", "classname"},
        "failure": {"message", "type"},
    }

    def walk(node):
        assert node.tag in required and required[node.tag] <= set(node.attrib), node.tag
        for child in node:
            assert child.tag in allowed.get(node.tag, set()), (node.tag, child.tag)
            walk(child)

    walk(root)
    for suite in root:
        assert int(suite.get("tests")) == len(suite.findall("testcase"))
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
    return root


def test_junit_validates_and_fails_exactly_on_a_mismatch(comparisons):
    for c in comparisons:
        root = validate_junit(export.junit(c))
        failed = {t.get("name") for t in root.iter("testcase") if t.find("failure") is not None}
        assert bool(failed) == (c.verdict == "mismatch") and {f.kind for f in c.findings} <= failed


def test_control_characters_in_a_name_do_not_break_the_reports(comparisons):
    c = comparisons[0]
    name, c.infer.name = c.infer.name, 'a\x00<b>&"\x1b'
    try:
        validate_junit(export.junit(c))
        assert "<b>" not in page(c).split("<style>")[0] and "&lt;b&gt;" in page(c)
        export.sarif(c)
    finally:
        c.infer.name = name


def test_the_page_stands_alone_and_shows_cause_probes_and_difference(comparisons):
    for c in comparisons:
        text = page(c)
        assert (
            not re.search(r'(?:src|href)="(?!data:)', text)
            and "<script" not in text
            and "url(" not in text
        )
        assert c.verdict in text and text.count("difference on ") >= 12
        assert all(f.kind.replace("_", " ") in text for f in c.findings)


# -- the cost -------------------------------------------------------------------------------------------------------


def images(folder: Path, n: int = 12) -> Path:
    from PIL import Image

    rng = np.random.default_rng(0)
    for k in range(n):
        sub = folder / "ab"[k % 2]
        sub.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(sub / f"{k}.png")
    return folder


def test_agreement_accuracy_and_flips_are_counted(tmp_path):
    files, labels = cost.find_images(images(tmp_path))
    truth = {p: labels.index(v) if False else "ab".index(v) for p, v in zip(files, labels)}
    wrong = set(files[:3])
    c = cost.measure(
        lambda p: np.array([p, False], dtype=object),
        lambda p: np.array([p, True], dtype=object),
        lambda x: np.eye(2)[truth[x[0]] ^ int(x[1] and x[0] in wrong)],
        files,
        labels=labels,
    )
    assert c.agreement == 0.75 and len(c.flips) == 3 and c.severity == "fail"
    assert c.accuracy["training"] == 1.0 and c.accuracy["change"] == -0.25
    assert c.lo < 0.75 < c.hi and (c.lo, c.hi) == cost.wilson(9, 12)


@pytest.mark.parametrize(
    "share,severity",
    [(1.0, "benign"), (0.98, "benign"), (0.97, "warn"), (0.95, "warn"), (0.94, "fail")],
)
def test_severity_follows_the_measured_agreement(share, severity):
    assert cost.Cost("classify", 100, share, 0, 1, []).severity == severity


def test_an_embedder_is_judged_by_cosine_and_tar(tmp_path):
    files, labels = cost.find_images(images(tmp_path))
    rng = np.random.default_rng(1)
    centre = {v: rng.normal(size=128) for v in "ab"}
    noise = {p: rng.normal(size=128) * 0.2 for p in files}
    label = dict(zip(files, labels))

    def model(x):
        p, off = x
        return centre[label[p]] + noise[p] + (rng.normal(size=128) * 3 if off else 0)

    c = cost.measure(
        lambda p: (p, False), lambda p: (p, True), model, files, labels=labels, threshold=0.8
    )
    assert (
        c.task == "embed"
        and c.cosine < 0.7
        and c.tar["training"] == 1.0
        and c.tar["change"] < -0.1
        and c.severity == "fail"
    )


def test_no_image_and_a_broken_model_are_clear_errors(tmp_path):
    with pytest.raises(BadInputError, match="no image"):
        cost.find_images(tmp_path)
    files, _ = cost.find_images(images(tmp_path))
    with pytest.raises(BadInputError, match="not a vector"):
        cost.measure(lambda p: p, lambda p: p, lambda x: [np.nan, 1], files)
