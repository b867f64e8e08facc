"""Run one step: start the process that executes its notebook, watch it, and decide whether the step is done.

`run_step` is a plain function of JSON, so that any `concurrent.futures.Executor` can run it: threads that each watch
their own process here, or the workers of a dask cluster that see the same folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from subprocess import DEVNULL, STDOUT
from typing import IO, Any

from facelab.core import leases, lifetime, machine
from facelab.core.errors import FacelabError
from facelab.core.files import write_json
from facelab.core.safety import scratch
from facelab.reproduce import _failure as failures
from facelab.reproduce import _kernels as kernels
from facelab.reproduce._diagnosis import log_lines
from facelab.reproduce._failure import Failure
from facelab.reproduce._locks import GaveUpError, lock
from facelab.reproduce._store import (
    Promise,
    Store,
    broken_promise,
    read_json,
    read_records,
    write_step,
)

START_S = 120.0
"""How long a kernel may take to answer; not counted as the step's own time."""
GRACE_S = 20.0
"""What the child, which ends the kernel at the wall limit, gets beyond it to write the report, before it is killed."""
STOP_FILE = "stop"


def run_step(job: dict[str, Any]) -> dict[str, Any]:
    """Run one step and return its note, as written to `step.json`.

    `job` holds: step, run, key, components, root, reports, notebook, kernel, parameters (as literals), limit_s,
    output_mb, lane, threads, own_folders, environment, records, figures, outputs, upstream (step → folder), repeat,
    note.
    Never raises for what happens inside the step; the note's `state` is done, failed or interrupted.
    """
    root = Path(job["root"])
    store = Store(root, Path(job["reports"]))
    folder = store.step_folder(job["run"], job["step"])
    promise = Promise(tuple(job["records"]), tuple(job["figures"]), tuple(job["outputs"]))
    stop_file = store.run_folder(job["run"]) / STOP_FILE
    locks = root / ".cache" / "locks"

    def waiting() -> None:
        write_json(
            folder / "progress.json", {"heading": "waiting for another run", "cell": 0, "cells": 0}
        )

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with lock(locks / f"step-{job['step']}", stop=stop_file.exists, waiting=waiting):
            if not job["force"] and (done := store.find_done(job["step"], job["key"], promise)):
                # another run finished this very step while we waited for it
                store.take_over(done, job["run"], job["step"])
                return {**(read_json(folder / "step.json") or {}), "cached": True}
            with lock(
                locks / "lane",
                shared=job["lane"] != "exclusive",
                stop=stop_file.exists,
                waiting=waiting,
            ):
                leases.end_orphans(
                    leases_folder(root)
                )  # a runner was killed while it held the lane
                return _run(job, root, folder, promise, stop_file)
    except GaveUpError:
        failure = Failure("interrupted", "the step was interrupted while it waited for another run")
        return _note(job, folder, failure, started=time.time(), peak=0)


def leases_folder(root: Path) -> Path:
    """Return where the leases of running steps are kept."""
    return root / ".cache" / "leases"


def _run(job: dict, root: Path, folder: Path, promise: Promise, stop_file: Path) -> dict:
    scratch.remove_tree(folder)
    folder.mkdir(parents=True)
    started = time.time()
    failure, peak = _execute(job, root, folder, stop_file)
    if failure is None:
        failure = broken_promise(folder, promise, root)
    if failure is not None and failure.kind == "killed" and peak:
        failure.cause += (
            f" (the step held {peak / 2**20:.0f} MB at its peak; "
            f"{machine.memory_bytes()[1] / 2**20:.0f} MB are available now)"
        )
    return _note(job, folder, failure, started=started, peak=peak)


def _note(job: dict, folder: Path, failure: Failure | None, *, started: float, peak: int) -> dict:
    """Write and return the step's note."""
    state = "done"
    if failure is not None:
        state = "interrupted" if failure.kind == "interrupted" else "failed"
    if failure is not None:
        failure.step, failure.notebook = job["step"], Path(job["notebook"]).name
        report = folder / f"{job['step']}.html"
        if report.is_file():
            failure.report = str(report) + (f"#{failure.cell}" if failure.cell else "")
        failure.repeat = job["repeat"]
    try:
        found = read_records(folder)
    except FacelabError:
        found = []
    end = read_json(folder / "end.json") or {}
    note = {
        "step": job["step"],
        "run": job["run"],
        "state": state,
        "key": job["key"],
        "components": job["components"],
        "started": started,
        "seconds": round(time.time() - started, 2),
        "peak_bytes": peak,
        "kernel": job["kernel"],
        "parameters": job["parameters"],
        "notebook": Path(job["notebook"]).name,
        "verdict": end.get("verdict", ""),
        "records": len(found),
        "missed": [
            f"{r.case} · {r.metric}" for r in found if r.budget is not None and not r.passed
        ],
        "budgets": sum(r.budget is not None for r in found),
        "note": job["note"],
        "lane": job["lane"],
        "failure": failure.as_dict() if failure else None,
    }
    (folder / "progress.json").unlink(missing_ok=True)
    write_step(folder, note)
    return note


