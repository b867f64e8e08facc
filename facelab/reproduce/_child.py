"""The process that executes one notebook: papermill, with honest cell states, limits, and atomic output.

Called as `python -m facelab.reproduce._child JOB.json` by `facelab.reproduce._engine`, one process per step.
Writes `<step>.ipynb`, `<step>.html`, `progress.json` and, last, `outcome.json` into the step's folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook, remove_error_markers
from papermill.translators import PythonTranslator, papermill_translators
from traitlets.config import Config

from facelab.core import guard
from facelab.core.errors import BadInputError
from facelab.core.files import read_input, write_json
from facelab.core.records import MAX_FILE
from facelab.reproduce import _diagnosis as diagnosis
from facelab.reproduce import _failure as failures
from facelab.reproduce import _kernels as kernels
from facelab.reproduce import _pages as pages
from facelab.reproduce import _parameters as parameters
from facelab.reproduce._diagnosis import Scene
from facelab.reproduce._failure import Failure, heading_of, plain

PENDING, RUNNING, FAILED, NOT_RUN = "pending", "running", "failed", "not run"
START_S = 120
"""How long a kernel may take to answer; an import-heavy environment on a loaded machine needs some of it."""
GIVE_UP_S = 5.0
"""How long after the wall limit, at which it is interrupted, the kernel is killed, whatever the main thread does."""


class Interrupted(BaseException):
    """The runner asked this step to end (SIGTERM)."""


class Translator(PythonTranslator):
    """Write parameters as the literals they are: papermill's own turns tuples and paths into strings."""

    @classmethod
    def translate(cls, val: Any) -> str:
        return parameters.to_literal(val)


class Manager(NotebookExecutionManager):
    """Keep the notebook in memory, tell progress, and never call a cell completed that was not."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.current: int | None = None
        EXECUTION.manager = self

    def save(self, **kwargs: Any) -> None:
        self.last_save_time = self.now()

    def cell_start(self, cell: Any, cell_index: Any = None, **kwargs: Any) -> None:
        if self.current is None:
            # the kernel has answered: its start has its own limit and is not the notebook's fault
            EXECUTION.begin()
        self.current = cell_index
        EXECUTION.tell(cell_index)
        super().cell_start(cell, cell_index, **kwargs)

    def cell_complete(self, cell: Any, cell_index: Any = None, **kwargs: Any) -> None:
        if sys.exc_info()[0] is not None and cell.metadata.papermill["status"] == RUNNING:
            # papermill calls this from `finally`, whatever happened
            self.cell_exception(cell, cell_index)
        super().cell_complete(cell, cell_index, **kwargs)
        EXECUTION.attribute(str(cell.get("id", cell_index)))

    def cell_exception(
        self, cell: Any, cell_index: Any = None, exception: Any = None, **kwargs: Any
    ) -> None:
        EXECUTION.raised = exception
        super().cell_exception(cell, cell_index, **kwargs)

    def notebook_complete(self, **kwargs: Any) -> None:
        states = {id(cell): cell.metadata.papermill["status"] for cell in self.nb.cells}
        super().notebook_complete(**kwargs)
        for cell in self.nb.cells:
            before = states[id(cell)]
            cell.metadata.papermill["status"] = {PENDING: NOT_RUN, RUNNING: FAILED}.get(
                before, before
            )


class Client(PapermillNotebookClient):
    """Watch output size, tell progress, and on a timeout ask the kernel where it is before giving up."""

    def create_kernel_manager(self) -> Any:
        manager: Any = super().create_kernel_manager()
        manager.kernel_spec_manager = kernels.specs(Path(EXECUTION.job["root"]))
        return manager

    def start_new_kernel_client(self, **kwargs: Any) -> Any:
        EXECUTION.kernel_started(self.km)
        return super().start_new_kernel_client(**kwargs)

    def process_message(self, msg: Any, cell: Any, cell_index: Any) -> NotebookNode | None:
        if EXECUTION.over:
            return None  # the kernel is dead; what it sent before could take minutes to read
        EXECUTION.saw(msg)
        return super().process_message(msg, cell, cell_index)

    async def _async_handle_timeout(self, timeout: Any, cell: Any = None) -> Any:
        EXECUTION.timed_out = True
        with contextlib.suppress(Exception):
            manager: Any = self.km  # whose calls are awaitable; its stubs say they are not
            await manager.interrupt_kernel()
        for _ in range(30):
            await asyncio.sleep(0.1)
            if cell is not None and any(o["output_type"] == "error" for o in cell.outputs):
                break
        raise CellTimeoutError(f"no answer within {timeout:.0f} s")


class Engine(NBClientEngine):
    """papermill's engine with our manager and client, and a wall limit for the whole notebook."""

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: Any,
        output_path: Any = None,
        progress_bar: Any = False,
        log_output: Any = False,
        autosave_cell_every: Any = 0,
        **kwargs: Any,
    ) -> Any:
        manager = Manager(
            nb, output_path=None, progress_bar=False, log_output=False, autosave_cell_every=0
        )
        for cell in nb.cells:
            if "injected-parameters" in cell.metadata.get("tags", []):
                cell["id"] = "injected-parameters"
        manager.notebook_start()
        try:
            cls.execute_managed_notebook(manager, kernel_name, **kwargs)
        finally:
            manager.notebook_complete()
        return manager.nb

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: Any, *, job: dict[str, Any], **kwargs: Any
    ) -> NotebookNode:
        runtime = Path(os.environ["JUPYTER_RUNTIME_DIR"])
        # by itself jupyter_client puts the file into the temporary folder, where it stays after a kill
        connection = str(runtime / "kernel.json")
        manager = {"transport": kernels.transport(runtime), "connection_file": connection}
        if manager["transport"] == "ipc":
            # by itself jupyter_client names sockets `kernel-ipc-1` … in the working folder, the same for every kernel
            manager["ip"] = str(runtime / "s")
        config = Config(KernelManager=manager)
        client = Client(
            nb_man,
            config=config,
            kernel_name=kernel_name,
            startup_timeout=START_S,
            timeout_func=lambda cell: max(0.05, EXECUTION.deadline - time.monotonic()),
            log=logging.getLogger("facelab.reproduce"),
            iopub_timeout=30,
        )
        return client.execute(cwd=job["root"])


