"""The runner under attack: kills, detached processes, a clock that jumps back, full disks and hostile folders."""

import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest_reproduce import BEGIN, DRAW, VERDICT, Project, code, md, steps

from facelab.core import guard, run_names
from facelab.core.errors import BadInputError
from facelab.reproduce import _runner as runner
from facelab.reproduce._store import KEEP_RUNS, Promise, Store, write_step
from facelab.reproduce.internals import canonical
from tests.core.processes import alive, gone, mark, shared_memory

LEFT, STRIPPED = mark(), mark()


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """One run of notebooks that misbehave, each in its own way."""
    project = Project(tmp_path_factory.mktemp("attacks") / "a project")
    project.body("message", code("fail", "raise ValueError('x' * 30_000_000)"))
    project.body(
        "circle",
        code(
            "link",
            "import os\nos.symlink('circle', run.folder / 'circle')\nos.mkfifo(run.folder / 'pipe')",
        ),
    )
    project.body(
        "folder",
        code("draw", DRAW.format(name="plot")),
        code("make", "(run.folder / 'figures' / 'x.png').mkdir()"),
    )
    project.body(
        "leaves",
        code(
            "start",
            "import subprocess\n"
            f"subprocess.Popen(['setsid', 'sleep', {LEFT!r}])\n"
            f"subprocess.Popen(['env', '-i', 'setsid', 'sleep', {STRIPPED!r}])",
        ),
    )
    workers = (
        "import os\nfrom joblib import Parallel, delayed\nrun.record('kernel', 'pid', os.getpid())\n"
        "_ = Parallel(2)(delayed(abs)(k) for k in range(4))"
    )
    project.body("workers", code("work", workers))
    project.body("broken-workers", code("work", workers), code("end", "os.kill(os.getpid(), 9)"))
    sparse = "(run.folder / 'figures').mkdir(exist_ok=True)\nf = open(run.folder / 'figures' / 'x.png', 'wb')\n"
    sparse += "f.write(b'\\x89PNG\\r\\n\\x1a\\n')\nf.truncate(1 << 38)\nf.close()"
    project.body("terabyte", code("make", sparse))
    project.body("promised-terabyte", code("make", sparse))
    deep = "import os\nos.chdir(run.folder)\nfor k in range(100):\n    os.mkdir('d')\n    os.chdir('d')"
    project.body("deep", code("make", deep))
    project.step("message", "output_mb = 2")
    project.step("promised-terabyte", 'figures = ["x"]')
    for name in (
        "circle",
        "folder",
        "leaves",
        "workers",
        "broken-workers",
        "terabyte",
        "deep",
    ):
        project.step(name)
    return project, *project.run("--jobs", "2")


def test_an_error_message_counts_as_output_and_is_cut(attacked):
    project, rc, summary, _ = attacked
    assert rc == 1 and steps(summary)["message"]["failure"]["kind"] == "output-too-large"
    files = [p for p in (project.root / "reports" / "latest" / "message").rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 2_000_000


def test_a_step_leaves_no_process_not_even_a_detached_one_without_its_environment(attacked):
    assert steps(attacked[2])["leaves"]["state"] == "done"
    assert alive(LEFT) == [] and alive(STRIPPED) == []
    assert list((attacked[0].root / ".cache" / "leases").iterdir()) == []


def test_a_steps_workers_leave_no_shared_memory_however_the_step_ends(attacked):
    project, _, summary, _ = attacked
    assert steps(summary)["workers"]["state"] == "done"
    assert steps(summary)["broken-workers"]["failure"]["kind"] == "killed"
    for name in ("workers", "broken-workers"):
        line = (project.root / "reports" / "latest" / name / "records.jsonl").read_text()
        assert shared_memory(json.loads(line)["value"]) == []


def test_a_sparse_picture_of_a_terabyte_is_not_read(attacked):
    """It ended the whole run, and each later one, with too little memory."""
    found = steps(attacked[2])
    assert found["terabyte"]["state"] == "done"
    assert found["promised-terabyte"]["failure"]["kind"] == "missing-figure"


def test_deep_folders_fail_their_step_and_no_later_call(attacked):
    """Taken over by the next call, they were deeper than a folder can be copied: it ended before any step."""
    assert steps(attacked[2])["deep"]["failure"]["kind"] == "bad-folder"


def test_a_folder_named_like_a_picture_does_not_prevent_the_report(attacked):
    project, _, summary, _ = attacked
    assert steps(summary)["folder"]["state"] == "done"
    assert "two points" in (project.root / "reports" / "index.html").read_text()


def test_links_in_a_circle_and_pipes_in_a_steps_folder_do_not_disturb_later_calls(attacked):
    project = attacked[0]
    rc, summary, err = project.run("--only", "circle")
    step = steps(summary)["circle"]
    assert rc == 0 and step["state"] == "done" and step["cached"], err
    assert project.run("--dry-run", "--only", "circle")[1][0]["run"] is not None


# -- a clock that jumps back -------------------------------------------------------------------------------------------


def finished(store, run, *, at, done=("a",)):
    folder = store.run_folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"run": run, "finished": at, "pid": 1}))
    for step in done:
        (folder / step).mkdir()
        (folder / step / "end.json").write_text('{"records": 0}')
        write_step(folder / step, {"step": step, "state": "done", "key": f"key of {run}"})


