"""Issue 22.8, 22.10: one reader of `.npy` and `.npz` files; every damaged header is an error that names the file."""

import contextlib
import gzip
import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.core.array_files import map_npy, read_npy, read_npz
from facelab.core.errors import BadInputError, FacelabError


def npy(header: str, data: bytes = b"", version=b"\x01\x00") -> bytes:
    text = header.encode("latin-1")
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text))
    return b"\x93NUMPY" + version + length + text + data


def plain(array) -> bytes:
    f = io.BytesIO()
    np.save(f, array)
    return f.getvalue()


HEAD = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"
HOSTILE = {
    "empty": b"",
    "magic alone": b"\x93NUMPY",
    "no length": b"\x93NUMPY\x01\x00",
    "token error": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3,"),
    "index error": npy("{'descr': [('a',)], 'fortran_order': False, 'shape': (1,), }", b"\0" * 4),
    "unbalanced": npy("(" * 9000),
    "deep": npy("[" * 4000 + "]" * 4000),
    "null": npy("{'descr': '<f4\0', 'fortran_order': False, 'shape': (1,), }", b"\0" * 4),
    "long header": npy(" " * 20_000, version=b"\x02\x00"),
    "header of 4 GB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}",
    "version 9": npy(HEAD % "1,", b"\0" * 4, version=b"\x09\x00"),
    "huge": npy(HEAD % "100000, 100000", b"\0" * 16),
    "overflow": npy(HEAD % "4611686018427387904, 4", b"\0" * 16),
    "negative": npy(HEAD % "-1,", b"\0" * 4),
    "true": npy(HEAD % "True,", b"\0" * 4),
    "5000 digits": npy(HEAD % ("9" * 5000 + ","), b"\0" * 4),
    "40 axes": npy(HEAD % ("1," * 40), b"\0" * 4),
    "objects": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n."),
    "structured": npy(
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", b"\0" * 4
    ),
    "code": npy("{'descr': __import__('os'), 'fortran_order': False, 'shape': (1,), }"),
    "extra key": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", b"\0" * 4),
    "cut off": plain(np.zeros(9))[:-1],
    "text": b"<!doctype html>",
    "dates": plain(np.zeros(2, "M8[s]")),
    "void": npy("{'descr': '|V8', 'fortran_order': False, 'shape': (1,), }", b"\0" * 8),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_is_an_error_that_names_the_file(name, tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(HOSTILE[name])
    for read in (read_npy, map_npy):
        with pytest.raises(BadInputError, match="cannot be read") as e:
            read(path, "tensor")
        assert str(path) in e.value.where and e.value.got and e.value.fix
    path.write_bytes(gzip.compress(HOSTILE[name]))
    with pytest.raises(BadInputError, match="cannot be read") as e:
        read_npy(path, "tensor")
    assert str(path) in e.value.where and e.value.got and e.value.fix
    f = io.BytesIO()
    with zipfile.ZipFile(f, "w") as z:
        z.writestr("a.npy", HOSTILE[name])
    path.write_bytes(f.getvalue())
    with pytest.raises(BadInputError, match="cannot be read"):
        read_npz(path)


@pytest.mark.parametrize("name", HOSTILE)
def test_every_command_that_reads_arrays_refuses_it(name, tmp_path):
    from facelab.deploy.internals import golden
    from facelab.fingerprint.capture import _tensors as tensors
    from facelab.matching import _files as stream

    (tmp_path / "x.npy").write_bytes(HOSTILE[name])
    for read in (
        lambda: golden.read(tmp_path, ["x"], 1),
        lambda: tensors.read_tensor(tmp_path, "x"),
        lambda: stream.open_vectors(tmp_path / "x.npy", "the gallery"),
    ):
        with pytest.raises(BadInputError):
            read()


def archive(**members) -> bytes:
    f = io.BytesIO()
    with zipfile.ZipFile(f, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in members.items():
            z.writestr(name.replace("_npy", ".npy"), data)
    return f.getvalue()


def test_archives_are_compared_with_what_they_say(tmp_path):
    path = tmp_path / "x.npz"
    big = npy(HEAD % "268435456,")  # 1 GiB of numbers, none there
    for data in (
        archive(a_npy=big),
        archive(a="text"),
        plain(np.zeros(3)),
        archive(a_npy=plain(np.zeros(3)))[:-30],
        b"PK\x03\x04",
    ):
        path.write_bytes(data)
        with pytest.raises(BadInputError, match="cannot be read"):
            read_npz(path)
    path.write_bytes(archive(a_npy=plain(np.zeros(1 << 20))))
    assert path.stat().st_size < 20_000
    with pytest.raises(BadInputError, match="cannot be read") as e:
        read_npz(path, max_bytes=1 << 20)
    assert "unpacked" in e.value.got


def packed_files():
    """Packed arrays that are not what they say, by what is wrong."""
    good = gzip.compress(plain(np.arange(9)))
    crc = bytearray(good)
    crc[-8] ^= 1
    return {
        "cut off": good[:-1],
        "half": good[: len(good) // 2],
        "magic alone": b"\x1f\x8b",
        "checksum": bytes(crc),
        "bytes behind it": good + b"x",
        "two parts": good + gzip.compress(b"more"),
        "numbers behind it": gzip.compress(plain(np.arange(9)) + b"x"),
        "a long name": good[:3] + b"\x08" + good[4:10] + b"n" * 100_000,
        "a promise": gzip.compress(npy(HEAD % "4000000,")),
    }


@pytest.mark.parametrize("name", packed_files())
def test_a_damaged_packed_array_is_refused(name, tmp_path):
    path = tmp_path / "x.npy.gz"
    path.write_bytes(packed_files()[name])
    with pytest.raises(BadInputError, match="cannot be read") as e:
        read_npy(path)
    assert str(path) in e.value.where


def test_what_gzip_packed_is_bounded_before_it_is_unpacked():
    """64 MiB of zeros in 64 KiB: refused by its header, not after unpacking, which takes a second and the memory."""
    import tracemalloc

    bomb = gzip.compress(npy(HEAD % "16777216,", bytes(64 << 20)))
    behind = gzip.compress(plain(np.zeros(3)) + bytes(64 << 20))
    assert len(bomb) < 100_000
    tracemalloc.start()
    with pytest.raises(BadInputError, match="cannot be read") as e:
        read_npy(bomb, max_bytes=1 << 20)
    with pytest.raises(BadInputError, match="cannot be read"):
        read_npy(behind)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "at most" in e.value.got and peak < 4 << 20
    assert read_npy(bomb).nbytes == 64 << 20


@settings(max_examples=60)
@given(
    dtype=st.sampled_from(["<f4", ">f8", "u1", "<i8", "?", "<f2", "|i1"]),
    shape=st.lists(st.integers(0, 4), max_size=4).map(tuple),
    fortran=st.booleans(),
)
def test_good_files_are_read_as_numpy_reads_them(tmp_path_factory, dtype, shape, fortran):
    path = tmp_path_factory.mktemp("a") / "x.npy"
    a = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    a = np.asfortranarray(a) if fortran else a
    np.save(path, a)
    theirs = np.load(path)
    packed = gzip.compress(path.read_bytes())
    for mine in (read_npy(path), map_npy(path), read_npy(path.read_bytes()), read_npy(packed)):
        assert mine.dtype == theirs.dtype and mine.shape == theirs.shape
        assert np.array_equal(mine, theirs)
    np.savez_compressed(path.with_suffix(".npz"), a=a, ids=np.array(["é", "b"]))
    both = read_npz(path.with_suffix(".npz"))
    assert np.array_equal(both["a"], a) and both["ids"].tolist() == ["é", "b"]


@settings(max_examples=300)
@given(at=st.integers(0, 140), value=st.integers(0, 255), cut=st.integers(0, 200) | st.none())
def test_any_damage_is_read_or_refused(at, value, cut):
    data = bytearray(plain(np.arange(8, dtype=np.float32)))
    data[at] = value
    with contextlib.suppress(BadInputError):
        assert isinstance(read_npy(bytes(data[:cut])), np.ndarray)
    packed = bytearray(gzip.compress(plain(np.arange(8, dtype=np.float32))))
    packed[at % len(packed)] = value
    with contextlib.suppress(BadInputError):
        assert isinstance(read_npy(bytes(packed[:cut])), np.ndarray)
    zipped = bytearray(archive(a_npy=plain(np.arange(8, dtype=np.float32))))
    zipped[at % len(zipped)] = value
    with contextlib.suppress(BadInputError):
        read_npz(bytes(zipped[:cut]))


def test_a_named_pipe_does_not_block(tmp_path):
    import os

    path = tmp_path / "x.npy"
    os.mkfifo(path)
    with pytest.raises(BadInputError, match="not a file"):
        read_npy(path)


def readers():
    """Return {what: (file name, reader)} of what reads a whole file that a user named."""
    from facelab.budget.model import _onnx, _tflite
    from facelab.core.hashing import sha256_file
    from facelab.datasets import load_bin, load_pairs
    from facelab.datasets._wider import load_text
    from facelab.datasets._wider_predictions import load_predictions
    from facelab.preprocess import tflite_metadata
    from facelab.quantization._operators import operators
    from facelab.tracing import load

    return {
        "trace": ("t.npz", load),
        "pairs": ("p.csv", load_pairs),
        "pack": ("p.bin", load_bin),
        "ground truth": ("g.txt", load_text),
        "predictions": ("e/a.txt", lambda p: load_predictions(p.parent.parent, [("e", "a")])),
        "hash": ("h", sha256_file),
        "TFLite": ("m.tflite", _tflite._load),
        "ONNX": ("m.onnx", _onnx._load),
        "metadata": ("m.tflite", tflite_metadata._model_bytes),
        "operators": ("m.tflite", operators),
    }


@pytest.mark.parametrize("what", list(readers()))
def test_a_link_to_a_device_without_an_end_is_refused(what, tmp_path, monkeypatch):
    """Its size is 0, so that a limit on the size did not hold, and it filled the memory."""
    from facelab.datasets import _wider_predictions

    monkeypatch.setattr(_wider_predictions, "MOST_BYTES", 1000)
    name, read = readers()[what]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.symlink_to("/dev/zero")
    with pytest.raises((FacelabError, OSError), match=r"a device|too large"):
        read(path)
