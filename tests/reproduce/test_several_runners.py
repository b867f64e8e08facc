"""Issue 22.3: several runners at once, one of them killed while it holds a lock."""

import json
import time
from pathlib import Path

import pytest
from conftest_reproduce import Project, code, steps

from tests.core.processes import alive

WATCHED = """
import os, time
from pathlib import Path
log = Path({log!r})
def lives(pid):
    try:
        return Path(f'/proc/{{pid}}/stat').read_text().rpartition(')')[2].split()[0] not in 'ZX'
    except OSError:
        return False
beside = [int(line) for line in log.read_text().split() if lives(line)] if log.exists() else []
with log.open('a') as f:
    f.write(f'{{os.getpid()}}\\n')
time.sleep(2)
run.record('a', 'beside', len(beside), budget='<= 0')
"""


def wait(condition, processes, seconds=90):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until
        assert any(p.poll() is None for p in processes), [p.communicate() for p in processes]
        time.sleep(0.02)
    return found


def json_files_are_whole(folder):
    for path in folder.rglob("*.json"):
        if not path.name.startswith("."):
            json.loads(path.read_text())


@pytest.fixture
def three(tmp_path):
    """Three runners of one project whose two steps must run alone; yields it, the runners and the log of kernels."""
    project, log = Project(tmp_path / "p"), tmp_path / "kernels"
    for name in ("one", "two"):
        project.body(name, code("work", WATCHED.format(log=str(log))))
        project.step(name, 'lane = "exclusive"\nrecords = ["a/beside"]')
    runners = [project.start("--json") for _ in range(3)]
    yield project, runners, log
    for process in runners:
        process.kill()
        process.communicate()


def runner_of(project, kernel):
    """Return the process id of the runner below which a kernel runs."""
    for note in (project.root / "reports" / "runs").glob("*/run.json"):
        run = json.loads(note.read_text())
        for path in note.parent.glob("*/progress.json"):
            if json.loads(path.read_text()).get("kernel_pid") == kernel:
                return run["pid"]
    return None


@pytest.mark.parametrize("victim", ["the one that works", "one that waits"])
def test_one_of_three_runners_killed_while_it_holds_a_lock(three, victim):
    project, runners, log = three
    kernel = wait(lambda: log.exists() and log.read_text().split(), runners)[0]
    works = wait(lambda: runner_of(project, int(kernel)), runners)
    runs = project.root / "reports" / "runs"
    wait(lambda: len(list(runs.glob("*/run.json"))) == 3, runners)
    killed = next(p for p in runners if (p.pid == works) == (victim == "the one that works"))
    killed.kill()
    killed.communicate()
    others = [p for p in runners if p is not killed]
    ends = [p.communicate(timeout=120) for p in others]
    assert [p.returncode for p in others] == [0, 0], ends
    for out, _ in ends:
        assert {s["state"] for s in json.loads(out)["steps"]} == {"done"}
    # each kernel of an exclusive step started when no other one lived; each step was made once, except the killed one
    started = log.read_text().split()
    assert len(started) == (3 if victim == "the one that works" else 2)
    for line in runs.glob("*/*/records.jsonl"):
        assert [json.loads(x)["value"] for x in line.read_text().splitlines()] == [0]
    json_files_are_whole(project.root / "reports")
    assert alive(str(project.root)) == []
    assert list((project.root / ".cache" / "leases").iterdir()) == []
    rc, summary, err = project.run()
    assert rc == 0 and all(s["cached"] for s in summary["steps"]), err
    assert log.read_text().split() == started
    sockets = project.root / ".cache" / "run"  # absent where the path is too long for a socket
    assert not sockets.exists() or list(sockets.iterdir()) == []


@pytest.mark.parametrize("place", ["runs", "latest"])
def test_a_runner_killed_while_it_holds_the_lock_of_the_reports(tmp_path, place):
    """The lock goes with its holder; what it left half-done is done again by the next call."""
    import subprocess
    import sys

    project = Project(tmp_path / "p")
    project.body("one", code("work", "run.record('a', 'b', 1)"))
    project.step("one")
    assert project.run()[0] == 0
    holder = (
        "import sys, time\nfrom pathlib import Path\nfrom facelab.reproduce._store import Store\n"
        "from facelab.reproduce._locks import lock\nfolder = Path(sys.argv[1])\n"
        "with lock(folder / '.lock'):\n"
        "    if sys.argv[2] == 'runs':\n        (folder / 'runs' / '00009-x' / 'one').mkdir(parents=True)\n"
        "    else:\n        (folder / 'latest').unlink()\n"
        "    print('held', flush=True)\n    time.sleep(60)\n"
    )
    reports = project.root / "reports"
    with subprocess.Popen(
        [sys.executable, "-c", holder, reports, place], stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        runner = project.start("--json")
        time.sleep(2.5)
        assert runner.poll() is None, runner.communicate()
        process.kill()
    out, err = runner.communicate(timeout=60)
    assert runner.returncode == 0, err
    run = json.loads(out)
    assert steps(run)["one"]["cached"]
    assert str((reports / "latest").readlink()) == f"runs/{run['run']}"
    assert Path(reports / "latest" / "index.html").is_file()
