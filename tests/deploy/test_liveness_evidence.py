"""The gate takes evaluations of liveness: real ones become records, and rates that are too good are refused."""

import json

import pytest

from facelab import liveness
from facelab.core.compare_records import compare
from facelab.core.errors import BadInputError
from facelab.deploy import _checks as checks
from facelab.deploy import policy
from facelab.deploy.internals import evidence


@pytest.fixture(scope="module")
def document():
    """Return the document of a real evaluation on a few rendered people."""
    shown = liveness.rendered(8, seed=3)
    found = liveness.evaluate(liveness.load("depth-geometry"), shown)
    return json.loads(json.dumps(found.to_dict()))


def saved(tmp_path, value):
    path = tmp_path / "liveness.json"
    path.write_text(json.dumps(value))
    return path


def test_rates_become_records_with_intervals(document, tmp_path):
    many = {"schema": "facelab.eval.liveness.models/1", "models": [document]}
    for value in (document, many):
        found = {r.metric: r for r in evidence.read(saved(tmp_path, value))}
        assert {"BPCER", "ACER"} < set(found) and any(m.startswith("APCER ") for m in found)
        assert all(r.better == "lower" and r.lo <= r.value <= r.hi for r in found.values())
        assert found["ACER"].case == "depth-geometry" and "validation" in found["ACER"].note


def test_worse_rates_than_the_baselines_fail_the_accuracy_check(document, tmp_path):
    mine = evidence.read(saved(tmp_path, document))
    rules = policy.default()
    wanted = checks.wanted(rules)
    assert {r.metric for r in mine if wanted(r)} == {r.metric for r in mine}
    worse = json.loads(json.dumps(document))
    for rate in (
        worse["rates"]["bpcer"],
        worse["rates"]["acer"],
        *worse["rates"]["apcer"].values(),
    ):
        rate.update(value=0.95, lo=0.9, hi=1.0)
    theirs = evidence.read(saved(tmp_path, worse))
    a, b = evidence.align(mine, theirs, wanted)
    assert checks.accuracy(compare(a, b), "baseline", rules).status == "fail"
    a, b = evidence.align(mine, mine, wanted)
    assert checks.accuracy(compare(a, b), "baseline", rules).status == "pass"


def test_a_threshold_chosen_on_the_reported_split_is_refused(document, tmp_path):
    with pytest.raises(BadInputError, match="chosen on") as e:
        evidence.read(saved(tmp_path, {**document, "chosen_on": document["reported_on"]}))
    assert e.value.fix


@pytest.mark.parametrize(
    "change",
    [{"rates": {}}, {"model": None}, {"rates": {"apcer": {}, "bpcer": 2, "acer": 3, "counts": {}}}],
)
def test_documents_that_cannot_be_read_are_refused(document, tmp_path, change):
    with pytest.raises(BadInputError, match="not an evaluation"):
        evidence.read(saved(tmp_path, {**document, **change}))
    with pytest.raises(BadInputError, match="not an evaluation"):
        evidence.read(saved(tmp_path, {"schema": "facelab.eval.liveness.models/1", "models": []}))
