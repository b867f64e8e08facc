"""`facelab match`: files in, an .npz out; over a real Dask scheduler too; errors that say what is wrong."""

import json

import numpy as np
import pytest

from facelab.cli import run
from facelab.core.errors import BadInputError
from facelab.matching._files import search_file
from facelab.matching.internals import oracle
from facelab.studies import matching as bench
from facelab.studies.matching._data import judge


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    gallery, queries = (rng.standard_normal((n, 24)).astype(np.float32) for n in (900, 13))
    np.save(tmp_path / "G.npy", gallery)
    np.save(tmp_path / "Q.npy", queries)
    return tmp_path, gallery, queries


def arguments(folder, *more, k=10):
    return [
        "match",
        "search",
        "--gallery",
        str(folder / "G.npy"),
        "--queries",
        str(folder / "Q.npy"),
        "-k",
        str(k),
        "--out",
        str(folder / "R.npz"),
        *more,
    ]


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
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        scheduler_port=0,
        protocol="tcp",
    ) as cluster:
        assert (
            run(arguments(folder, "--scheduler", cluster.scheduler_address, "--shards", "5")) == 0
        )
    with np.load(folder / "R.npz") as many:
        np.testing.assert_array_equal(many["ids"], alone[0])
        np.testing.assert_array_equal(many["distances"], alone[1])


def break_gallery(path, gallery, how):
    """Put something at `path` that cannot be searched."""
    if how == "missing":
        path.unlink()
    elif how == "text":
        path.write_text("not numpy")
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    elif how == "archive":
        with path.open("wb") as f:
            np.savez(f, gallery)
    elif how == "pickle":
        np.save(path, np.array([{"a": 1}]), allow_pickle=True)
    else:
        np.save(
            path,
            {
                "float64": gallery.astype(np.float64),
                "one axis": gallery[0],
                "no rows": gallery[:0],
                "fortran": np.asfortranarray(gallery),
                "other endian": gallery.astype(">f4"),
                "nan": np.where(gallery == gallery[7], np.nan, gallery).astype(np.float32),
            }[how],
        )


@pytest.mark.parametrize(
    "how",
    [
        "missing",
        "text",
        "truncated",
        "archive",
        "pickle",
        "float64",
        "one axis",
        "no rows",
        "fortran",
        "other endian",
        "nan",
    ],
)
def test_a_gallery_that_cannot_be_searched_is_said_and_nothing_is_written(files, how, capsys):
    folder, gallery, _ = files
    break_gallery(folder / "G.npy", gallery, how)
    assert run(arguments(folder)) == 2
    said = capsys.readouterr().err
    assert "error:" in said
    assert "G.npy" in said
    assert "Traceback" not in said
    assert {"nan": "row 7", "no rows": "is empty"}.get(how, "") in said
    assert not (folder / "R.npz").exists()


def test_a_shard_that_cannot_be_searched_is_named(tmp_path):
    x = np.ones((20, 4), np.float32)
    x[15, 2] = np.nan
    np.save(tmp_path / "G.npy", x)
    with pytest.raises(BadInputError, match=r"G\.npy, rows from 10: row 5"):
        search_file(tmp_path / "G.npy", x[:1], 2, rows=(10, 20))


@pytest.mark.parametrize("breakage", ["k", "k = 0", "nan", "width", "out", "metric", "shards"])
def test_a_search_that_makes_no_sense_is_said_and_nothing_is_written(files, breakage, capsys):
    folder, _, queries = files
    more = {
        "metric": ["--metric", "hamming"],
        "shards": ["--shards", "3"],
        "out": ["--out", str(folder / "G.npy")],
    }.get(breakage, [])
    if breakage == "nan":
        queries[2, 3] = np.inf
    np.save(folder / "Q.npy", queries[:, :5] if breakage == "width" else queries)
    assert run(arguments(folder, *more, k={"k": 901, "k = 0": 0}.get(breakage, 10))) == 2
    assert "rror" in capsys.readouterr().err
    assert not (folder / "R.npz").exists()


@pytest.mark.parametrize("dtype", [np.float16, np.int8])
def test_small_dtypes_and_no_queries_are_searched(files, dtype):
    folder, gallery, queries = files
    small = [(x * 20).astype(dtype) for x in (gallery, queries)]
    for n in (13, 0):
        np.save(folder / "G.npy", small[0])
        np.save(folder / "Q.npy", small[1][:n])
        assert run(arguments(folder)) == 0
        with np.load(folder / "R.npz") as found:
            assert found["ids"].shape == (n, 10)
            np.testing.assert_array_equal(found["ids"], oracle.top_k(small[1], small[0], 10)[1][:n])


def test_the_harness_catches_wrong_and_repeated_ids():
    gallery, queries = bench.make_data("unit", 50, 4, 8)
    truth = oracle.top_k(queries, gallery, 3)[1]
    assert judge(truth, truth, queries, gallery, "sqeuclidean") == (True, 1.0)
    wrong, twice = truth.copy(), truth.copy()
    wrong[0, 0] = oracle.top_k(queries, gallery, 50)[1][0, -1]
    twice[1, 1] = twice[1, 0]
    for bad in (wrong, twice, truth - 50):
        assert not judge(bad, truth, queries, gallery, "sqeuclidean")[0]


def test_bench_reports_every_contender_judged(capsys):
    assert (
        run(
            [
                "match",
                "bench",
                "--queries",
                "3",
                "--gallery",
                "400",
                "--dimension",
                "16",
                "--budget",
                "0.3",
                "--repeats",
                "3",
                "--json",
            ]
        )
        == 0
    )
    results = json.loads(capsys.readouterr().out)["results"]
    assert {"facelab exhaustive", "facelab screened", "numpy", "sgemm alone"} <= {
        r["name"] for r in results
    }
    assert all(r["correct"] for r in results)
    fastest = min(r["median_s"] for r in results)
    for r in results:  # a library that is ten times slower than the leader is timed once
        assert len(r["samples_s"]) >= 3 or r["median_s"] > 5 * fastest
    faiss = [r for r in results if r["name"] == "FAISS Flat"]
    assert all("OpenBLAS" in r["blas"] for r in faiss)


def test_bench_measures_own_embeddings_and_several_batches(tmp_path, capsys):
    """Real embeddings from a file; approximate peers come with their recall and are not held to be exact."""
    faiss = pytest.importorskip("faiss")
    assert faiss
    rows, _ = bench.make_data("identities", 600, 1, 16)
    np.save(tmp_path / "E.npy", rows)
    assert (
        run(
            [
                "match",
                "bench",
                "--embeddings",
                str(tmp_path / "E.npy"),
                "--queries",
                "1",
                "--queries",
                "12",
                "--peer",
                "hnsw",
                "--peer",
                "ivf",
                "--budget",
                "0.2",
                "--repeats",
                "3",
                "--json",
                "--records",
                str(tmp_path / "r.jsonl"),
            ]
        )
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert [s["queries"] for s in told["shapes"]] == [1, 12]
    assert told["shape"]["gallery"] == 588
    approximate = [r for r in told["results"] if r["name"] in ("FAISS HNSW", "FAISS IVF")]
    assert len(approximate) == 4
    assert all(0.2 < r["recall"] <= 1 and not r["exact"] for r in approximate)
    assert all(r["recall"] == 1 for r in told["results"] if r["name"].startswith("facelab"))
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == len(told["results"])
    assert run(["match", "bench", "--embeddings", str(tmp_path / "E.npy"), "--queries", "600"]) == 2
