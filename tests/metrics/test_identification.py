"""Identification among many (1:N), and thresholds chosen on other people than they are reported on."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.cli import run
from facelab.core.errors import BadInputError
from facelab.deploy.internals import thresholds
from facelab.metrics.identification import evaluate
from facelab.metrics.identity_halves import choose, every_pair, halves
from facelab.metrics.verification import distances


def by_hand(gallery, enrolled, probes, shown, fpir):
    """The definitions, one search at a time."""
    unit = [x / np.linalg.norm(x) for x in gallery]
    ranks, alarms, own = [], [], []
    for x, who in zip(probes, shown):
        people = {}
        for g, name in zip(unit, enrolled):
            people[name] = max(people.get(name, -9), float(g @ x / np.linalg.norm(x)))
        if who in people:
            ranks.append(sum(v >= people[who] for v in people.values()))
            own.append(people[who])
        else:
            alarms.append(max(people.values()))
    best = 1.0
    for t in [*alarms, *own, 2.0]:
        if np.mean([a >= t for a in alarms]) <= fpir:
            missed = np.mean([not (r == 1 and s >= t) for r, s in zip(ranks, own)])
            best = min(best, missed)
    return ranks, best


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_ranks_and_fnir_are_those_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    names = [f"p{k}" for k in range(8)]
    means = {n: rng.normal(size=6) for n in names}
    draw = lambda n: means[n] + rng.normal(size=6) * 0.8  # noqa: E731
    enrolled = [n for n in names[:5] for _ in range(2)]
    shown = [n for n in names for _ in range(5)] * 3
    gallery, probes = (np.array([draw(n) for n in who]) for who in (enrolled, shown))
    got = evaluate(gallery, enrolled, probes, shown, fpirs=(0.2,), ranks=(1, 3), seed=1)
    ranks, fnir = by_hand(gallery, enrolled, probes, shown, 0.2)
    assert got.place[got.place > 0].tolist() == ranks
    assert got.ranks["3"]["value"] == pytest.approx(np.mean(np.array(ranks) <= 3))
    assert got.open_set[0]["fnir"] == pytest.approx(fnir) and got.open_set[0]["fpir"] <= 0.2
    assert (got.mated, got.unmated, got.people) == (75, 45, 5)


def test_a_search_without_a_face_is_a_miss_and_never_an_alarm():
    gallery = np.eye(3)
    probes = np.array([[1, 0, 0], [np.nan] * 3, [0, 1, 0], [np.nan] * 3])
    got = evaluate(gallery, ["a", "b", "c"], probes, ["a", "a", "b", "stranger"], fpirs=())
    assert got.failed == 2 and got.ranks["1"]["value"] == pytest.approx(2 / 3)
    assert got.place.tolist() == [1, 0, 1, 0]


def test_a_rate_that_the_searches_cannot_support_is_refused():
    got = evaluate(np.eye(2), ["a", "b"], np.eye(2), ["a", "x"], fpirs=(0.001,))
    assert got.open_set[0]["fnir"] is None and "1 searches" in got.open_set[0]["refused"]
    assert "refused" in str(got)


def test_ties_count_against_the_search():
    got = evaluate(np.array([[1.0, 0], [1.0, 0]]), ["a", "b"], np.array([[1.0, 0]]), ["a"])
    assert got.place.tolist() == [2]


@pytest.mark.parametrize(
    "args, says",
    [
        ((np.eye(2), ["a"], np.eye(2), ["a", "b"]), "do not fit"),
        ((np.eye(2), ["a", "b"], np.eye(3), ["a", "b", "c"]), "do not fit"),
        ((np.eye(2), ["a", "b"], np.eye(2), ["x", "y"]), "nobody who is enrolled"),
        ((np.full((1, 2), np.nan), ["a"], np.eye(2), ["a", "b"]), "no embedding"),
    ],
)
def test_wrong_input_is_refused(args, says):
    with pytest.raises(BadInputError, match=says):
        evaluate(*args)


def people(n, each, seed=0, spread=0.35):
    rng = np.random.default_rng(seed)
    who = np.repeat([f"p{k:03d}" for k in range(n)], each)
    means = rng.normal(size=(n, 24))
    rows = np.repeat(means, each, axis=0) + rng.normal(size=(n * each, 24)) * spread
    return rows, who


def test_no_person_chooses_and_reports():
    rows, who = people(40, 3)
    a, b, same, first, second = every_pair(rows[::2], rows[1::2], who[::2], who[1::2])
    assert len(same) == 120 * 119 // 2 and same.sum() == 40 * 3
    found = choose(distances(a, b), same, first, second, 0.01, replicates=50)
    assert (
        not set(found.chosen) & set(found.reported)
        and len(found.chosen) == len(found.reported) == 20
    )
    assert found.pairs["chose"] + found.pairs["reported"] + found.crossing == len(same)
    assert found.far < 0.05 and found.tar > 0.9 and found.tar_lo <= found.tar <= found.tar_hi


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40))
def test_halves_share_nobody_and_cover_everybody(pairs):
    first, second = (np.array([f"p{p[k]}" for p in pairs]) for k in (0, 1))
    one, other = halves(first, second, first == second)
    assert not one & other and one | other == set(first) | set(second)


def test_the_chosen_threshold_passes_the_gate_where_the_verification_fails(tmp_path, capsys):
    rows, who = people(30, 4)
    i, j = np.triu_indices(len(rows), 1)
    pick = np.random.default_rng(1).permutation(len(i))[:6000]
    pick = np.unique(np.concatenate([pick, np.flatnonzero(who[i] == who[j])]))
    i, j = i[pick], j[pick]
    arrays = {"a": rows[i], "b": rows[j], "same": who[i] == who[j]}
    np.savez(tmp_path / "p.npz", **arrays, ids=np.stack([who[i], who[j]], axis=1))
    args = [
        "eval",
        "threshold",
        "--embeddings",
        str(tmp_path / "p.npz"),
        "--far",
        "0.01",
        "--bootstrap",
        "20",
    ]
    assert run([*args, "--out", str(tmp_path / "t.json"), "--json", str(tmp_path / "v.json")]) == 0
    held = thresholds.load(tmp_path / "t.json").thresholds
    assert len(held) == 1 and thresholds.problem(held[0]) is None
    assert held[0].value == json.loads((tmp_path / "v.json").read_text())["threshold"]
    np.savez(tmp_path / "q.npz", **arrays)
    assert run(["eval", "threshold", "--embeddings", str(tmp_path / "q.npz")]) == 2
    assert "identities are not known" in capsys.readouterr().err


def test_too_few_pairs_name_the_way_to_more():
    """LFW-like lists have few impostor pairs within a half; comparing every picture gives enough."""
    rows, who = people(40, 2, seed=3)
    order = np.random.default_rng(3).permutation(80)
    mates = rows[1::2], who[1::2]
    a = np.concatenate([rows[::2], rows[order[:80]]])
    first = np.concatenate([who[::2], who[order[:80]]])
    b = np.concatenate([mates[0], rows[order[::-1]]])
    second = np.concatenate([mates[1], who[order[::-1]]])
    with pytest.raises(BadInputError, match=r"cannot support FAR 0\.005") as e:
        choose(distances(a, b), first == second, first, second, 0.005, replicates=10)
    assert "--every-pair" in e.value.fix and "--far" in e.value.fix
    every = every_pair(a, b, first, second)
    assert choose(distances(*every[:2]), *every[2:], 0.005, replicates=10).target == 0.005
