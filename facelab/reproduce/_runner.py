"""The run: what has to run and why, in which order and where, until it is done, failed or interrupted."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facelab.core import leases, lifetime, machine
from facelab.core import records as record_files
from facelab.core.errors import FacelabError, UnsupportedError
from facelab.core.files import write_json
from facelab.core.lifetime import FAMILY
from facelab.report import write_index
from facelab.reproduce import _kernels as kernels
from facelab.reproduce import _wording as wording
from facelab.reproduce import plan as plans
from facelab.reproduce._engine import STOP_FILE, leases_folder, run_step
from facelab.reproduce._keys import Keys, changes, key_of, own_folders
from facelab.reproduce._parameters import to_literal
from facelab.reproduce._progress import Display
from facelab.reproduce._store import Promise, Store, read_json, read_records
from facelab.reproduce.plan import Plan, Step

SCHEMA = "facelab.run/1"


class ResultsError(FacelabError):
    """The run's results cannot be written: a full disk, or a folder that has become read-only. Exit code 1."""


@dataclass(frozen=True)
class Options:
    """What the command line asked for.

    Parameters
    ----------
    profile : str
        `quick` or `full`.
    jobs : int or None
        Notebooks at once; None for up to two.
    scheduler : str or None
        Address of a dask scheduler that runs the steps; None for this machine.
    only : tuple of str
        Steps to run, with what they need; empty for all.
    start : str or None
        The step to start from.
    texts : tuple of str
        Parameters as `STEP.NAME=VALUE`.
    force : bool
        Whether steps that are done run again.
    reports : Path or None
        The folder of reports; None for the project's.
    said : tuple of str
        The command as typed, for the report.
    sweep : tuple of (str, tuple of str) or None
        The sweep that the run belongs to, and the run's point in it, as `STEP.NAME=VALUE` texts.

    Examples
    --------
    >>> Options(profile="quick", only=("01_data_and_models",)).profile
    'quick'
    """

    profile: str = "full"
    jobs: int | None = None
    scheduler: str | None = None
    only: tuple[str, ...] = ()
    start: str | None = None
    texts: tuple[str, ...] = ()
    force: bool = False
    reports: Path | None = None
    said: tuple[str, ...] = ()
    sweep: tuple[str, tuple[str, ...]] | None = None


@dataclass
class Task:
    """One step of this run: its parameters, its key, whether it must run, and why."""

    step: Step
    kernel: str
    parameters: dict[str, str]
    defaults: dict[str, str]
    components: dict[str, dict[str, str]]
    key: str
    note: str = ""
    done: Path | None = None
    selected: bool = True
    run: bool = False
    why: list[str] = field(default_factory=list)
    last: str = ""

    @property
    def asked(self) -> bool:
        """Whether this step counts for the run's outcome: it was asked for, or something asked for needs it run."""
        return self.selected or self.run