class Execution:
    """What is known about the one notebook that this process executes."""

    def __init__(self) -> None:
        self.job: dict = {}
        self.folder = Path()
        self.manager: Manager | None = None
        self.kernel_pid: int | None = None
        self.kernel_process: Any = None
        self.deadline = float("inf")
        self.timed_out = False
        self.raised: Exception | None = None
        self.output_bytes = 0
        self.too_large = self.given_up = False
        self.last_line = ""
        self._told = 0.0
        self.wrote: dict[str, Any] = {"records": [], "figures": {}}

    def scene(self) -> Scene:
        """Return what the diagnosis of a failure needs."""
        cells, index = (self.manager.nb.cells, self.manager.current) if self.manager else ([], None)
        return Scene(self.job, self.folder, cells, index, self.raised)

    @property
    def over(self) -> bool:
        """Return whether the kernel was killed for what it did, so that nothing it sent is read any more."""
        return self.too_large or self.given_up

    def begin(self) -> None:
        """Start the notebook's own time. A thread watches it: the main one may be busy with a flood of output."""
        limit_s = self.job["limit_s"]
        self.deadline = time.monotonic() + limit_s
        watch = threading.Timer(limit_s + GIVE_UP_S, self.give_up)
        watch.daemon = True
        watch.start()

    def give_up(self) -> None:
        """Kill a kernel that goes on after its time."""
        if self.kernel_process.poll() is None:
            self.timed_out = self.given_up = True
            self.kill_kernel()

    def kernel_started(self, manager: Any) -> None:
        self.kernel_pid = manager.provisioner.pid
        self.kernel_process = manager.provisioner.process
        self.tell(None)

    def kill_kernel(self) -> None:
        """Kill the kernel and what it started, but for resource trackers: the guard of this process ends those last.

        What a kernel leaves that has ended before, the guard ends as well.
        """
        if self.kernel_process is None or self.kernel_process.poll() is not None:
            return
        below = guard.descendants(self.kernel_process.pid)
        for process in (self.kernel_process.pid, *below):
            if not guard.tidies_up(process):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, signal.SIGKILL)

    def kernel_code(self) -> int | None:
        """Return the dead kernel's exit code (negative: a signal), waiting for it briefly."""
        for _ in range(20):
            if self.kernel_process is None or self.kernel_process.poll() is not None:
                break
            time.sleep(0.1)
        return None if self.kernel_process is None else self.kernel_process.returncode

    def saw(self, msg: dict) -> None:
        """Count an output, remember its last line, and kill the kernel when the notebook has become too large."""
        content = msg["content"]
        if msg["msg_type"] == "stream":
            size = len(content["text"])
            lines = [
                line
                for line in plain(content["text"][-2_000:]).replace("\r", "\n").split("\n")
                if line.strip()
            ]
            if lines:
                self.last_line = lines[-1].strip()[:200]
        elif msg["msg_type"] == "error":
            size = sum(len(str(content.get(k, ""))) for k in ("ename", "evalue", "traceback"))
        elif msg["msg_type"] in ("display_data", "execute_result", "update_display_data"):
            size = sum(
                len(v if isinstance(v, str) else json.dumps(v)) for v in content["data"].values()
            )
        else:
            return
        self.output_bytes += size
        if self.output_bytes > self.job["output_mb"] * 1e6 and not self.too_large:
            self.too_large = True
            self.kill_kernel()
            # one message may hold a gigabyte; the report shows its beginning
            if msg["msg_type"] == "stream":
                content["text"] = content["text"][: pages.KEPT_TEXT + 1]
        if time.monotonic() - self._told > 0.3:
            self.tell(self.manager.current if self.manager else None)

    def attribute(self, cell: str) -> None:
        """Note which cell wrote the records and figures that are new, so that the report can link to it."""
        with contextlib.suppress(OSError, BadInputError):
            found = read_input(self.folder / "records.jsonl", max_bytes=MAX_FILE)
            lines = found.count(b"\n")
            self.wrote["records"] = self.wrote["records"][:lines]
            self.wrote["records"] += [cell] * (lines - len(self.wrote["records"]))
        for figure in filter(Path.is_file, (self.folder / "figures").glob("*.png")):
            self.wrote["figures"].setdefault(figure.stem, cell)

    def tell(self, index: int | None) -> None:
        """Write `progress.json` for anyone who watches, on this machine or another."""
        self._told = time.monotonic()
        cells = self.manager.nb.cells if self.manager else []
        heading = heading_of(cells, index) if index is not None else ""
        write_json(
            self.folder / "progress.json",
            {
                "kernel_pid": self.kernel_pid,
                "cell": 0 if index is None else index + 1,
                "cells": len(cells),
                "heading": heading,
                "id": cells[index].get("id", "") if index is not None else "",
                "last_line": self.last_line,
            },
        )


