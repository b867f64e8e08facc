"""`facelab match`: files in, an .npz out; over a real Dask scheduler too; errors that say what is wrong."""

import json

import numpy as np
import pytest

from facelab.cli import run
from facelab.matching import bench, oracle


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    gallery, queries = (rng.standard_normal((n, 24)).astype(np.float32) for n in (900, 13))
    np.save(tmp_path / "G.npy", gallery)
    np.save(tmp_path / "Q.npy", queries)
    return tmp_path, gallery, queries


def arguments(folder, *more, k=10):
    return ["match", "search", "--gallery", str(folder / "G.npy"), "--queries", str(folder / "Q.npy"), "-k", str(k),
            "--out", str(folder / "R.npz"), *more]


@pytest.mark.parametrize("metric", ["l2", "sqeuclidean", "ip", "cosine"])
def test_search_writes_the_exact_answer(files, metric, capsys):
    folder, gallery, queries = files
    assert run([*arguments(folder, "--metric", metric), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gallery"] == 900
    with np.load(folder / "R.npz") as found:
        distances, ids = oracle.top_k(queries, gallery, 10, metric)
        np.testing.assert_array_equal(found["ids"], ids)
        np.testing.assert_allclose(found["distances"], distances, rtol=3e-7, atol=1e-6)


def test_a_cluster_gives_the_same_file(files):
    distributed = pytest.importorskip("distributed")
    folder, *_ = files
    assert run(arguments(folder)) == 0
    with np.load(folder / "R.npz") as one:
        alone = one["ids"], one["distances"]
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
                                  scheduler_port=0, protocol="tcp") as cluster:
        assert run(arguments(folder, "--scheduler", cluster.scheduler_address, "--shards", "5")) == 0
    with np.load(folder / "R.npz") as many:
        np.testing.assert_array_equal(many["ids"], alone[0])
        np.testing.assert_array_equal(many["distances"], alone[1])


@pytest.mark.parametrize("breakage", ["missing", "text", "float64", "k", "nan", "width"])
def test_bad_input_is_said_and_nothing_is_written(files, breakage, capsys):
    folder, gallery, queries = files
    if breakage == "missing":
        (folder / "G.npy").unlink()
    elif breakage == "text":
        (folder / "G.npy").write_text("not numpy")
    elif breakage == "float64":
        np.save(folder / "G.npy", gallery.astype(np.float64))
    elif breakage == "nan":
        gallery[7] = np.nan
        np.save(folder / "G.npy", gallery)
    elif breakage == "width":
        np.save(folder / "Q.npy", queries[:, :5])
    assert run(arguments(folder, k=901 if breakage == "k" else 10)) == 2
    assert "error:" in capsys.readouterr().err
    assert not (folder / "R.npz").exists()


def test_the_harness_catches_wrong_and_repeated_ids():
    gallery, queries = bench.make_data("unit", 50, 4, 8)
    truth = oracle.top_k(queries, gallery, 3)[1]
    assert bench.judge(truth, truth, queries, gallery, "sqeuclidean") == (True, 1.0)
    wrong, twice = truth.copy(), truth.copy()
    wrong[0, 0] = oracle.top_k(queries, gallery, 50)[1][0, -1]
    twice[1, 1] = twice[1, 0]
    for bad in (wrong, twice, truth - 50):
        assert not bench.judge(bad, truth, queries, gallery, "sqeuclidean")[0]


def test_bench_reports_every_contender_judged(capsys):
    assert run(["match", "bench", "--queries", "3", "--gallery", "400", "--dimension", "16", "--budget", "0.3",
                "--repeats", "3", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert {"facelab exhaustive", "facelab screened", "numpy"} <= {r["name"] for r in results}
    assert all(r["correct"] and len(r["samples_s"]) >= 3 for r in results)
