"""Each kind of the closed list is planted, documented with its severity, and a SARIF rule."""

import re
from pathlib import Path

import pytest

from facelab.fingerprint import compare
from facelab.fingerprint.diagnosis._finding_kinds import FIX, KINDS, SEVERITY
from facelab.fingerprint.diagnosis._spec_diff import spec_changes
from facelab.fingerprint.export import sarif
from facelab.studies import planted
from facelab.studies.planted import BASES, SINGLES, SPECS

DOCS = Path(__file__).resolve().parents[2] / "docs/how-to/fingerprint-gate.md"
NOT_PLANTED = {"rounding", "unknown"}
"""Only two specs show rounding, and unknown is what is left. Other tests cover both."""


def documented_kinds() -> dict[str, str]:
    text = DOCS.read_text().split("## The kinds", 1)[1].split("\n## ", 1)[0]
    return dict(re.findall(r"^\| `(\w+)` \| .+ \| (\w+) \|$", text, re.M))


def test_the_documented_list_is_the_closed_list_in_its_order_with_its_severities():
    assert list(documented_kinds().items()) == [(k, SEVERITY[k]) for k in KINDS]


def test_every_kind_is_the_first_one_of_a_planted_mistake():
    assert {m.kinds[0] for m in SINGLES} == set(KINDS) - NOT_PLANTED


def test_every_planted_mistake_suits_a_base_and_has_a_name_of_its_own():
    assert all(any(m.suits(b) for b in BASES) for m in SINGLES)
    assert len({m.name for m in SINGLES}) == len(SINGLES)


def test_every_kind_is_a_sarif_rule_with_the_sentence_that_fixes_it():
    base = "emotion-64-gray"
    log = sarif(compare(planted.documented(base), planted.documented(base)))
    rules = log["runs"][0]["tool"]["driver"]["rules"]
    assert [r["id"] for r in rules] == list(KINDS)
    for r in rules:
        assert r["help"]["text"] == FIX[r["id"]].format(train="(training)", infer="(inference)")


def test_another_rounding_is_told_from_two_specs():
    stages = SPECS["emotion-64-gray"]
    other = [dict(s, rounding="truncate") if s["op"] == "resize" else s for s in stages]
    found = spec_changes({"stages": stages}, {"stages": other})
    assert [c.kind for c, _ in found] == ["rounding"]


NEW = ("CLAHE", "bytes above 127 read as negative", "the rows of 16:9 only", "YCrCb for RGB")


@pytest.mark.parametrize("name", NEW)
def test_mistakes_that_reports_added_are_named(name, documented, black_box):
    mistake = next(m for m in SINGLES if m.name == name)
    base = next(b for b in BASES if mistake.suits(b))
    found = [f.kind for f in compare(documented(base), black_box(base, mistake)).findings]
    assert found == [mistake.kinds[0]]
