"""Atomic writes, strict JSON, canonical JSON and hashes."""

import json
import math
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelab.core import files, hashing
from facelab.core.errors import BadInputError, FacelabError, IntegrityError, did_you_mean

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_strict_reader_agrees_with_the_standard_one_on_valid_json(value):
    text = json.dumps(value)
    assert files.loads_strict(text) == json.loads(text)


@given(JSON)
def test_canonical_json_is_stable_under_a_round_trip(value):
    text = hashing.canonical_json(value)
    assert hashing.canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(max_size=4), st.integers(), min_size=2, max_size=6))
def test_key_order_does_not_change_the_hash(d):
    assert hashing.sha256_json(d) == hashing.sha256_json(dict(reversed(d.items())))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": NaN}', "JSON does not have"),
        ('{"a": -Infinity}', "JSON does not have"),
        ('{"a": 1e999}', "does not have"),
        ('{"a": 1, "a": 1}', "twice"),
        ('{"a": [1, 2', "cannot be parsed"),
        ("", "cannot be parsed"),
        ("[" * 200 + "]" * 200, "nested too deeply"),
        ('{"a": "' + "x" * 300 + '"}', "too large"),
        ('{"a": ' + "9" * 5000 + "}", "number"),
        (b"\xff\xfe{}", "not UTF-8"),
    ],
)
def test_hostile_json_is_refused_in_one_sentence(text, says):
    limit = 250 if "x" * 300 in str(text) else 1 << 20
    with pytest.raises(BadInputError, match=says) as caught:
        files.loads_strict(text, where="in.json", max_bytes=limit)
    assert "in.json" in str(caught.value) and caught.value.exit_code == 2


def test_brackets_inside_strings_are_not_nesting():
    assert files.loads_strict(json.dumps({"a": "[" * 500 + '\\"{'})) == {"a": "[" * 500 + '\\"{'}


def _is_deep(raw: bytes, most: int) -> bool:
    """Follow the nesting byte by byte."""
    depth, in_string, escaped = 0, False, False
    for c in raw:
        if in_string:
            in_string = escaped or c != ord('"')
            escaped = not escaped and c == ord("\\")
        elif c == ord('"'):
            in_string = True
        elif c in b"[{":
            depth += 1
            if depth > most:
                return True
        elif c in b"]}":
            depth -= 1
    return False


@given(st.text('[[{]}""\\\\a\n', max_size=24), st.integers(1, 4))
def test_depth_is_that_of_a_byte_by_byte_reading(text, most):
    try:
        files.loads_strict(text, max_depth=most)
    except BadInputError as e:
        assert ("nested too deeply" in str(e)) == _is_deep(text.encode(), most)
    else:
        assert not _is_deep(text.encode(), most)


def test_missing_file_names_the_path(tmp_path):
    with pytest.raises(BadInputError, match="cannot be read") as caught:
        files.read_json(tmp_path / "none.json")
    assert "none.json" in str(caught.value)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = files.write_text(tmp_path / "deep" / "a.txt", "old")
    with pytest.raises(ZeroDivisionError), files.atomic_path(target) as tmp:
        tmp.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old" and list(target.parent.iterdir()) == [target]


def test_json_with_nan_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", {"a": math.nan})
    assert not list(tmp_path.iterdir())


def test_concurrent_writers_never_show_a_half_file(tmp_path):
    target, stop, seen = tmp_path / "a.json", threading.Event(), []

    def write(n):
        while not stop.is_set():
            files.write_json(target, {"n": [n] * 2000})

    files.write_json(target, {"n": []})
    threads = [threading.Thread(target=write, args=(k,)) for k in range(3)]
    for t in threads:
        t.start()
    seen.extend(len(set(files.read_json(target)["n"])) for _ in range(200))
    stop.set()
    for t in threads:
        t.join()
    assert max(seen) <= 1


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<i2", ">i2", "u1", "?"])
def test_array_hash_sees_values_shape_and_type_but_not_memory_layout(dtype):
    a = np.arange(12).astype(dtype).reshape(3, 4)
    assert hashing.sha256_array(a) == hashing.sha256_array(np.asfortranarray(a))
    assert hashing.sha256_array(a) == hashing.sha256_array(a.astype(a.dtype.newbyteorder("=")))
    assert hashing.sha256_array(a) != hashing.sha256_array(a.reshape(4, 3))
    assert hashing.sha256_array(a) != hashing.sha256_array(a.astype("f8"))


def test_file_hash_equals_bytes_hash(tmp_path):
    data = bytes(range(256)) * 9000
    (tmp_path / "f").write_bytes(data)
    assert hashing.sha256_file(tmp_path / "f", chunk=1000) == hashing.sha256_bytes(data)


def test_errors_survive_a_process_boundary():
    e = IntegrityError(
        "bytes differ", where="m.onnx", expected="ab", got="cd", fix="fetch it again"
    )
    back = pickle.loads(pickle.dumps(e))
    assert type(back) is IntegrityError and str(back) == str(e) and back.as_dict() == e.as_dict()


def test_every_error_class_has_an_exit_code_of_the_contract():
    stack, found = [FacelabError], set()
    while stack:
        cls = stack.pop()
        stack += cls.__subclasses__()
        found.add(cls.exit_code)
    assert found <= {1, 2, 130}


def test_suggestions_are_close_or_absent():
    assert "threads" in did_you_mean("thraeds", ["threads", "seed"])
    assert did_you_mean("qqqq", ["threads"]) == ""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="there is no /proc")
@pytest.mark.parametrize("through", ["itself", "a link"])
def test_a_view_of_the_kernel_is_no_input(through, tmp_path):
    """/proc/kmsg counts as a file, and whoever reads it waits for ever."""
    view = Path("/proc/self/maps")
    if through == "a link":
        (tmp_path / "x.json").symlink_to(view)
        view = tmp_path / "x.json"
    with pytest.raises(BadInputError, match="not a file") as e:
        files.open_input(view)
    assert e.value.got == "a view of the kernel"


def test_what_a_shell_offers_is_an_input(tmp_path):
    (tmp_path / "empty").touch()
    for content in (b"", b"abc"):
        (tmp_path / "empty").write_bytes(content)
        with (tmp_path / "empty").open("rb") as f:
            assert files.read_input(f"/proc/self/fd/{f.fileno()}", max_bytes=9) == content
