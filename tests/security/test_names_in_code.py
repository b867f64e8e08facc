"""Issue 22.15: a name out of a stranger's specification stays in its comment, whatever language is emitted."""

import io
import runpy
import tokenize

import pytest

from facelab.preprocess import PreprocessSpec
from facelab.preprocess.emit import write
from facelab.preprocess.presets import preset

LANGUAGES = ("c", "go", "javascript", "python")
NAMES = {
    "a line": "a\n{code}\n",
    "a carriage return": "a\r{code}\r",
    "a line of Unicode": "a\u2028{code}\u2029",
    "a page": "a\x0c{code}\x0b",
    "an end of a comment": "a */ {code} /*",
    "a hidden end of a comment": "a **//{code}/**/*",
    "an encoding": "coding: utf-7 +AAo-{code}+AAo-#",
    "another encoding": "coding=unicode_escape \\n{code}\\n#",
}
CODE = "open('ran', 'w')"


def written(name, language, folder):
    """Return {file: text} of a spec that has this name."""
    folder.mkdir()
    stages = preset("arcface").to_dict()["stages"]
    write(PreprocessSpec(name, stages), language, folder)
    return {p.name: p.read_bytes().decode() for p in folder.iterdir() if p.is_file()}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", NAMES)
def test_a_name_changes_one_line_and_that_is_a_comment(kind, language, tmp_path):
    plain = written("plain", language, tmp_path / "plain")
    hostile = written(NAMES[kind].format(code=CODE), language, tmp_path / "hostile")
    assert plain.keys() == hostile.keys()
    for file, text in hostile.items():
        before, after = plain[file].splitlines(), text.splitlines()
        assert len(before) == len(after), f"{file}: the name made lines"
        changed = [b for a, b in zip(before, after, strict=True) if a != b and "SHA-256" not in b]
        assert all("Preprocessing of" in line for line in changed) and len(changed) <= 1
        if not file.endswith(".md"):
            assert not any("*/" in line or "/*" in line for line in changed)


@pytest.mark.parametrize("kind", NAMES)
def test_nothing_of_a_name_runs_in_emitted_python(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(NAMES[kind].format(code=CODE), "python", tmp_path / "made")
    file = tmp_path / "made" / "preprocess.py"
    assert tokenize.detect_encoding(io.BytesIO(file.read_bytes()).readline)[0] == "utf-8"
    assert "preprocess" in runpy.run_path(str(file))
    assert not (tmp_path / "ran").exists()
