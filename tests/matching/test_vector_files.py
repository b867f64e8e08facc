"""Vectors in `.npy` and `.npz` files, results by suffix, and times that are distinguished."""

import json
import time
import zipfile

import numba
import numpy as np
import pytest

from facelab.cli import run
from facelab.core.errors import BadInputError
from facelab.matching import Matcher, match_files, open_vectors


@pytest.fixture
def pairs(tmp_path):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((30, 12)).astype(np.float32)
    b = (a + 0.2 * rng.standard_normal(a.shape)).astype(np.float32)
    np.savez_compressed(tmp_path / "pairs.npz", a=a, b=b, same=np.ones(30, bool))
    return tmp_path, a, b


def command(folder, *more):
    return ["match", "search", *[part.format(folder) for part in more]]


def test_what_an_evaluation_wrote_can_be_searched(pairs, capsys):
    folder, a, b = pairs
    line = (
        "--gallery {0}/pairs.npz:b --queries {0}/pairs.npz:a --metric cosine --out {0}/r.npz --json"
    )
    assert run(command(folder, *line.split(), "-k", "3")) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["compile_s"] > 0 and facts["prepare_s"] >= 0 and facts["seconds"] > 0
    found = Matcher(b, "cosine").search(a, 3)
    with np.load(folder / "r.npz") as saved:
        np.testing.assert_array_equal(saved["ids"], found.ids)
        np.testing.assert_array_equal(saved["distances"], found.distances)


@pytest.fixture
def failed(pairs):
    """An archive as `eval embedder` writes it: NaN where no face was found, and its pair marked."""
    folder, a, b = pairs
    a[[4, 9]], b[[9, 20]] = np.nan, np.nan
    marked = np.isin(np.arange(30), [4, 9, 20])
    np.savez(folder / "failed.npz", a=a, b=b, failed=marked)
    return folder, a, b


@pytest.mark.parametrize("more", [["-k", "3"], ["--threshold", "0.3"]])
def test_rows_without_a_face_are_left_out_and_the_others_keep_their_numbers(failed, more, capsys):
    folder, a, b = failed
    queries, rows = (np.flatnonzero(~np.isnan(x[:, 0])) for x in (a, b))
    line = "--gallery {0}/failed.npz:b --queries {0}/failed.npz:a --metric cosine --out {0}/r"
    for suffix in (".npz", ".csv", ".json"):
        assert run(command(folder, *(line + suffix).split(), *more)) == 0
        assert "2 queries and 2 gallery rows without a face left out" in capsys.readouterr().out
    matcher = Matcher(b[rows], "cosine")
    found = matcher.search(a[queries], 3) if "-k" in more else matcher.range_search(a[queries], 0.3)
    with np.load(folder / "r.npz") as saved:
        np.testing.assert_array_equal(saved["ids"], rows[found.ids])
        np.testing.assert_array_equal(saved["queries"], queries)
    frame = found.to_frame()
    lines = (folder / "r.csv").read_text().splitlines()[1:]
    asked = [[int(v) for v in text.split(",")[:3:2]] for text in lines]
    assert asked == np.stack([queries[frame["query"]], rows[frame["id"]]], axis=1).tolist()
    document = json.loads((folder / "r.json").read_text())
    assert document["queries"] == queries.tolist() and len(queries) == 28


def test_a_nan_that_nobody_explained_is_refused(failed, capsys):
    folder, a, b = failed
    for marked in (np.zeros(30, bool), np.ones(29, bool), np.ones(30)):
        np.savez(folder / "odd.npz", a=a, b=b, failed=marked)
        line = "--gallery {0}/odd.npz:b --queries {0}/odd.npz:a -k 1 --out {0}/r.npz"
        assert run(command(folder, *line.split())) == 2
        assert "NaN" in capsys.readouterr().err


