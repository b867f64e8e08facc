"""References of a text are kept by its content: never stale, and never needed."""

import json
from pathlib import Path

import pytest

import facelab.core.modules.references as module
from facelab.core.modules.references import ReferenceReader, references

TEXTS = (
    "import a.b\nfrom . import c\nfrom ..d import e as f",
    "NAME = 'pkg.job:main'\nimport importlib\nimportlib.import_module(f'pkg.sub.{NAME}')",
    "__import__(NAME)\n__import__('helper')",
    "%matplotlib inline\nimport kept",
    "this is not Python (",
    "",
)


@pytest.fixture
def unread(monkeypatch):
    def refuse(text):
        raise AssertionError(f"the text was read again: {text}")

    return lambda: monkeypatch.setattr(module, "references", refuse)


@pytest.mark.parametrize("text", TEXTS)
def test_what_was_kept_equals_what_was_read(tmp_path, unread, text):
    path = tmp_path / "cache" / "kept.json"
    first = ReferenceReader(path)
    expected = first.read(text.encode())
    assert expected == references(text)
    first.keep()
    unread()
    again = ReferenceReader(path).read(text.encode())
    assert again == expected
    assert again.imported("pkg.sub.m", package=False) == expected.imported("pkg.sub.m", False)


def test_a_changed_text_is_read_again(tmp_path):
    path = tmp_path / "kept.json"
    reader = ReferenceReader(path)
    reader.read(b"import before")
    reader.keep()
    found = ReferenceReader(path).read(b"import after")
    assert found.imports == [(0, "", ["after"])]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 5000, None], ids=str)
def test_a_damaged_cache_is_only_slower(tmp_path, content):
    path = tmp_path / "kept.json"
    good = ReferenceReader(path)
    good.read(b"import one")
    good.keep()
    if content is None:  # an entry of a wrong form
        kept = json.loads(path.read_bytes())
        path.write_text(json.dumps({name: [["x"], 1, None, {}] for name in kept}))
    else:
        path.write_bytes(content)
    reader = ReferenceReader(path)
    assert reader.read(b"import one").imports == [(0, "", ["one"])]
    reader.keep()
    assert ReferenceReader(path).read(b"import one").imports == [(0, "", ["one"])]


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").write_text("")
    reader = ReferenceReader(tmp_path / "file" / "kept.json")
    assert reader.read(b"import one").imports == [(0, "", ["one"])]
    reader.keep()


def test_unused_entries_are_left_out_when_there_are_many(tmp_path, monkeypatch):
    path = tmp_path / "kept.json"
    old = ReferenceReader(path)
    for k in range(6):
        old.read(f"import m{k}".encode())
    old.keep()
    monkeypatch.setattr(module, "MOST_KEPT", 6)
    new = ReferenceReader(path)
    new.read(b"import m0")
    new.read(b"import new")
    new.keep()
    assert len(json.loads(path.read_bytes())) == 2


def test_the_cache_is_in_the_user_s_folder_for_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path))
    module._cache_path.cache_clear()
    try:
        reader = ReferenceReader()
        reader.read(b"import one")
        reader.keep()
        assert [p.name[:18] for p in Path(tmp_path, "facelab").iterdir()] == ["module-references-"]
    finally:
        module._cache_path.cache_clear()