def _execute(job: dict, root: Path, folder: Path, stop_file: Path) -> tuple[Failure | None, int]:
    """Start the child, wait for it, and return (what went wrong or None, peak resident bytes of all processes)."""
    runtime = kernels.runtime_folder(root)
    env = kernels.environment(
        root,
        threads=job["threads"],
        extra={
            **job["environment"],
            "JUPYTER_RUNTIME_DIR": runtime.name,
            kernels.OWN_PATH: os.pathsep.join(job["own_folders"]),
            "FACELAB_RUN": job["run"],
            "FACELAB_STEP": job["step"],
            "FACELAB_STEP_DIR": str(folder),
            "FACELAB_UPSTREAM": json.dumps(job["upstream"]),
        },
    )
    write_json(folder / "job.json", {**job, "folder": str(folder)})
    try:
        with (
            (folder / "log.txt").open("wb") as log,
            leases.lease(leases_folder(root), job["step"]) as token,
        ):
            child = _start(root, folder, env, log, token)
            peak, ended = _watch(child, job, folder, stop_file)
    finally:
        runtime.cleanup()
    return _outcome(folder, ended, job["limit_s"], child.returncode), peak


def _outcome(folder: Path, ended: str | None, limit_s: float, code: int) -> Failure | None:
    """Return what went wrong, by the child's own words or else by how it ended."""
    outcome = read_json(folder / "outcome.json")
    if outcome is not None:
        failure = failures.from_dict(outcome["failure"]) if outcome["failure"] else None
        if failure is None or (failure.kind, ended) != ("interrupted", "timeout"):
            return failure
    if ended == "interrupted":
        return Failure(
            "interrupted", "the step was interrupted", cause="Ctrl-C, or a signal to end"
        )
    if ended == "timeout":
        return Failure(
            "timeout",
            f"the step ran into its wall limit of {limit_s:g} s and did not answer",
            cause="the kernel hangs in native code, or the machine is overloaded",
        )
    return _of_code(folder, code)


def _of_code(folder: Path, code: int) -> Failure:
    """Return the failure of a child that ended without a word, by its exit code."""
    for number, said in failures.NOT_WRITABLE.items():
        if code == said:
            return Failure(
                "runner",
                f"the step's results cannot be written to {folder}: {os.strerror(number)}",
                cause="free some space or give write access, then run the same command again",
            )
    tail = log_lines(folder)
    return Failure(
        "runner",
        f"the process that executes the notebook ended with code {code}",
        traceback=failures.end_of(tail),
        cause="it was killed, or facelab's own environment is broken "
        "(see the step's log.txt and run `facelab doctor`)",
    )


def _start(
    root: Path, folder: Path, env: dict[str, str], log: IO[bytes], token: str
) -> lifetime.Popen:
    package_parent = Path(__file__).resolve().parents[2]
    # the child needs this package, wherever it was imported from; the kernel gets a clean path
    # (what jsonschema checks formats with, which nobody uses: rfc3987_syntax compiles a grammar for a second)
    command = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); "
        "sys.modules['rfc3987_syntax'] = sys.modules['isoduration'] = None; "
        "from facelab.core.process import garbage; garbage.collect_rarely(); "
        "from facelab.reproduce import _child; _child.main()"
    )
    return lifetime.Popen(
        [sys.executable, "-P", "-c", command, str(package_parent), str(folder / "job.json")],
        cwd=root,
        env=env,
        stdin=DEVNULL,
        stdout=log,
        stderr=STDOUT,
        token=token,
    )


def _has_begun(folder: Path) -> bool:
    """Return whether the kernel has answered: its first cell runs, or has run."""
    return bool((read_json(folder / "progress.json") or {}).get("cell"))


def _watch(child: lifetime.Popen, job: dict, folder: Path, stop_file: Path) -> tuple[int, str]:
    """Wait for the child; end it on the wall limit or when the run stops. Returns (peak bytes, how it ended)."""
    deadline, answered = time.monotonic() + START_S + job["limit_s"] + GRACE_S, False
    peak, ended, sampled, kill_at = 0, "itself", 0.0, None
    try:
        while child.poll() is None:
            now = time.monotonic()
            if now - sampled > 0.5:
                peak, sampled = max(peak, _resident(child.pid)), now
                if not answered and (answered := _has_begun(folder)):
                    deadline = min(deadline, now + job["limit_s"] + GRACE_S)
            if kill_at is None and (stop_file.exists() or now > deadline):
                ended = "interrupted" if stop_file.exists() else "timeout"
                child.terminate()
                kill_at = now + 8
            if kill_at is not None and now > kill_at:
                break
            time.sleep(0.05)
    finally:
        child.kill()
    return peak, ended


def _resident(pid: int) -> int:
    """Return the resident bytes of everything below the guard."""
    import psutil

    total = 0
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total