@pytest.mark.parametrize("names", ["numbered", "of an earlier version"])
def test_the_newest_run_is_the_one_made_last_whatever_the_clock_says(tmp_path, names):
    store = Store(tmp_path)
    for k in range(KEEP_RUNS + 5):
        number = f"{k + 1:05d}-" if names == "numbered" else ""
        finished(store, f"{number}20991231-2359{k:02d}-abcd", at=4e9 + k)
    run = store.new_run()
    finished(store, run, at=1.0, done=("b",))
    store.publish(run)
    assert store.runs()[0] == run and store.find("latest").name == run
    assert (tmp_path / "reports" / "latest").resolve().name == run
    assert store.find("previous").name.startswith(run_names.newest_first(store.runs_folder)[1])
    assert len(store.runs()) == KEEP_RUNS
    assert store.find_done("b", f"key of {run}", Promise()) is not None
    assert [f["run"] for f in store.ended(before=run)][:1] == [store.runs()[1]]


def test_what_latest_and_the_next_call_refer_to_is_never_removed(tmp_path):
    store = Store(tmp_path)
    first = store.new_run()
    finished(store, first, at=1.0, done=("rare",))
    for k in range(2 * KEEP_RUNS):
        run = store.new_run()
        finished(store, run, at=2.0 + k)
        store.publish(run)
    assert first in store.runs() and store.find_done("rare", f"key of {first}", Promise())
    assert len(store.runs()) == KEEP_RUNS
    old = store.runs()[5]
    store.publish(old)
    assert (tmp_path / "reports" / "latest").resolve().name == old


# -- disks, notebooks, the Makefile ------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [1, 2])
def test_a_full_disk_exits_1_and_names_the_path(project, monkeypatch, call):
    project.body("good", code("work", "1"))
    project.step("good")
    real, count = runner.write_json, iter(range(1, 99))

    def full(path, value):
        if next(count) >= call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, value)

    monkeypatch.setattr(runner, "write_json", full)
    monkeypatch.setattr(
        runner, "run_step", lambda job: {"step": job["step"], "state": "failed", "seconds": 0.0}
    )
    rc, summary, err = project.run()
    assert rc == 1 and summary is None
    assert "cannot be written" in err and "No space left" in err and "reports/runs/0" in err
    assert "Traceback" not in err and not (project.root / "reports" / "latest").exists()


CELL = {"cell_type": "code", "id": "a", "metadata": {}, "source": "1", "outputs": []}


@pytest.mark.parametrize(
    "cell",
    [
        7,
        None,
        [],
        {},
        {**CELL, "source": 7},
        {**CELL, "source": ["a", 1]},
        {**CELL, "source": None},
        {**CELL, "cell_type": []},
        {**CELL, "id": 7},
        {**CELL, "metadata": []},
        {**CELL, "metadata": {"tags": "parameters"}},
        {**CELL, "metadata": {"tags": [1]}},
        {**CELL, "source": "\ud800"},
    ],
)
def test_a_malformed_cell_is_named(project, cell):
    project.notebook("bad", md("question", "# ?"), BEGIN, cell, VERDICT)
    project.step("bad")
    rc, _, err = project.run()
    assert rc == 2 and "Traceback" not in err
    assert "bad.ipynb: cell 3" in err


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"nbformat": ' + "9" * 5000 + "}",
        "\0",
        '{"cells": [], "metadata": 3, "nbformat": 4}',
    ],
)
def test_a_malformed_notebook_is_refused(tmp_path, text):
    (tmp_path / "n.ipynb").write_text(text)
    with pytest.raises(BadInputError, match=r"n\.ipynb"):
        canonical.read(tmp_path / "n.ipynb")