class Runner:
    """Run a plan. `prepare` checks everything that can be checked before any kernel starts.

    Parameters
    ----------
    plan : Plan
        From `plan.read`.
    options : Options
        What to run, and how.
    display : Display or None
        Shows progress; None for a terminal's.

    Examples
    --------
    >>> from facelab.reproduce import plan
    >>> runner = Runner(plan.read("notebooks/plan.toml"), Options(only=("00_overview",)))
    >>> runner.plan.names[:2]
    ['00_overview', '01_data_and_models']
    """

    def __init__(self, plan: Plan, options: Options, display: Display | None = None):
        self.plan, self.options = plan, options
        self.display = display or Display()
        self.store = Store(plan.root, options.reports)
        self.tasks: dict[str, Task] = {}
        self.notes: dict[str, dict[str, Any]] = {}
        self.stop = threading.Event()
        self.run = ""
        self.jobs = options.jobs or (0 if options.scheduler else max(1, min(2, machine.cores())))

    # -- before anything runs -----------------------------------------------------------------------------------

    def prepare(self) -> list[Task]:
        """Resolve parameters, fallbacks and keys, and decide what must run. Raises BadInputError for a mistake."""
        texts = plans.overrides(self.plan, self.options.texts)
        chosen = self._selection()
        keys = Keys(self.plan)
        kernels.ensure_main(self.plan.root)
        resolved = {s.name: self._resolve(s, texts.get(s.name, {})) for s in self.plan.in_order()}
        for step in self.plan.in_order():
            kernel, parameters, note = resolved[step.name]
            upstream = {need: self.tasks[need].key for need in step.needs}
            parts = keys.components(step, kernel=kernel, parameters=parameters, upstream=upstream)
            defaults = {
                n: to_literal(p.default) for n, p in plans.declared(self.plan, step).items()
            }
            task = Task(
                step,
                kernel,
                parameters,
                defaults,
                parts,
                key_of(parts),
                note,
                selected=step.name in chosen,
            )
            task.done = self.store.find_done(step.name, task.key, _promise(step))
            task.run = task.selected and (self.options.force or task.done is None)
            self.tasks[step.name] = task
        for name in [n for n in chosen if self.tasks[n].run]:
            for need in self.plan.upstream(name):
                self.tasks[need].run |= self.tasks[need].done is None
        for task in self.tasks.values():
            task.why = self._why(task)
        return [self.tasks[s.name] for s in self.plan.in_order()]

    def _selection(self) -> set[str]:
        names = self.plan.names
        if self.options.only:
            return {self.plan[name].name for name in self.options.only}
        if self.options.start:
            return set(names[names.index(self.plan[self.options.start].name) :])
        return set(names)

    def _resolve(self, step: Step, texts: dict[str, str]) -> tuple[str, dict[str, str], str]:
        """Return (kernel, parameters as literals, what the report says about a fallback)."""
        kernel, note, fell = step.kernel, "", False
        if step.fallback:
            missing = kernels.why_not(self.plan.root, step.fallback.requires or step.kernel)
            if missing:
                fell, kernel = True, step.fallback.kernel or step.kernel
                note = f"fell back: {missing}" + (
                    f"; {step.fallback.reason}" if step.fallback.reason else ""
                )
        values = plans.resolve(
            self.plan, step, profile=self.options.profile, texts=texts, fallback=fell
        )
        return kernel, {name: to_literal(value) for name, value in values.items()}, note

    def _why(self, task: Task) -> list[str]:
        if not task.run and task.done:
            return ["nothing changed"] if task.selected else ["not asked for", "nothing changed"]
        history = self.store.history(task.step.name)
        if not task.run:
            task.last = history[0]["state"] if history else ""
            return ["not asked for", *(["it failed last time"] if task.last == "failed" else [])]
        if task.done:
            return ["--force"]
        reasons = [] if task.selected else ["a step that was asked for needs it"]
        if not history:
            return [*reasons, "it has not run yet"]
        last = history[0]
        changed = changes(last.get("components", {}), task.components)
        if changed:
            return [*reasons, *changed]
        if last["state"] != "done":
            how = (last.get("failure") or {}).get("what", last["state"])
            return [*reasons, f"last time it was not done: {how}"]
        return [*reasons, "its earlier result is incomplete or breaks a promise of the plan"]

    # -- the run ------------------------------------------------------------------------------------------------

    def execute(self) -> dict[str, Any]:
        """Run what must run and return the run's summary, as written to `run.json`.

        Raises ResultsError where the results cannot be written; what is done by then is kept.
        """
        self.run = self.store.new_run()
        try:
            return self._execute()
        except OSError as e:
            raise ResultsError(
                "the run's results cannot be written",
                where=e.filename or self.store.run_folder(self.run),
                got=e.strerror or str(e)[:200],
                fix="free some space or give write access, then run the same command again: "
                "finished steps are kept",
            ) from None

    def _execute(self) -> dict[str, Any]:
        started = time.time()
        folder = self.store.run_folder(self.run)
        state = "running"
        try:
            with self._signals():
                self._write(folder, state, started)
                leases.end_orphans(leases_folder(self.plan.root))
                self._take_over()
                with self._executor() as executor:
                    self._schedule(executor)
            state = self._state()
        finally:
            if state == "running":
                state = "interrupted"
                (folder / STOP_FILE).touch()
            self.display.close()
            summary = self._write(folder, state, started)
            (folder / STOP_FILE).unlink(missing_ok=True)
        return summary

    def _take_over(self) -> None:
        for task in self.tasks.values():
            if not task.run and task.done:
                try:
                    folder = self.store.take_over(task.done, self.run, task.step.name)
                except OSError:
                    task.run, task.why = (
                        task.selected,
                        ["its earlier result was removed a moment ago"],
                    )
                else:
                    self._finish({**(read_json(folder / "step.json") or {}), "cached": True}, task)
                    continue
            if not task.run:
                self._finish(
                    {"step": task.step.name, "state": "skipped", "seconds": 0.0, "last": task.last},
                    task,
                )

    def _finish(self, note: dict[str, Any], task: Task) -> None:
        self.notes[task.step.name] = {"cached": False, **note, "why": task.why}
        if note["state"] != "skipped":
            self.display.finished(self.notes[task.step.name])

    @contextlib.contextmanager
    def _executor(self) -> Iterator[concurrent.futures.Executor]:
        """Yield where steps run: threads that each watch a process, or a dask cluster's executor."""
        if not any(t.run for t in self.tasks.values()) or self.options.scheduler is None:
            with concurrent.futures.ThreadPoolExecutor(max(1, self.jobs)) as executor:
                yield executor
            return
        try:
            from distributed import Client
        except ImportError:
            raise UnsupportedError(
                "dask.distributed is not installed",
                expected="the extra `cluster`",
                fix="pip install 'facelab[cluster]', or leave out --scheduler",
            ) from None
        try:
            client = Client(self.options.scheduler, timeout="15s", set_as_default=False)
        except (OSError, ValueError, TimeoutError) as e:
            raise UnsupportedError(
                "the scheduler does not answer",
                where=self.options.scheduler,
                got=str(e)[:200],
                fix="start it: dask scheduler, and dask worker ADDRESS",
            ) from None
        with client:
            workers = client.scheduler_info(n_workers=-1)["workers"]
            if not workers:
                raise UnsupportedError(
                    "the cluster has no workers",
                    where=self.options.scheduler,
                    fix=f"start one: dask worker {self.options.scheduler}",
                )
            self.jobs = self.options.jobs or sum(w["nthreads"] for w in workers.values())
            self.display.say(
                f"dask cluster {self.options.scheduler}: {len(workers)} workers, {self.jobs} at once"
            )
            yield client.get_executor(pure=False, retries=0)

    def _schedule(self, executor: concurrent.futures.Executor) -> None:
        waiting = [t for t in self.tasks.values() if t.run]
        running: dict[concurrent.futures.Future, tuple[Task, float]] = {}
        while (waiting or running) and not self.stop.is_set():
            self._block(waiting)
            for task in self._ready(waiting, [t for t, _ in running.values()]):
                waiting.remove(task)
                self.display.start(task.step.name)
                running[executor.submit(run_step, self._job(task))] = (task, time.monotonic())
            self._collect(running, timeout=0.2)
        if self.stop.is_set():
            self._abandon(waiting, running)

    def _collect(self, running: dict, timeout: float) -> None:
        if not running:
            return
        ended, _ = concurrent.futures.wait(running, timeout, concurrent.futures.FIRST_COMPLETED)
        for future in ended:
            task, _ = running.pop(future)
            try:
                note = future.result()
            except (Exception, concurrent.futures.CancelledError) as e:
                # a notebook's failure never raises here: this is the executor's trouble, or the disk's
                note = {
                    "step": task.step.name,
                    "state": "failed",
                    "seconds": 0.0,
                    "failure": {
                        "kind": "runner",
                        "what": f"the step could not be run: {type(e).__name__}: {e}",
                        "step": task.step.name,
                        "cause": "the reports folder cannot be written, or a worker of the cluster "
                        "died or does not see this folder",
                        "where": task.step.notebook,
                        "repeat": self._repeat(task),
                    },
                }
            self._finish(note, task)
        self.display.tick(
            [(t.step.name, self._progress(t), time.monotonic() - at) for t, at in running.values()]
        )

    def _progress(self, task: Task) -> dict:
        return read_json(self.store.step_folder(self.run, task.step.name) / "progress.json") or {}

    def _block(self, waiting: list[Task]) -> None:
        for task in list(waiting):
            broken = [
                n
                for n in task.step.needs
                if self.notes.get(n, {}).get("state") in ("failed", "blocked", "skipped")
            ]
            if broken:
                waiting.remove(task)
                self._finish(
                    {
                        "step": task.step.name,
                        "state": "blocked",
                        "seconds": 0.0,
                        "failure": {
                            "kind": "blocked",
                            "what": f"it needs {', '.join(broken)}, which is not done",
                            "step": task.step.name,
                            "where": task.step.notebook,
                            "cause": "the failure above",
                            "repeat": self._repeat(task),
                        },
                    },
                    task,
                )

    def _ready(self, waiting: list[Task], running: list[Task]) -> list[Task]:
        """Return what may start now: parallel steps first, an exclusive one only when it is alone."""
        if any(t.step.lane == "exclusive" for t in running):
            return []
        ready = [
            t
            for t in waiting
            if all(self.notes.get(n, {}).get("state") == "done" for n in t.step.needs)
        ]
        parallel = [t for t in ready if t.step.lane == "parallel"]
        if parallel:
            return parallel[: max(0, self.jobs - len(running))]
        return ready[:1] if not running else []

    def _abandon(self, waiting: list[Task], running: dict) -> None:
        """End what runs, and note what did not come to run."""
        (self.store.run_folder(self.run) / STOP_FILE).touch()
        self.display.say("interrupted: ending the running steps …")
        until = time.monotonic() + 25
        while running and time.monotonic() < until:
            self._collect(running, timeout=0.2)
        left = [*waiting, *(task for task, _ in running.values())]
        for future in running:
            future.cancel()
        for task in left:
            self._finish({"step": task.step.name, "state": "interrupted", "seconds": 0.0}, task)

    def _job(self, task: Task) -> dict[str, Any]:
        step = task.step
        threads = step.threads or (
            1 if step.lane == "exclusive" else max(1, machine.cores() // max(1, self.jobs))
        )
        environment = {
            k: v
            for k, v in os.environ.items()
            if (k.startswith("FACELAB_") or k == "JUPYTER_PATH") and k != FAMILY
        }
        mirror = environment.get("FACELAB_MIRROR", "")
        if mirror and Path(mirror).is_dir():
            environment["FACELAB_MIRROR"] = str(Path(mirror).resolve())
        return {
            "step": step.name,
            "run": self.run,
            "key": task.key,
            "components": task.components,
            "root": str(self.plan.root),
            "reports": str(self.store.folder.resolve()),
            "notebook": str(self.plan.notebook(step)),
            "kernel": task.kernel,
            "parameters": task.parameters,
            "limit_s": step.limit_s,
            "output_mb": step.output_mb,
            "lane": step.lane,
            "threads": threads,
            "own_folders": [str(folder) for folder in own_folders(self.plan)],
            "environment": environment,
            "records": step.records,
            "figures": step.figures,
            "outputs": step.outputs,
            "note": task.note,
            "force": self.options.force,
            "upstream": {
                n: str(self.store.step_folder(self.run, n).resolve())
                for n in self.plan.upstream(step.name)
            },
            "repeat": self._repeat(task),
        }

    def _repeat(self, task: Task) -> str:
        """Return the command that repeats just this step with this run's settings."""
        words = [
            "facelab",
            "reproduce",
            "--only",
            task.step.name,
            "--profile",
            self.options.profile,
            *self.options.said,
        ]
        for text in self.options.texts:
            if text.startswith(f"{task.step.name}."):
                words += ["-p", text]
        return shlex.join(words)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Turn Ctrl-C and SIGTERM into a stop of the run; a second one ends this process at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_signal(number, frame):
            if self.stop.is_set():
                os._exit(130)
            self.stop.set()

        before = {
            number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # -- what is written ----------------------------------------------------------------------------------------

    def _state(self) -> str:
        notes = [
            self.notes.get(n, {"state": "interrupted"}) for n, t in self.tasks.items() if t.asked
        ]
        if self.stop.is_set() or any(n["state"] == "interrupted" for n in notes):
            return "interrupted"
        if any(n["state"] != "done" for n in notes):
            return "failed"
        return "missed" if any(n.get("missed") for n in notes) else "good"

    def _write(self, folder: Path, state: str, started: float) -> dict[str, Any]:
        """Write `run.json`, and once the run has ended its records and its report; return the summary."""
        ended = state != "running"
        steps = [
            self._step_summary(
                self.notes.get(n, {"step": n, "state": "pending", "seconds": 0.0}), t
            )
            for n, t in self.tasks.items()
        ]
        summary = {
            "schema": SCHEMA,
            "run": self.run,
            "state": state,
            "profile": self.options.profile,
            "exit_code": {"good": 0, "interrupted": 130}.get(state, 1) if ended else None,
            "started": started,
            "finished": time.time() if ended else None,
            "pid": os.getpid(),
            "pid_started": lifetime.process_start(os.getpid()),
            "seconds": round(time.time() - started, 2),
            "jobs": self.jobs,
            "scheduler": self.options.scheduler,
            "sweep": self.options.sweep[0] if self.options.sweep else None,
            "command": self._command(),
            "steps": steps,
            "kernels_started": sum(
                s["state"] in ("done", "failed", "interrupted")
                and not s["cached"]
                and s["seconds"] > 0
                for s in steps
            ),
            "machine": machine.facts(versions=("facelab", "numpy", "tensorflow", "onnxruntime")),
            "commit": _commit(self.plan.root),
            "report": str(self.store.folder / "index.html"),
        }
        summary["not_asked_for"] = wording.not_asked_for(steps)
        summary["verdict"] = wording.headline(summary)
        write_json(folder / "run.json", summary)
        if ended:
            self._report(folder, summary)
        return summary

    def _step_summary(self, note: dict, task: Task) -> dict[str, Any]:
        kept = {k: v for k, v in note.items() if k not in ("components", "schema")}
        return {
            "cached": False,
            "missed": [],
            "budgets": 0,
            "failure": None,
            "verdict": "",
            "why": task.why,
            "selected": task.selected,
            "asked": task.asked,
            **kept,
            "lane": task.step.lane,
            "needs": task.step.needs,
            "key": task.key,
            "kernel": task.kernel,
            "parameters": task.parameters,
            "defaults": task.defaults,
            "note": task.note,
            "notebook": task.step.notebook,
        }

    def _report(self, folder: Path, summary: dict[str, Any]) -> None:
        everything = []
        for step in summary["steps"]:
            with contextlib.suppress(
                Exception
            ):  # a failed step's damaged records are reported as its failure
                everything += read_records(folder / step["step"])
        earlier = self.store.ended(before=self.run)[:10]
        record_files.write(folder / "records.jsonl", everything)
        write_index(folder / "index.html", folder, summary, everything, links=".", earlier=earlier)
        record_files.write(self.store.folder / "records.jsonl", everything)
        write_index(
            self.store.folder / "index.html",
            folder,
            summary,
            everything,
            links=f"runs/{self.run}",
            earlier=earlier,
        )
        self.store.publish(self.run)

    def _command(self) -> str:
        words = ["facelab", "reproduce", "--profile", self.options.profile]
        for name in self.options.only:
            words += ["--only", name]
        words += ["--from", self.options.start] if self.options.start else []
        words += ["--force"] if self.options.force else []
        for text in self.options.texts:
            words += ["-p", text]
        return shlex.join([*words, *self.options.said])


def _promise(step: Step) -> Promise:
    return Promise(tuple(step.records), tuple(step.figures), tuple(step.outputs))


def _commit(root: Path) -> str | None:
    """Return the checkout's commit, with a `+` where files differ from it, or None outside git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
