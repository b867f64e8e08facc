"""Every committed notebook is in canonical form and in the house form of CONTRIBUTING."""

import json
from pathlib import Path

import pytest

from facelab.core.errors import BadInputError
from facelab.reproduce.internals import canonical

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_committed_notebook_is_canonical(path):
    text = canonical.canonical(canonical.read(path), where=path)
    assert path.read_text(encoding="utf-8") == text, (
        f"run: python -m facelab.reproduce.canonical {path}"
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_committed_notebook_keeps_the_house_form(path):
    assert canonical.complaints(canonical.read(path)) == []


def code(name, source, **metadata):
    return {
        "cell_type": "code",
        "id": name,
        "metadata": metadata,
        "source": source,
        "outputs": [{"x": 1}],
        "execution_count": 3,
    }


def text(name, source):
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def notebook(*cells, **metadata):
    return {"nbformat": 4, "nbformat_minor": 4, "metadata": metadata, "cells": list(cells)}


GOOD = (
    text("question", "# How long?\nTakes 3 seconds."),
    code("parameters", "n: int = 3  # how many", tags=["parameters"]),
    code("begin", "import facelab\nrun = facelab.start('x')"),
    code("verdict", "run.done()"),
)


def test_canonical_drops_what_a_run_left_and_is_a_fixed_point():
    once = canonical.canonical(notebook(*GOOD, papermill={"a": 1}, kernelspec={"name": "python3"}))
    value = json.loads(once)
    assert value["metadata"] == {
        "kernelspec": {"display_name": "facelab", "language": "python", "name": "facelab"},
        "language_info": {"name": "python"},
    }
    assert [c.get("outputs", []) for c in value["cells"]] == [[], [], [], []]
    assert (
        value["cells"][1]["metadata"] == {"tags": ["parameters"]} and value["nbformat_minor"] == 5
    )
    assert canonical.canonical(value) == once and once.endswith("}\n")
    assert canonical.complaints(value) == []


def test_what_the_house_form_allows():
    """An import for the parameters' types, thirteen parameters, and comprehensions in different statements."""
    parameters = "\n".join(f"n{k}: int = {k}  # a number" for k in range(13))
    cells = (
        GOOD[0],
        code("types", "from typing import Literal"),
        code("parameters", parameters, tags=["parameters"]),
        GOOD[2],
        code("two", "for k in range(3):\n    x = [n for n in range(k)]\n    y = {n for n in x}"),
        code("wide", "x = '" + "a" * 94 + "'"),
        GOOD[3],
    )
    assert canonical.complaints(notebook(*cells)) == []


@pytest.mark.parametrize(
    "name", [None, "", "a1b2c3d4", "3fa85f64", "Upper-case", "two words", "x" * 65]
)
def test_an_id_that_is_not_a_word_is_refused_with_the_cell(name):
    with pytest.raises(BadInputError) as caught:
        canonical.canonical(
            notebook(text("question", "# Why?"), code(name, "x = 1")), where="nb.ipynb"
        )
    assert "nb.ipynb: cell 2 ('x = 1')" in str(caught.value)


def test_two_cells_with_one_id_are_refused():
    with pytest.raises(BadInputError, match="two cells have one id"):
        canonical.canonical(notebook(text("same", "a"), text("same", "b")))


LONG = "def f():\n" + "    pass\n" * 5
BROKEN = [
    ("asks a question", (text("intro", "# A title. Takes 3 seconds."), *GOOD[1:])),
    ("what the run costs", (text("question", "# How?"), *GOOD[1:])),
    ("exactly one code cell", (GOOD[0], *GOOD[2:])),
    (
        "exactly one code cell",
        (*GOOD[:2], code("again", "m: int = 3  # x", tags=["parameters"]), GOOD[3]),
    ),
    ("has no help", (GOOD[0], code("parameters", "n: int = 3", tags=["parameters"]), *GOOD[2:])),
    (
        "not a typed literal",
        (GOOD[0], code("parameters", "n = 3  # x", tags=["parameters"]), *GOOD[2:]),
    ),
    (
        "not a typed literal",
        (GOOD[0], code("parameters", "import os", tags=["parameters"]), *GOOD[2:]),
    ),
    (
        "not a literal",
        (GOOD[0], code("parameters", "n: int = 1 + f()  # x", tags=["parameters"]), *GOOD[2:]),
    ),
    ("definition of 6 lines", (*GOOD[:3], code("long", LONG), GOOD[3])),
    ("a lambda", (*GOOD[:3], code("short", "f = lambda: 3"), GOOD[3])),
    ("101 columns", (*GOOD[:3], code("wide", "x = '" + "a" * 95 + "'"), GOOD[3])),
    ("13 lines", (*GOOD[:3], code("high", "x = 1\n" * 13), GOOD[3])),
    ("an import", (*GOOD[:3], code("late", "import os"), GOOD[3])),
    (
        "several comprehensions",
        (*GOOD[:3], code("dense", "x = [[n for n in range(m)] for m in range(3)]"), GOOD[3]),
    ),
    ("no plain Python", (*GOOD[:3], code("magic", "%matplotlib inline"), GOOD[3])),
    ("calls run.done()", GOOD[:3]),
]


@pytest.mark.parametrize(
    ("says", "cells"), BROKEN, ids=[b[0] + str(n) for n, b in enumerate(BROKEN)]
)
def test_each_breach_of_the_house_form_is_named(says, cells):
    found = canonical.complaints(notebook(*cells))
    assert len(found) == 1 and says in found[0], found


def test_command_rewrites_and_checks(tmp_path, capsys):
    path = tmp_path / "nb.ipynb"
    path.write_text(json.dumps(notebook(*GOOD)))
    assert canonical.main(["--check", str(path)]) == 1
    assert "not canonical" in capsys.readouterr().err and "\n" not in path.read_text()
    assert canonical.main([str(path)]) == 0
    assert canonical.main(["--check", str(path)]) == 0
    assert canonical.main([]) == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not JSON"),
        ("[]", "not a notebook"),
        ('{"nbformat": 3, "worksheets": []}', "not a notebook"),
    ],
)
def test_what_is_not_a_notebook_is_refused(tmp_path, content, says):
    path = tmp_path / "nb.ipynb"
    path.write_text(content)
    with pytest.raises(BadInputError, match=says):
        canonical.read(path)
