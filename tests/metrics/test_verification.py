"""Verification: the reference's rule to 1e-12, loops as oracle, refusals, intervals, failures, and the command."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.cli import run
from facelab.core.errors import BadInputError
from facelab.metrics import operating as op
from facelab.metrics import verification as ver


def oracle(seed=2024, n=6000):
    rng = np.random.default_rng(seed)
    same = np.tile(np.r_[np.ones(300), np.zeros(300)], 10)
    a = rng.standard_normal((n, 128))
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    z = rng.standard_normal((n, 128))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    c = np.where(
        same,
        np.clip(rng.normal(0.55, 0.16, n), -0.99, 0.99),
        np.clip(rng.normal(0.05, 0.12, n), -0.99, 0.99),
    )
    zp = z - (z * a).sum(1, keepdims=True) * a
    zp /= np.linalg.norm(zp, axis=1, keepdims=True)
    return a, c[:, None] * a + np.sqrt(1 - c**2)[:, None] * zp, same


def slow_ten_fold(distance, same):
    """The reference's loops: facenet's calculate_roc with sklearn's KFold."""
    from sklearn.model_selection import KFold

    folds = []
    for train, test in KFold(10, shuffle=False).split(distance):

        def right(index, t):
            return np.mean((distance[index] < t) == same[index])

        best = np.argmax([right(train, t) for t in np.arange(0, 4, 0.01)])
        folds.append(right(test, np.arange(0, 4, 0.01)[best]))
    return np.mean(folds), np.std(folds), folds


def test_the_published_oracle_is_reproduced():
    a, b, same = oracle()
    got = ver.ten_fold(ver.distances(a, b), same)
    assert got.accuracy == pytest.approx(0.9671666666666667, abs=1e-12)
    assert got.std == pytest.approx(0.0110063113, abs=5.1e-11)  # published with ten digits
    assert got.folds == pytest.approx(
        [0.96833, 0.95833, 0.95333, 0.975, 0.985, 0.96, 0.96333, 0.98, 0.97667, 0.95167], abs=5.1e-6
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(10, 60), st.integers(0, 2**32 - 1), st.booleans())
def test_equals_the_reference_loops(n, seed, ties):
    rng = np.random.default_rng(seed)
    same = rng.random(n) < 0.5
    same[:2] = True, False
    d = rng.uniform(0, 4.2, n) if not ties else rng.integers(0, 420, n) * 0.01
    got, (accuracy, std, folds) = ver.ten_fold(d, same), slow_ten_fold(d, same)
    assert got.accuracy == pytest.approx(accuracy, abs=1e-12)
    assert got.std == pytest.approx(std, abs=1e-12)
    assert got.folds == pytest.approx(folds, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.1, 0.3, 1.0]))
def test_tar_at_far_takes_the_largest_threshold_that_keeps_the_target(seed, target):
    rng = np.random.default_rng(seed)
    d, same = np.round(rng.uniform(0, 2, 160), 1), np.arange(160) % 2 == 0
    point = op.tar_at_far(d, same, target)
    candidates = [t for t in [*np.unique(d), np.inf] if np.mean(d[~same] < t) <= target]
    assert point.far <= target
    assert point.threshold == max(t for t in candidates)
    assert point.tar == np.mean(d[same] < point.threshold)


def test_targets_without_support_are_refused_with_the_rule_of_three():
    d, same = np.linspace(0, 2, 6000), np.arange(6000) % 2 == 0
    assert op.tar_at_far(d, same, 1e-3).impostors == 3000
    with pytest.raises(BadInputError, match="rule of three") as e:
        op.tar_at_far(d, same, 9e-4)
    assert "3334" in e.value.expected


def test_eer_of_overlapping_gaussians():
    rng = np.random.default_rng(0)
    d = np.concatenate([rng.normal(1, 0.2, 20000), rng.normal(2, 0.2, 20000)])
    eer, threshold = op.equal_error_rate(d, np.arange(40000) < 20000)
    assert eer == pytest.approx(
        0.00621, abs=0.0012
    )  # Φ(−2.5); 20 000 pairs give it to about two sigma of 0.0006
    assert threshold == pytest.approx(1.5, abs=0.02)


def test_failures_count_into_frr_and_stay_in_their_fold():
    d = np.tile([0.5, 3.0], 50)
    same = np.tile([True, False], 50)
    d[0] = np.inf
    rates = op.acquisition_rates(d, same, 1.0)
    assert (rates["fnmr"], rates["frr"], rates["failure_to_acquire"]) == (0.0, 0.02, 0.01)
    assert ver.ten_fold(d, same).accuracy == pytest.approx(0.99)


def test_identity_bootstrap_is_wider_where_pairs_share_identities():
    rng = np.random.default_rng(1)
    people = 20
    first, second = (g.ravel() for g in np.meshgrid(np.arange(people), np.arange(people)))
    first, second = np.tile(first, 6), np.tile(second, 6)
    order = rng.permutation(len(first))
    first, second = first[order], second[order]
    same = first == second
    bias = rng.normal(0, 0.35, people)
    d = np.where(same, 1.0, 2.0) + bias[first] + bias[second] + rng.normal(0, 0.05, len(first))
    got = op.tar_interval(d, same, 0.05, first=first, second=second, replicates=300)
    assert got["method"] == "bootstrap by identity"
    assert got["hi"] - got["lo"] > 1.7 * (got["naive_hi"] - got["naive_lo"])