def test_code_that_a_search_compiles_is_not_the_searchs_time(pairs, monkeypatch):
    """A range search of many rows within needed code that no warming had made: 16 s were printed as the search."""
    folder, _, _ = pairs
    took, original = [], Matcher.range_search

    def compiles(self, *args, **more):
        started = time.perf_counter()
        numba.njit(lambda x: x + 1)(1.5)
        took.append(time.perf_counter() - started)
        return original(self, *args, **more)

    files = folder / "pairs.npz:b", folder / "pairs.npz:a"
    before = match_files(*files, threshold=0.8, metric="cosine")
    monkeypatch.setattr(Matcher, "range_search", compiles)
    started = time.perf_counter()
    found = match_files(*files, threshold=0.8, metric="cosine")
    whole = time.perf_counter() - started
    assert found.compile_s >= 0.9 * took[0] and found.compile_s + found.search_s <= whole
    assert before.search_s >= 0 and found.search_s >= 0


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".json"])
def test_a_range_search_is_written_in_the_format_of_its_suffix(pairs, suffix, capsys):
    folder, a, b = pairs
    out = folder / f"r{suffix}"
    line = "--gallery {0}/pairs.npz:b --queries {0}/pairs.npz:a --metric cosine --threshold 0.8"
    assert run([*command(folder, *line.split()), "--out", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    found = Matcher(b, "cosine").range_search(a, 0.8)
    assert facts["rows_within"] == len(found.ids) > 20
    assert facts["cosine_of_unit_vectors"] == 0.8
    if suffix == ".npz":
        with np.load(out) as saved:
            np.testing.assert_array_equal(saved["ids"], found.ids)
            np.testing.assert_array_equal(saved["starts"], found.starts)
    elif suffix == ".json":
        assert json.loads(out.read_text())["ids"] == found.ids.tolist()
    else:
        lines = out.read_text().splitlines()
        assert lines[0] == "query,rank,id,distance,cosine"
        cells = [line.split(",") for line in lines[1:]]
        assert all(float(c[3]) + float(c[4]) == pytest.approx(1, abs=1e-6) for c in cells)
        assert all(float(c[4]) >= 0.8 - 1e-6 for c in cells)  # the unit of the threshold
        assert len(lines) == 1 + len(found.ids)
        assert lines[1].startswith("0,1,")


@pytest.mark.parametrize("out", ["r.zip", "r", "r.npy", "pairs.npz"])
def test_an_output_of_no_format_or_over_an_input_is_refused_before_any_work(pairs, out, capsys):
    folder, *_ = pairs
    before = (folder / "pairs.npz").read_bytes()
    line = "--gallery {0}/pairs.npz:b --queries {0}/pairs.npz:a --out {0}/" + out
    assert run(command(folder, *line.split())) == 2
    said = capsys.readouterr().err
    assert "suffix" in said or "overwrite" in said
    assert (folder / "pairs.npz").read_bytes() == before
    assert [p.name for p in folder.iterdir()] == ["pairs.npz"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["-k", "3", "--threshold", "0.5"], "threshold"),
        (["--threshold", "7", "--metric", "cosine"], "threshold"),
        (["--threshold", "nan"], "threshold"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(pairs, more, said, capsys):
    folder, *_ = pairs
    line = "--gallery {0}/pairs.npz:b --queries {0}/pairs.npz:a --out {0}/r.npz"
    assert run([*command(folder, *line.split()), *more]) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "r.npz").exists()


def test_an_archive_of_several_arrays_needs_a_name_and_lists_them(pairs):
    folder, a, _ = pairs
    with pytest.raises(BadInputError) as caught:
        open_vectors(folder / "pairs.npz", "the gallery")
    assert caught.value.got == "a, b, same"
    assert caught.value.fix.endswith("pairs.npz:a")
    with pytest.raises(BadInputError, match="no array 'c'"):
        open_vectors(f"{folder}/pairs.npz:c")
    with pytest.raises(BadInputError, match="two axes"):
        open_vectors(f"{folder}/pairs.npz:same")
    np.savez(folder / "one.npz", a)
    np.testing.assert_array_equal(open_vectors(folder / "one.npz"), a)


def broken_archive(path, how):
    """Write an archive that must be refused."""
    rows = {"huge": 10**12, "negative": -1}.get(how, 3)
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, 4), }}"
    header = b"\x93NUMPY\x01\x00v\x00" + text.ljust(117).encode() + b"\n"
    body = {"short": b"\0" * 8, "huge": b"\0" * 48}.get(how, b"\0" * 48)
    if how == "objects":
        header = header.replace(b"<f4", b"|O ")
    if how == "tokens":
        header = b"\x93NUMPY\x01\x00\x08\x00{'descr\n"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("x.npy", header + body if how != "text" else b"hello")
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:60])
    if how == "no zip":
        path.write_bytes(b"not a zip")


@pytest.mark.parametrize(
    "how", ["short", "huge", "negative", "objects", "tokens", "text", "truncated", "no zip"]
)
def test_a_broken_archive_is_an_error_that_names_it(tmp_path, how):
    broken_archive(tmp_path / "x.npz", how)
    with pytest.raises(BadInputError) as caught:
        open_vectors(tmp_path / "x.npz", "the gallery")
    assert "x.npz" in caught.value.where and caught.value.fix


def test_results_keep_the_protocol_of_results(pairs):
    folder, a, b = pairs
    top = match_files(f"{folder}/pairs.npz:b", f"{folder}/pairs.npz:a", k=2, metric="cosine").found
    near = Matcher(b, "cosine").range_search(a, 0.9)
    for found in (top, near):
        frame = found.to_frame()
        assert list(frame.columns) == ["query", "rank", "id", "distance", "cosine"]
        assert len(frame) == found.ids.size
        assert json.loads(json.dumps(found.to_dict()))["metric"] == "cosine"
        assert "<table" in found._repr_html_()
        assert found.save(folder / "x.json").exists()
    ranks = near.to_frame().groupby("query")["rank"].max()
    assert ranks.tolist() == [n for n in np.diff(near.starts).tolist() if n]
    np.testing.assert_allclose(top.similarities, 1 - top.distances)
    with pytest.raises(AttributeError):
        top.method = "other"
