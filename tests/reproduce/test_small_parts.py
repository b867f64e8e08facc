"""Displays, locks, the run's upstream folders, and kernels that do not start."""

import io
import json
import multiprocessing
import sys
from pathlib import Path

import pytest
from conftest_reproduce import code, steps

import facelab
from facelab.core.errors import MissingAssetError
from facelab.reproduce import _kernels as kernels
from facelab.reproduce._failure import cause_of_death, line_in_cell
from facelab.reproduce._locks import GaveUpError, lock
from facelab.reproduce._progress import Display, LiveDisplay, outcome

RUNNING = [
    (
        "08_bench",
        {"heading": "Top-k [bold]", "cell": 3, "cells": 9, "last_line": "[/] 1 of 2"},
        61.0,
    )
]


def test_plain_display_prints_a_heading_once():
    stream = io.StringIO()
    display = Display(stream)
    display.start("08_bench")
    display.tick(RUNNING)
    display.tick(RUNNING)
    display.finished(
        {"step": "08_bench", "state": "done", "seconds": 2.0, "verdict": "1 of 1 budgets met"}
    )
    lines = [line.split("  ", 1)[1] for line in stream.getvalue().splitlines()]
    assert lines == [
        "08_bench: started",
        "08_bench: Top-k [bold]  cell 3/9  1 min 1 s",
        "08_bench: done (2.0 s) · 1 of 1 budgets met",
    ]


def test_live_display_takes_any_text_literally():
    from rich.console import Console

    display = LiveDisplay(
        Console(file=io.StringIO(), force_terminal=True, width=100, highlight=False)
    )
    display.tick(RUNNING)
    display.finished({"step": "x", "state": "failed", "failure": {"what": "raised [red]"}})
    display.close()
    shown = display.console.file.getvalue()
    assert "Top-k [bold]" in shown and "[/] 1 of 2" in shown and "raised [red]" in shown


@pytest.mark.parametrize(
    ("note", "says"),
    [
        ({"state": "done", "seconds": 1.0, "cached": True}, "done (as before)"),
        ({"state": "done", "seconds": 1.0, "missed": ["a"]}, "BUDGET MISSED (1.0 s)"),
        ({"state": "blocked", "failure": {"what": "it needs a"}}, "BLOCKED: it needs a"),
        ({"state": "interrupted"}, "interrupted"),
    ],
)
def test_an_outcome_is_one_line(note, says):
    assert outcome(note) == says


@pytest.mark.parametrize(
    ("code", "kind", "what"),
    [
        (-9, "killed", "SIGKILL"),
        (-15, "killed", "SIGTERM"),
        (-11, "crashed", "SIGSEGV"),
        (-6, "crashed", "SIGABRT"),
        (0, "exited", "exit code 0"),
        (3, "exited", "exit code 3"),
        (None, "killed", "died"),
    ],
)
def test_how_a_kernel_died_is_known_from_its_exit_code(code, kind, what):
    found = cause_of_death(code)
    assert found[0] == kind and what in found[1] and found[2]


def test_the_line_is_found_in_each_kind_of_traceback():
    frames = [
        "\x1b[0;36mCell In[7], line 2\x1b[0m",
        "File x.py:3, in f",
        "Cell In[7], line 4",
        "Cell In[5], line 9",
    ]
    assert line_in_cell(frames, 7) == 4
    assert line_in_cell(["in <module>:3"], 7) == 3 and line_in_cell(["nothing"], 7) is None


def hold(path, taken, release):
    with lock(path):
        taken.set()
        release.wait(20)


