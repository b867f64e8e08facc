"""The same steps on a dask.distributed cluster: a real scheduler and two real worker processes on loopback."""

import json
import os
import subprocess
import sys

import pytest
from conftest_reproduce import code, steps

pytest.importorskip("distributed")


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Yield the address of a scheduler with two workers in their own processes."""
    folder = tmp_path_factory.mktemp("dask")
    where = folder / "scheduler.json"
    common = ["--no-dashboard", "--scheduler-file", str(where)]
    processes = [start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", *common)]
    processes += [
        start(
            "dask_worker",
            *common,
            "--nthreads",
            "1",
            "--no-nanny",
            "--name",
            f"worker-{k}",
            "--local-directory",
            str(folder),
            "--host",
            "127.0.0.1",
        )
        for k in range(2)
    ]
    try:
        from distributed import Client

        with Client(scheduler_file=str(where), timeout="60s", set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            address = client.scheduler.address
        yield address
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait(10)


def test_steps_run_on_both_workers_and_fail_there_as_they_do_here(project, cluster):
    source = (
        "import os, time\nrun.record('place', 'parent', os.getppid())\ntime.sleep(1)\n"
        "run.record('place', 'mirror', os.environ.get('FACELAB_TEST_WORD', ''))"
    )
    for name in ("left", "right"):
        project.body(name, code("work", source))
        project.step(name)
    project.body("broken", code("fail", "1 / 0"))
    project.step("broken", 'needs = ["left"]')
    os.environ["FACELAB_TEST_WORD"] = "carried"
    try:
        rc, summary, err = project.run("--scheduler", cluster)
    finally:
        del os.environ["FACELAB_TEST_WORD"]
    found = steps(summary)
    assert rc == 1 and "2 workers" in err
    assert [found[n]["state"] for n in ("left", "right", "broken")] == ["done", "done", "failed"]
    assert found["broken"]["failure"]["where"] == "broken.ipynb › Does broken work? › fail, line 1"
    assert summary["scheduler"] == cluster
    lines = (project.root / "reports" / "records.jsonl").read_text().splitlines()
    values = [json.loads(line)["value"] for line in lines]
    assert values.count("carried") == 2
    assert abs(found["left"]["started"] - found["right"]["started"]) < 5, (
        "both workers took a step at once"
    )

    rc, summary, _ = project.run("--scheduler", cluster, "--only", "left", "--only", "right")
    assert rc == 0 and summary["kernels_started"] == 0, "what the cluster did is known here"


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_named(project):
    project.body("left", code("work", "1"))
    project.step("left")
    rc, _, err = project.run("--scheduler", "tcp://127.0.0.1:9")
    assert rc == 2 and "the scheduler does not answer" in err and "tcp://127.0.0.1:9" in err
