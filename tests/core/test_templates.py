"""HTML comes from templates alone: they escape every text, and nothing loads Jinja2 before a page is shown."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import jinja2
import pytest

from facelab.core.templates import PACKAGE, render

TAG = re.compile(
    r"</(?:a|b|div|figure|h[1-6]|html|p|small|span|svg|table|td|text|tr)>|<(?:img|table|div) "
)
SOURCES = sorted(PACKAGE.rglob("*.py"))
TEMPLATES = sorted(PACKAGE.rglob("*.j2"))


def texts(tree):
    """Yield the strings of a module that are not docstrings, with their lines."""
    docs = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                docs.add(first.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs:
            yield node.lineno, node.value


def test_no_function_builds_html_by_hand():
    found = [
        f"{path}:{line}: {text[:60]}"
        for path in SOURCES
        for line, text in texts(ast.parse(path.read_text()))
        if TAG.search(text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.name)
def test_a_template_escapes_whatever_it_is_given(path):
    """`safe` is for what a library made as HTML; each use is listed here."""
    text = path.read_text()
    assert "autoescape false" not in text
    assert text.count("| safe") == (1 if path.name == "matches.html.j2" else 0)  # pandas' table


def test_a_name_that_a_template_does_not_get_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        render("core/templates/small.html.j2")


def test_control_characters_are_shown_and_tags_are_text():
    shown = render("core/templates/small.html.j2", text="<script>\x1b[2J\u202e")
    assert shown == "<small>&lt;script&gt;\\x1b[2J\\u202e</small>"


def test_jinja_is_loaded_when_a_page_is_shown_and_not_before():
    code = """
import sys
import facelab, facelab.cli, facelab.core.result, facelab.core.html_table, facelab.fingerprint, facelab.report
assert "jinja2" not in sys.modules and "markupsafe" not in sys.modules
facelab.core.html_table.table(["a"], [[1]])
assert "jinja2" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