def test_a_checkout_path_with_blanks_gets_its_folders_inside(tmp_path):
    checkout = tmp_path / "a b" / "my checkout"
    checkout.mkdir(parents=True)
    source = Path(__file__).resolve().parents[2] / "Makefile"
    (checkout / "Makefile").write_text(source.read_text())
    env = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["make", "setup-main", "PYTHON=true"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    assert (checkout / ".cache" / "jupyter" / "runtime").is_dir()
    assert [p.name for p in tmp_path.iterdir()] == ["a b"]
    assert [p.name for p in (tmp_path / "a b").iterdir()] == ["my checkout"]


# -- kills at random moments -------------------------------------------------------------------------------------------


def killable(root, word):
    project = Project(root)
    work = (
        "import subprocess, time\n"
        f"subprocess.Popen(['env', '-i', 'setsid', 'sleep', {word!r}])\n"
        "run.record('a', 'b', 1)\ntime.sleep(0.5)"
    )
    for name in ("one", "two"):
        project.body(name, code("work", work))
        project.step(name, 'lane = "exclusive"\nrecords = ["a/b"]')
    return project


def kill_at(project, word, seconds):
    """Kill a run after some seconds and return how long its processes went on, at most 8 s."""
    process = project.start()
    tree = []
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        tree = guard.descendants(process.pid)
        time.sleep(0.02)
    tree = guard.descendants(process.pid) or tree
    process.kill()  # it may have ended by itself
    process.communicate()
    began = time.monotonic()
    own = str(project.root)
    while time.monotonic() - began < 8:
        if not alive(word) and not alive(own):
            break
        time.sleep(0.05)
    return time.monotonic() - began


def check_kills(project, word, moments):
    for seconds in moments:
        assert kill_at(project, word, seconds) < 5, (
            f"processes went on after a kill at {seconds:.2f} s"
        )
        latest = project.root / "reports" / "runs"
        for note in latest.glob("*/*/step.json"):
            if json.loads(note.read_text())["state"] == "done":
                assert json.loads((note.parent / "end.json").read_text())["records"] == 1
    rc, summary, err = project.run()
    assert rc == 0 and {s["state"] for s in summary["steps"]} == {"done"}, err
    assert gone(word, 1)
    assert list((project.root / ".cache" / "leases").glob("*")) == []


def test_a_killed_runner_leaves_nothing_and_the_next_call_goes_on(tmp_path):
    word = mark()
    check_kills(killable(tmp_path / "p", word), word, [2.0, 4.5])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_runner_killed_at_fifty_random_moments_leaves_nothing(tmp_path):
    word, chance = mark(), random.Random(22)
    for k in range(10):
        project = killable(tmp_path / f"p{k}", word)
        check_kills(project, word, [chance.uniform(0, 10) for _ in range(5)])


def check_killed_helpers(root, moments, chance):
    """Kill one process below the runner, any one, at each moment: the step fails by name, and nothing goes on."""
    word = mark()
    project = Project(root)
    work = (
        f"import subprocess, time\nsubprocess.Popen(['setsid', 'sleep', {word!r}])\ntime.sleep(2)"
    )
    project.body("one", code("work", work))
    project.step("one")
    for seconds in moments:
        runner = project.start("--json", "--force")
        time.sleep(seconds)
        below = guard.descendants(runner.pid)
        if below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(below), signal.SIGKILL)
        out, err = runner.communicate(timeout=120)
        assert runner.returncode in (0, 1) and "Traceback" not in err, err
        step = steps(json.loads(out))["one"]
        assert step["state"] == "done" or step["failure"]["what"], step
        assert gone(word) and alive(str(project.root)) == []
    rc, summary, err = project.run()
    assert rc == 0 and steps(summary)["one"]["state"] == "done", err


def test_a_killed_kernel_or_helper_fails_its_step_and_leaves_nothing(tmp_path):
    check_killed_helpers(tmp_path / "p", [2.5], random.Random(3))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kernels_and_helpers_killed_at_fifty_random_moments(tmp_path):
    chance = random.Random(os.environ.get("FACELAB_FUZZ_SEED", "22"))
    moments = [chance.uniform(0.5, 7) for _ in range(50)]
    check_killed_helpers(tmp_path / "p", moments, chance)


def test_a_kernel_leaves_no_file_in_the_temporary_folder(project, tmp_path, monkeypatch):
    """Its connection file is in the step's own folder, which goes with the next call after a kill."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", None)
    body = (
        "import os\nfound = [n for n in os.listdir(os.environ['TMPDIR']) if n.endswith('.json')]\n"
    )
    project.body("a", code("w", body + "assert found == [], found"))
    project.step("a")
    assert project.run("--only", "a")[0] == 0