EXECUTION = Execution()


def execute(job: dict) -> Failure | None:
    """Execute the job's notebook and return what went wrong, or None. The notebook is written either way."""
    EXECUTION.job, EXECUTION.folder = job, Path(job["folder"])
    papermill_engines.register("facelab", Engine)
    papermill_translators.register("python", Translator)
    notebook = nbformat.read(job["notebook"], as_version=4)
    values = {name: parameters.of_literal(text) for name, text in job["parameters"].items()}
    failure = None
    try:
        execute_notebook(
            pages.with_papermill_metadata(notebook),
            None,
            parameters=values,
            engine_name="facelab",
            kernel_name=job["kernel"],
            language="python",
            progress_bar=False,
            job=job,
        )
    except Interrupted:
        failure = diagnosis.interrupted(EXECUTION.scene())
    except (
        PapermillExecutionError,
        CellTimeoutError,
        DeadKernelError,
        NoSuchKernel,
        RuntimeError,
        OSError,
    ) as e:
        failure = None if EXECUTION.too_large else _explain(e)
    finally:
        EXECUTION.kill_kernel()
    if EXECUTION.too_large:
        failure = diagnosis.too_large(EXECUTION.scene())
    write_json(EXECUTION.folder / "cells.json", EXECUTION.wrote)
    pages.write(
        EXECUTION.manager.nb if EXECUTION.manager else notebook,
        EXECUTION.folder,
        job["step"],
        cut=EXECUTION.too_large,
    )
    return failure


def _explain(e: Exception) -> Failure:
    if isinstance(e, PapermillExecutionError):
        # papermill has put two cells into the notebook, which shift the others
        if EXECUTION.manager is not None:
            remove_error_markers(EXECUTION.manager.nb)
        return diagnosis.raised(EXECUTION.scene(), e)
    scene = EXECUTION.scene()
    if EXECUTION.timed_out or isinstance(e, CellTimeoutError):
        return diagnosis.timed_out(scene)
    if scene.index is None:
        return diagnosis.no_kernel(scene, e)
    code = EXECUTION.kernel_code()
    if code is None and not isinstance(e, DeadKernelError):
        raise e  # the kernel lives: the trouble is ours, and the log shall have its traceback
    return diagnosis.died(scene, code)


def _on_terminate(number: Any, frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Interrupted


def main() -> None:
    """Execute the job named on the command line and write its outcome."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _on_terminate)
    try:
        failure = execute(job)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        told = {"failure": failure.as_dict() if failure else None}
        write_json(Path(job["folder"]) / "outcome.json", told)
        sys.stdout.flush()
    except OSError as e:
        if e.errno not in failures.NOT_WRITABLE:
            raise
        os._exit(failures.NOT_WRITABLE[e.errno])  # to write down why is what cannot be done
    # asyncio may still hold half-cancelled tasks of an interrupted kernel; there is nothing left to tidy up
    os._exit(0)


if __name__ == "__main__":
    main()
