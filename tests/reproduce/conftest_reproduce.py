"""A project in a temporary folder: a plan, tiny notebooks, and the real command run on them."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from facelab import cli

REPOSITORY = Path(__file__).resolve().parents[2]


def md(name, source):
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def code(name, source, *tags):
    return {
        "cell_type": "code",
        "id": name,
        "metadata": {"tags": list(tags)},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


BEGIN = code("begin", "import facelab\nrun = facelab.start()")
VERDICT = code("verdict", "run.done()")
DRAW = (
    "from facelab.report import style\nfig, ax = style.figure(3, 2)\n_ = ax.plot([1, 2])\n"
    "run.figure(fig, {name!r}, alt='two points')"
)


class Project:
    """A folder with notebooks and a plan; `run` calls the command in this process, `start` in another."""

    def __init__(self, root):
        self.root = Path(root)
        self.notebooks = self.root / "notebooks"
        self.notebooks.mkdir(parents=True, exist_ok=True)

    def notebook(self, name, *cells):
        text = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells)}
        (self.notebooks / f"{name}.ipynb").write_text(json.dumps(text))

    def body(self, name, *cells):
        """Write a notebook whose cells lie between a question and the verdict."""
        self.notebook(name, md("question", f"# Does {name} work?"), BEGIN, *cells, VERDICT)

    def step(self, name, text="", notebook=None):
        with (self.notebooks / "plan.toml").open("a") as f:
            f.write(f'[[step]]\nname = "{name}"\nnotebook = "{notebook or name}.ipynb"\n{text}\n')

    def arguments(self, *arguments):
        return [
            "reproduce",
            "--plan",
            str(self.notebooks / "plan.toml"),
            "--reports",
            str(self.root / "reports"),
            *arguments,
        ]

    def run(self, *arguments):
        """Return (exit code, summary or None, standard error)."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.run(self.arguments("--json", *arguments))
        return code, json.loads(out.getvalue()) if out.getvalue().strip() else None, err.getvalue()

    def start(self, *arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "facelab.cli", *self.arguments(*arguments)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
        )

    def own_modules(self, **modules):
        """Write modules beside the notebooks."""
        for name, source in modules.items():
            (self.notebooks / f"{name}.py").write_text(source)


def steps(summary):
    return {s["step"]: s for s in summary["steps"]}


def kernels_of(folder):
    """Return the command lines of live kernels whose connection files lie below `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if re.search(r"ipykernel|facelab\.reproduce\.child", line) and str(folder) in line:
                found.append(line)
    return found


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "p")
