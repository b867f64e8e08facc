"""Pipelines as other people write them: a correct one is never accused, and what differs is named or unknown."""

from __future__ import annotations

import functools
from pathlib import Path

import field_table as table
import pytest

from facelab.fingerprint import Comparison, capture_target, compare

HERE = Path(table.__file__).parent
EVERY = 12
"""One row in this many is in the default lane."""
ALWAYS = ("e06", "e25", "e46", "k11", "l45", "l46", "n39", "q36")
"""Rows whose first answer was a false or a weak one: they are in the default lane too."""
HEAVY = ("tensorflow", "keras", "onnx", "restored", "timm", "triangular", "compiled", "dask")
NOT_NAMED = frozenset({"n24", "n25", "n29", "n30", "n32", "n33", "j26", "k04", "q25"})
"""Rows whose cause is not named: the training side is not recognised, or two things change at once."""


@functools.cache
def captured(target: str, probes: str):
    module, function = target.split(".")
    path = f"{HERE / module}.py:{function}"
    return capture_target(path, families=[probes] if probes else None)


def compared(pair: table.Pair, *, turned: bool = False) -> Comparison:
    sides = captured(pair.train, pair.probes), captured(pair.infer, pair.probes)
    return compare(*(sides[::-1] if turned else sides))


def said(c: Comparison) -> tuple:
    return c.verdict, [(f.kind, f.training, f.inference) for f in c.findings], c.notes


def marked(i: int, pair: table.Pair):
    heavy = any(word in pair.train + pair.infer for word in HEAVY)
    slow = pair.name not in ALWAYS and (i % EVERY > 0 or heavy)
    return pytest.param(pair, marks=[pytest.mark.slow] if slow else [], id=pair.name)


@pytest.mark.parametrize("pair", [marked(i, p) for i, p in enumerate(table.PAIRS)])
def test_no_correct_pipeline_is_accused_and_no_wrong_cause_is_named(pair):
    c = compared(pair)
    outcome = table.outcome(pair, c.verdict, [f.kind for f in c.findings])
    allowed = ("right", "unknown") if pair.name in NOT_NAMED else ("right",)
    assert outcome in allowed, (outcome, said(c))
    if pair.same:
        back = compared(pair, turned=True)
        assert back.good, said(back)


def test_the_collection_is_as_large_as_promised():
    same = [p for p in table.PAIRS if p.same]
    assert len(table.PAIRS) == 599
    assert len(same) >= 25
    assert len({p.name for p in table.PAIRS}) == len(table.PAIRS)
    assert len(table.KEPT) == 82


def test_an_unheard_of_outcome_counts_as_what_it_is():
    same = next(p for p in table.PAIRS if p.same)
    other = next(p for p in table.PAIRS if p.must == {"channel_order"})
    assert table.outcome(same, "equivalent", []) == "right"
    assert table.outcome(same, "mismatch", ["unknown"]) == "false"
    assert table.outcome(other, "mismatch", ["channel_order"]) == "right"
    assert table.outcome(other, "mismatch", ["unknown"]) == "unknown"
    assert table.outcome(other, "mismatch", ["channel_order", "gamma"]) == "false"
    assert table.outcome(other, "equivalent", []) == "missed"


@pytest.mark.parametrize("name", ["l34", "l40"])
def test_no_codec_is_hinted_at_where_pictures_differ_more_than_any_codec_makes_them(name):
    pair = next(p for p in table.PAIRS if p.name == name)
    assert not [n for n in compared(pair).notes if "codec" in n]


def test_what_overshoots_black_and_white_on_one_side_is_a_note():
    for name, side in (("q36", "inference"), ("q37", "training")):
        pair = next(p for p in table.PAIRS if p.name == name)
        assert any(f"only {side} has values beyond" in n for n in compared(pair).notes)


def test_a_side_that_was_not_recognised_is_described_by_its_own_divisor():
    pair = next(p for p in table.PAIRS if p.name == "q35")
    assert "/ 128" in compared(pair).findings[0].training