def test_the_recommended_threshold_is_chosen_and_reported_on_different_halves():
    a, b, same = oracle()
    d = ver.distances(a, b)
    got = op.recommend(d, same, 0.01, replicates=100)
    assert got["threshold"] == op.threshold_at(d[:3000], same[:3000], 0.01)
    assert got["far"] == np.mean(d[3000:][same[3000:] == 0] < got["threshold"])
    assert got["threshold_lo"] <= got["threshold"] <= got["threshold_hi"]


BROKEN = {
    "nan": lambda x: x["a"].__setitem__((3, 0), np.nan),
    "zero": lambda x: x["b"].__setitem__(4, 0),
    "shape": lambda x: x.update(b=x["b"][:, :3]),
    "rows": lambda x: x.update(b=x["b"][:-1]),
    "one kind": lambda x: x.update(same=np.ones(40)),
    "labels": lambda x: x.update(same=np.arange(40)),
    "few labels": lambda x: x.update(same=x["same"][:-1]),
    "no same": lambda x: x.pop("same"),
    "flat": lambda x: x.update(a=x["a"][:, 0]),
    "ids": lambda x: x.update(ids=np.zeros((3, 2))),
    "objects": lambda x: x.update(a=np.array([["x"] * 4] * 40)),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_arrays_end_in_a_clear_error_and_write_nothing(case, tmp_path, capsys):
    rng = np.random.default_rng(0)
    arrays = {
        "a": rng.normal(size=(40, 4)),
        "b": rng.normal(size=(40, 4)),
        "same": np.arange(40) % 2,
    }
    BROKEN[case](arrays)
    np.savez(tmp_path / "x.npz", **arrays)
    out = tmp_path / "o.json"
    assert (
        run(["eval", "verification", "--embeddings", str(tmp_path / "x.npz"), "--json", str(out)])
        == 2
    )
    assert not (tmp_path / "o.json").exists()
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_a_file_that_is_not_a_npz(content, tmp_path, capsys):
    path = tmp_path / "x.npz"
    if content is None:
        np.save(tmp_path / "x.npy", np.zeros(3))
        path = tmp_path / "x.npy"
    else:
        path.write_bytes(content)
    assert run(["eval", "verification", "--embeddings", str(path)]) == 2
    assert "error: " in capsys.readouterr().err


def test_the_command_reports_the_oracle(tmp_path, capsys):
    a, b, same = oracle()
    np.savez(
        tmp_path / "x.npz",
        a=a,
        b=b,
        same=same,
        ids=np.random.default_rng(0).integers(0, 500, (6000, 2)),
    )
    out = tmp_path / "o.json"
    args = ["eval", "verification", "--embeddings", str(tmp_path / "x.npz")]
    assert run([*args, "--json", str(out), "--bootstrap", "50"]) == 0
    value = json.loads(out.read_text())
    assert value["accuracy"] == pytest.approx(0.9671666666666667, abs=1e-12)
    assert len(value["folds"]) == 10
    assert value["tar_at_far"]["0.001"]["far"] == 0.001
    assert "rule of three" in value["tar_at_far"]["0.0001"]["refused"]
    assert value["accuracy_interval"]["method"] == "bootstrap by identity"
    assert "achieved FAR" in capsys.readouterr().out
    assert (
        run(["eval", "verification", "--embeddings", str(tmp_path / "x.npz"), "--far", "1e-6"]) == 2
    )
    assert "rule of three" in capsys.readouterr().err


def test_pairs_with_an_embeddings_folder_and_a_missing_face(tmp_path, capsys):
    rng = np.random.default_rng(3)
    lines = ["10\t2"]
    for k in range(10):
        lines += [f"P{k}\t1\t2", f"P{k}\t1\t3", f"P{k}\t1\tQ{k}\t1", f"P{k}\t2\tQ{k}\t1"]
        base, other = rng.normal(size=(2, 16))
        for name, number, v in [("P", 1, base), ("P", 2, base), ("P", 3, base), ("Q", 1, other)]:
            path = tmp_path / "emb" / f"{name}{k}" / f"{name}{k}_{number:04d}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, (v + rng.normal(0, 0.1, 16)).astype(np.float32))
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "emb" / "P3" / "P3_0002.npy").unlink()
    args = [
        "eval",
        "verification",
        "--pairs",
        str(tmp_path / "pairs.txt"),
        "--embeddings-dir",
        str(tmp_path / "emb"),
        "--bootstrap",
        "20",
    ]
    assert run(args) == 2
    assert "P3/P3_0002.npy" in capsys.readouterr().err
    assert run([*args, "--missing-is-failure", "--json", str(tmp_path / "o.json")]) == 0
    value = json.loads((tmp_path / "o.json").read_text())
    assert value["counts"]["failed"] == 2
    assert value["at_median_threshold"]["frr"] == pytest.approx(0.05)
