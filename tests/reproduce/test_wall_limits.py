"""A step's wall limit holds whatever the notebook does: floods, named pipes, and a stopped process of the runner."""

import errno
import json
import os
import subprocess
import sys
import time

import pytest
from conftest_reproduce import Project, code, steps

from facelab.core import escape
from facelab.reproduce import _child, _engine
from facelab.reproduce import _failure as failures
from facelab.reproduce import _store as store
from facelab.reproduce._diagnosis import log_lines
from tests.core.processes import alive

GRACE_S = 3.0


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Run the hostile notebooks once, with little grace, and return (project, exit code, {step: note}, stderr)."""
    project = Project(tmp_path_factory.mktemp("hostile") / "p")
    work = {
        "stopped": (
            "import os, signal, time\nos.kill(os.getppid(), signal.SIGSTOP)",
            "limit_s = 2",
        ),
        "silent": ("import time\ntime.sleep(0.5)\nwhile True: print('z' * 999)", "limit_s = 2"),
        "gigabyte": ("print('x' * 300_000_000)", "limit_s = 60\noutput_mb = 1"),
        "pipes": (
            "import os\nfor name in ('records.jsonl', 'progress.json', 'log.txt'):\n"
            "    (run.folder / name).unlink(missing_ok=True)\n    os.mkfifo(run.folder / name)",
            "limit_s = 60",
        ),
    }
    for name, (source, plan) in work.items():
        project.body(name, code("work", source + ("\ntime.sleep(600)" if "time" in source else "")))
        project.step(name, plan if "output_mb" in plan else plan + "\noutput_mb = 10000")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_engine, "GRACE_S", GRACE_S)
        rc, summary, err = project.run("--jobs", "1")
    return project, rc, steps(summary), err


def test_a_process_that_cannot_answer_is_ended_at_the_limit(hostile):
    """The runner itself keeps the time from the first cell on; it does not wait for the child."""
    project, rc, found, err = hostile
    step = found["stopped"]
    assert (rc, step["state"], step["failure"]["kind"]) == (1, "failed", "timeout"), err
    assert "did not answer" in step["failure"]["what"]
    assert step["seconds"] < 60, "the start of a kernel may take 120 s more; it had begun"
    assert alive(str(project.root)) == []


def test_output_without_an_end_is_cut_off_at_the_limit(hostile):
    step = hostile[2]["silent"]
    assert step["failure"]["kind"] == "timeout" and step["seconds"] < 60, step


def test_one_message_of_hundreds_of_megabytes_is_refused_and_shown_shortened(hostile):
    project, _, found, _ = hostile
    step = found["gigabyte"]
    assert step["failure"]["kind"] == "output-too-large", step
    written = [p.stat().st_size for p in (project.root / "reports").rglob("gigabyte.*")]
    assert len(written) == 2 and max(written) < 5e6


def test_named_pipes_in_place_of_a_steps_files_block_nothing(hostile):
    step = hostile[2]["pipes"]
    assert step["state"] == "done" and step["seconds"] < 60, step


def test_what_a_notebook_leaves_in_its_folder_is_read_only_if_it_is_a_file(tmp_path):
    os.mkfifo(tmp_path / "log.txt")
    assert store.read_json(tmp_path / "log.txt") is None and log_lines(tmp_path) == []
    (tmp_path / "log.txt").unlink()
    with (tmp_path / "log.txt").open("wb") as f:
        f.seek(1 << 31)  # a sparse file
        f.write(b"\nlast\xff\n")
    assert log_lines(tmp_path)[-1] == "last�"
    assert store.read_json(tmp_path / "log.txt") is None


def test_a_flood_costs_little_before_it_is_refused():
    """Every character of every message was looked at in Python: 300 MB took minutes, in which no limit was kept."""
    execution = _child.Execution()
    execution.job = {"output_mb": 1}
    execution.tell = lambda index: None
    text = "é" * 30_000_000 + "\nlast \x1b[31mline\n"
    message = {"msg_type": "stream", "content": {"name": "stdout", "text": text}}
    began = time.process_time()
    execution.saw(message)
    assert time.process_time() - began < 1.0
    assert execution.over and execution.last_line == "last line"
    assert len(message["content"]["text"]) <= 100_001, "the report needs its beginning only"


def test_plain_text_costs_little():
    text = "word\n" * 2_000_000
    began = time.process_time()
    assert escape.block(text) == text == failures.plain(text)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_no_results_is_named_and_not_the_environment(number, tmp_path):
    """The process cannot write down why it ends: its exit code says it."""
    (tmp_path / "job.json").write_text(json.dumps({"folder": str(tmp_path)}))
    (tmp_path / "log.txt").write_text("")
    ends = (
        "import sys\nfrom facelab.reproduce import _child\n"
        f"def execute(job): raise OSError({number}, 'no')\n_child.execute = execute\n_child.main()"
    )
    command = [sys.executable, "-c", ends, str(tmp_path / "job.json")]
    code = subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode
    told = _engine._outcome(tmp_path, "itself", 60, code)
    assert os.strerror(number) in told.what and str(tmp_path) in told.what
    assert "space or give write access" in told.cause