def test_a_lock_held_by_another_process_is_waited_for_and_can_be_given_up(tmp_path):
    context = multiprocessing.get_context("spawn")
    taken, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path / "lock", taken, release))
    process.start()
    assert taken.wait(20)
    told = []
    with (
        pytest.raises(GaveUpError),
        lock(tmp_path / "lock", stop=lambda: bool(told), waiting=lambda: told.append(1)),
    ):
        pytest.fail("two processes hold one lock")
    process.kill()
    process.join(20)
    with (
        lock(tmp_path / "lock"),
        lock(tmp_path / "other", shared=True),
        lock(tmp_path / "other", shared=True),
    ):
        assert told == [1], "a killed process leaves no lock behind"


def test_upstream_is_the_folder_that_the_runner_names(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "end.json").write_text("{}")
    monkeypatch.setenv("FACELAB_STEP_DIR", str(tmp_path / "b"))
    monkeypatch.setenv("FACELAB_STEP", "b")
    monkeypatch.setenv("FACELAB_UPSTREAM", json.dumps({"a": str(tmp_path / "a")}))
    run = facelab.start("b")
    assert run.upstream("a") == tmp_path / "a"
    with pytest.raises(MissingAssetError, match="'c' has left no result"):
        run.upstream("c")


def test_a_kernel_that_is_missing_or_broken_is_named_before_or_instead_of_a_hang(project):
    folder = project.root / ".cache" / "jupyter" / "data" / "kernels" / "broken"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(
        json.dumps(
            {"argv": ["/bin/false", "{connection_file}"], "display_name": "x", "language": "python"}
        )
    )
    assert "cannot import ipykernel" in kernels.why_not(project.root, "broken")
    assert "not registered" in kernels.why_not(project.root, "absent")
    for name in ("broken", "absent"):
        project.body(name, code("work", "1"))
        project.step(name, f'kernel = "{name}"')
    rc, summary, err = project.run()
    assert rc == 1
    for name in ("broken", "absent"):
        failure = steps(summary)[name]["failure"]
        assert failure["kind"] == "no-kernel" and f"'{name}'" in failure["what"], err
        assert "facelab doctor" in failure["cause"]


def test_the_main_kernel_is_registered_in_the_projects_cache_where_nothing_has_registered_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("jupyter_core.paths.ENV_JUPYTER_PATH", [])
    monkeypatch.setattr("jupyter_core.paths.SYSTEM_JUPYTER_PATH", [])
    for name in ("JUPYTER_PATH", "JUPYTER_DATA_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    assert kernels.executable(tmp_path, "facelab") is None
    kernels.ensure_main(tmp_path)
    assert str(kernels.executable(tmp_path, "facelab")) == sys.executable
    assert kernels.why_not(tmp_path, "facelab") is None


def test_socket_paths_stay_short_enough(tmp_path):
    deep = tmp_path / ("x" * 80) / ("y" * 40)
    deep.mkdir(parents=True)
    with kernels.runtime_folder(deep) as name:
        assert len(name) <= kernels.LONGEST_RUNTIME_FOLDER
        assert kernels.transport(Path(name)) == "ipc"
    assert kernels.transport(deep) == "tcp"


def test_a_plan_without_steps_or_with_a_circle_is_refused(project):
    (project.notebooks / "plan.toml").write_text('schema = "facelab.plan/1"\n')
    rc, _, err = project.run()
    assert rc == 2 and "the plan has no steps" in err
    for name, need in (("a", "b"), ("b", "a")):
        project.body(name)
        project.step(name, f'needs = ["{need}"]')
    rc, _, err = project.run()
    assert rc == 2 and "in a circle" in err


def test_many_pieces_of_output_are_cut_together():
    import nbformat

    from facelab.reproduce._pages import KEPT_TEXT, shorten

    piece = KEPT_TEXT * 6 // 10
    cell = nbformat.v4.new_code_cell("flood()")
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="x" * piece) for _ in range(50)
    ]
    shorten(nbformat.v4.new_notebook(cells=[cell]))
    assert sum(o["text"].count("x") for o in cell.outputs) == KEPT_TEXT
    assert [("cut here" in o["text"]) for o in cell.outputs] == [False, True]
