"""The committed conformance table is what is measured now; no backend is off by more than one level."""

import pytest

from facelab.preprocess.internals import conformance

TABLE = "docs/reference/preprocessing-conformance.md"


def rows_of(text):
    lines = [
        [c.strip() for c in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    head, *rows = lines
    return {(r[0], r[1]): dict(zip(head[2:], r[2:])) for r in rows}


@pytest.fixture(scope="module")
def committed(repository):
    return rows_of((repository / TABLE).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def measured():
    return conformance.measure(("opencv", "pillow", "onnx"))


def test_each_verdict_without_tensorflow_is_the_committed_one(committed, measured):
    assert {(r["op"], r["written"]) for r in measured} == set(committed)
    for row in measured:
        old = committed[row["op"], row["written"]]
        for backend in ("opencv", "pillow", "onnx"):
            assert row[backend] == old[backend], (row["op"], row["written"], backend)


@pytest.mark.tensorflow
def test_each_verdict_of_tensorflow_is_the_committed_one(committed):
    for row in conformance.measure(("tensorflow",)):
        assert row["tensorflow"] == committed[row["op"], row["written"]]["tensorflow"], row


def test_no_backend_approximates(committed):
    verdicts = {v for row in committed.values() for v in row.values()}
    assert verdicts == {"exact", "≤ 1 LSB", "not offered", "libjpeg's own"}


def test_every_op_has_rows_and_every_backend_offers_some(committed):
    from facelab.preprocess.ops import STAGES

    assert {op for op, _ in committed} == set(STAGES)
    for backend in conformance.COLUMNS:
        offered = [r[backend] for r in committed.values()]
        assert offered.count("not offered") < len(offered) / 2


def test_a_stale_table_is_distinguished():
    fresh = "| op | as written | x |\n|---|---|---|\n| a | b | exact |\n"
    assert conformance.differences(fresh, fresh) == []
    assert len(conformance.differences(fresh.replace("exact", "≤ 1 LSB"), fresh)) == 2


def test_a_wrong_backend_would_show(monkeypatch):
    from facelab.preprocess.backends import opencv

    monkeypatch.setattr(opencv.Backend, "transform", lambda self, x, name: x)
    row = next(r for r in conformance.measure(("opencv",)) if r["written"] == "flip_horizontal")
    assert row["opencv"].startswith("off by")
