"""Issue 22.5: weights and packs are read without unpickling, and the bytes that are loaded are the hashed ones."""

import contextlib
import os
import pickle
import shutil

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.core import plain_pickle
from facelab.core.errors import BadInputError, IntegrityError
from facelab.datasets import load_bin
from facelab.zoo import _store as zoo_store
from facelab.zoo._catalogue import load_catalogue


class Runs:
    """An object whose pickle runs a command."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


class Forged:
    """A numpy dtype whose pickled state claims another item size and flags (the interpreter dies of it)."""

    def __init__(self, code, state):
        self.code, self.state = code, state

    def __reduce__(self):
        return np.dtype, (self.code, False, True), self.state


@pytest.mark.parametrize("protocol", range(6))
def test_packs_of_every_protocol_are_read(protocol, tmp_path):
    images = [np.frombuffer(b"jpeg%d\xff" % i, np.uint8) for i in range(4)]
    labels = [True, np.bool_(False)]
    path = tmp_path / "x.bin"
    path.write_bytes(pickle.dumps(([images[0].tobytes(), *images[1:]], labels), protocol))
    got, same = load_bin(path)
    assert got == [b"jpeg%d\xff" % i for i in range(4)]
    assert same.tolist() == [True, False]


def test_packs_of_python_2_are_read(tmp_path):
    # (['ab', 'cd'], [True]) as Python 2 writes it with protocol 2
    path = tmp_path / "x.bin"
    path.write_bytes(b"\x80\x02]q\x00(U\x02abq\x01U\x02cdq\x02e]q\x03\x88a\x86q\x04.")
    assert load_bin(path)[0] == [b"ab", b"cd"]


FORGED = {
    "another size": ("V8", (3, "|", None, None, None, 1 << 30, 1, 0)),
    "reference counts": ("V8", (3, "|", None, None, None, 8, 1, 63)),
    "fields": ("V8", (3, "|", None, ("a",), {"a": (np.dtype("u1"), 0)}, 8, 1, 0)),
    "objects": ("O8", (3, "|", None, None, None, -1, -1, 63)),
    "flags of a plain type": ("u1", (3, "<", None, None, None, -1, -1, 63)),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_number_type_is_refused(name, tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(pickle.dumps(([b"a", Forged(*FORGED[name])], [True])))
    with pytest.raises(BadInputError, match="not an InsightFace pack") as e:
        load_bin(path)
    assert "number type" in e.value.got


def test_nothing_in_a_pack_runs(tmp_path):
    path, mark = tmp_path / "x.bin", tmp_path / "ran"
    for protocol in range(6):
        path.write_bytes(pickle.dumps(([Runs(mark), b"a"], [True]), protocol))
        with pytest.raises(BadInputError, match="not an InsightFace pack") as e:
            load_bin(path)
        assert "system" in e.value.got
    assert not mark.exists()


NOT_IMAGES = {
    "a length": 4 << 30,
    "a text": "a",
    "a list of codes": [137, 80],
    "numbers that are not bytes": np.ones(3),
    "rows": np.ones((2, 2), np.uint8),
}
NOT_LABELS = {
    "a text": ["no"],
    "not a number": [float("nan")],
    "a half": [0.5],
    "nothing": [None],
    "two": [2],
    "many digits": [10**5000],
    "a dictionary's keys": {"no": True},
    "rows": np.ones((1, 1), bool),
}


@pytest.mark.parametrize("name", NOT_IMAGES)
def test_a_packs_image_that_is_not_bytes_is_refused(name, tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(pickle.dumps(([NOT_IMAGES[name], b"a"], [True])))
    with pytest.raises(BadInputError, match="not an image") as e:
        load_bin(path)
    assert e.value.where == str(path)


@pytest.mark.parametrize("name", NOT_LABELS)
def test_a_packs_label_that_is_neither_true_nor_false_is_refused(name, tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(pickle.dumps(([b"a", b"b"], NOT_LABELS[name])))
    with pytest.raises(BadInputError, match="neither true nor false") as e:
        load_bin(path)
    assert e.value.where == str(path)


@pytest.mark.parametrize(
    ("value", "protocol"), [(np.arange(6.0), 5), (np.arange(6.0), 4), (np.float64(2.5), 4)]
)
def test_arrays_whose_bytes_do_not_fit_are_refused(value, protocol):
    data = pickle.dumps(value, protocol)
    assert np.array_equal(plain_pickle.read(data), value)
    for wrong in (b"f4", b"u1", b"V8", b"O8"):
        assert data.count(b"f8") == 1
        with pytest.raises(BadInputError, match="not plain data"):
            plain_pickle.read(data.replace(b"f8", wrong))


# joblib's own reader warns of nothing here; the comparison is with what it gives
@settings(max_examples=40)
@given(
    dtype=st.sampled_from(["<f4", ">f8", "u1", "<i8", "?"]),
    shape=st.lists(st.integers(0, 4), max_size=4).map(tuple),
    fortran=st.booleans(),
)
def test_joblib_files_are_read_as_joblib_reads_them(tmp_path_factory, dtype, shape, fortran):
    path = tmp_path_factory.mktemp("j") / "w"
    a = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    a = np.asfortranarray(a) if fortran else a
    joblib.dump([a, np.float32(2.5), "text"], path)
    got = plain_pickle.read(path.read_bytes(), joblib=True)
    assert got[0].dtype == a.dtype and np.array_equal(got[0], a)
    assert got[1:] == [2.5, "text"]


@settings(max_examples=200)
@given(data=st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data):
    for joblib_ in (False, True):
        with contextlib.suppress(BadInputError):
            plain_pickle.read(b"\x80\x04" + data, joblib=joblib_)


def test_a_pickle_that_doubles_itself_a_thousand_times_is_refused_at_once():
    # each step makes a pair of the last value and itself: 2 ** 1000 items if anybody followed them all
    with pytest.raises(BadInputError, match="not plain data"):
        plain_pickle.read(b"\x80\x04]" + b"2\x86" * 1000 + b".")


def test_weights_that_are_swapped_after_they_were_hashed_are_refused(tmp_path, monkeypatch):
    models, mark = tmp_path / "models", tmp_path / "ran"
    models.mkdir()
    monkeypatch.setenv("FACELAB_MODELS", str(models))
    monkeypatch.setenv("FACELAB_TRUST", str(tmp_path / "trust.jsonl"))
    entry = load_catalogue().model("mtcnn-pnet")
    shutil.copy(zoo_store.package_path(entry), entry.path)
    checked = zoo_store.problem

    def swap(path, asset):
        found = checked(path, asset)
        joblib.dump([Runs(mark)], path, compress="lz4")
        return found

    monkeypatch.setattr(zoo_store, "problem", swap)
    with pytest.raises(IntegrityError, match="changed after it was checked"):
        zoo_store.locate(entry)
    assert not mark.exists()


def test_weights_of_another_content_do_not_run(tmp_path):
    from facelab.zoo._convert_mtcnn import load_weights

    path, mark = tmp_path / "w.lz4", tmp_path / "ran"
    joblib.dump([Runs(mark)], path, compress="lz4")
    with pytest.raises(IntegrityError, match="no weights of MTCNN"):
        load_weights(path.read_bytes(), "pnet")
    assert not mark.exists()


def test_a_data_home_of_scikit_learn_is_not_unpickled(tmp_path, monkeypatch):
    """fetch_lfw_pairs would look into `lfw_home/joblib`, a cache of pickles."""
    from sklearn.datasets import _lfw as theirs

    from facelab.core.errors import MissingAssetError
    from facelab.datasets.internals import sklearn_folder

    monkeypatch.setattr(theirs, "Memory", lambda *a, **k: pytest.fail("the cache was opened"))
    (tmp_path / "lfw_home" / "lfw_funneled").mkdir(parents=True)
    for name in ("pairsDevTrain.txt", "pairsDevTest.txt"):
        (tmp_path / "lfw_home" / name).write_text("1\n")
    with pytest.raises(MissingAssetError):
        sklearn_folder(tmp_path)
