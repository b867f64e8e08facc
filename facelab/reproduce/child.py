"""The process that executes one notebook: papermill, with honest cell states, limits, and atomic output.

Called as `python -m facelab.reproduce.child JOB.json` by `facelab.reproduce.engine`, one process a step.
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
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook, remove_error_markers
from papermill.translators import PythonTranslator, papermill_translators
from traitlets.config import Config

from facelab.core.files import atomic_path, write_json, write_text
from facelab.reproduce import kernels, parameters
from facelab.reproduce.failure import (
    Failure,
    cause_of_death,
    cause_of_exception,
    end_of,
    heading_of,
    line_in_cell,
    plain,
    source_around,
)

PENDING, RUNNING, COMPLETED, FAILED, NOT_RUN = "pending", "running", "completed", "failed", "not run"
START_S = 120
"""How long a kernel may take to answer; an import-heavy environment on a loaded machine needs some of it."""
KEPT_OUTPUT = 100_000
"""Characters of an oversized output that are kept, so that a person sees what it was."""


class Interrupted(BaseException):
    """The runner asked this step to end (SIGTERM)."""


class Translator(PythonTranslator):
    """Write parameters as the literals they are: papermill's own turns tuples and paths into strings."""

    @classmethod
    def translate(cls, val: Any) -> str:
        return parameters.to_literal(val)


class Manager(NotebookExecutionManager):
    """Keep the notebook in memory, tell progress, and never call a cell completed that was not."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.current: int | None = None
        EXECUTION.manager = self

    def save(self, **kwargs):
        self.last_save_time = self.now()

    def cell_start(self, cell, cell_index=None, **kwargs):
        if self.current is None:
            # the kernel has answered: its start has a limit of its own and is not the notebook's fault
            EXECUTION.deadline = time.monotonic() + EXECUTION.job["limit_s"]
        self.current = cell_index
        EXECUTION.tell(cell_index)
        super().cell_start(cell, cell_index, **kwargs)

    def cell_complete(self, cell, cell_index=None, **kwargs):
        if sys.exc_info()[0] is not None and cell.metadata.papermill["status"] == RUNNING:
            # papermill calls this from `finally`, whatever happened
            self.cell_exception(cell, cell_index)
        super().cell_complete(cell, cell_index, **kwargs)
        EXECUTION.attribute(str(cell.get("id", cell_index)))

    def cell_exception(self, cell, cell_index=None, exception=None, **kwargs):
        EXECUTION.raised = exception
        super().cell_exception(cell, cell_index, **kwargs)

    def notebook_complete(self, **kwargs):
        states = {id(cell): cell.metadata.papermill["status"] for cell in self.nb.cells}
        super().notebook_complete(**kwargs)
        for cell in self.nb.cells:
            before = states[id(cell)]
            cell.metadata.papermill["status"] = {PENDING: NOT_RUN, RUNNING: FAILED}.get(before, before)


class Client(PapermillNotebookClient):
    """Watch output size, tell progress, and on a timeout ask the kernel where it is before giving up."""

    def start_new_kernel_client(self, **kwargs):
        EXECUTION.kernel_started(self.km)
        return super().start_new_kernel_client(**kwargs)

    def process_message(self, msg, cell, cell_index):
        output = super().process_message(msg, cell, cell_index)
        EXECUTION.saw(msg, cell)
        return output

    async def _async_handle_timeout(self, timeout, cell=None):
        EXECUTION.timed_out = True
        with contextlib.suppress(Exception):
            await self.km.interrupt_kernel()
        for _ in range(30):
            await asyncio.sleep(0.1)
            if cell is not None and any(o["output_type"] == "error" for o in cell.outputs):
                break
        raise CellTimeoutError(f"no answer within {timeout:.0f} s")


class Engine(NBClientEngine):
    """papermill's engine with our manager and client, and a wall limit for the whole notebook."""

    @classmethod
    def execute_notebook(cls, nb, kernel_name, output_path=None, progress_bar=False, log_output=False,
                         autosave_cell_every=0, **kwargs):
        manager = Manager(nb, output_path=None, progress_bar=False, log_output=False, autosave_cell_every=0)
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
    def execute_managed_notebook(cls, nb_man, kernel_name, *, job, **kwargs):
        runtime = Path(os.environ["JUPYTER_RUNTIME_DIR"])
        manager = {"transport": kernels.transport(runtime)}
        if manager["transport"] == "ipc":
            # by itself jupyter_client names sockets `kernel-ipc-1` … in the working folder, the same for every kernel
            manager["ip"] = str(runtime / "s")
        config = Config(KernelManager=manager)
        client = Client(nb_man, config=config, kernel_name=kernel_name, startup_timeout=START_S,
                        timeout_func=lambda cell: max(0.05, EXECUTION.deadline - time.monotonic()),
                        log=logging.getLogger("facelab.reproduce"), iopub_timeout=30)
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
        self.too_large = False
        self.last_line = ""
        self._told = 0.0
        self.wrote: dict[str, Any] = {"records": [], "figures": {}}

    def kernel_started(self, manager) -> None:
        self.kernel_pid = manager.provisioner.pid
        self.kernel_process = manager.provisioner.process
        self.tell(None)

    def kill_kernel(self) -> None:
        """Kill the kernel and whatever it started; it leads its own process group."""
        if self.kernel_pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.kernel_pid, signal.SIGKILL)

    def kernel_code(self) -> int | None:
        """Return the dead kernel's exit code (negative: a signal), waiting for it briefly."""
        for _ in range(20):
            if self.kernel_process is None or self.kernel_process.poll() is not None:
                break
            time.sleep(0.1)
        return None if self.kernel_process is None else self.kernel_process.returncode

    def saw(self, msg: dict, cell) -> None:
        """Count an output, remember its last line, and kill the kernel when the notebook has become too large."""
        content = msg["content"]
        if msg["msg_type"] == "stream":
            size = len(content["text"])
            lines = [line for line in plain(content["text"]).replace("\r", "\n").split("\n") if line.strip()]
            if lines:
                self.last_line = lines[-1].strip()[:200]
        elif msg["msg_type"] in ("display_data", "execute_result", "update_display_data"):
            size = sum(len(v if isinstance(v, str) else json.dumps(v)) for v in content["data"].values())
        else:
            return
        self.output_bytes += size
        if self.output_bytes > self.job["output_mb"] * 1e6 and not self.too_large:
            self.too_large = True
            self.kill_kernel()
        if time.monotonic() - self._told > 0.3:
            self.tell(self.manager.current if self.manager else None)

    def attribute(self, cell: str) -> None:
        """Note which cell wrote the records and figures that are new, so that the report can link to it."""
        with contextlib.suppress(OSError):
            lines = (self.folder / "records.jsonl").read_bytes().count(b"\n")
            self.wrote["records"] = self.wrote["records"][:lines]
            self.wrote["records"] += [cell] * (lines - len(self.wrote["records"]))
        for figure in (self.folder / "figures").glob("*.png"):
            self.wrote["figures"].setdefault(figure.stem, cell)

    def tell(self, index: int | None) -> None:
        """Write `progress.json` for whoever watches, on this machine or another."""
        self._told = time.monotonic()
        cells = self.manager.nb.cells if self.manager else []
        heading = heading_of(cells, index) if index is not None else ""
        write_json(self.folder / "progress.json",
                   {"kernel_pid": self.kernel_pid, "cell": 0 if index is None else index + 1, "cells": len(cells),
                    "heading": heading, "id": cells[index].get("id", "") if index is not None else "",
                    "last_line": self.last_line})


EXECUTION = Execution()


def execute(job: dict) -> Failure | None:
    """Execute the job's notebook and return what went wrong, or None. The notebook is written either way."""
    EXECUTION.job, EXECUTION.folder = job, Path(job["folder"])
    papermill_engines.register("facelab", Engine)
    papermill_translators.register("python", Translator)
    notebook = nbformat.read(job["notebook"], as_version=4)
    values = {name: parameters.of_literal(text) for name, text in job["parameters"].items()}
    try:
        execute_notebook(_with_papermill_metadata(notebook), None, parameters=values, engine_name="facelab",
                         kernel_name=job["kernel"], language="python", progress_bar=False, job=job)
        failure = None
    except Interrupted:
        failure = _failure("interrupted", "the step was interrupted", cause="Ctrl-C, or a signal to end")
    except PapermillExecutionError as e:
        # papermill has put two cells of its own into the notebook, which shift the others
        remove_error_markers(EXECUTION.manager.nb)
        failure = _too_large() if EXECUTION.too_large else _raised(e)
    except CellTimeoutError:
        failure = _timed_out(job)
    except (DeadKernelError, RuntimeError) as e:
        failure = _died(e)
    except (NoSuchKernel, OSError) as e:
        failure = _failure("no-kernel", f"the kernel {job['kernel']!r} could not be started: {e}",
                           cause="it is not registered, or its Python is gone; run `make setup`, then `facelab doctor`")
    finally:
        EXECUTION.kill_kernel()
    if EXECUTION.too_large and failure is None:
        failure = _too_large()
    write_json(EXECUTION.folder / "cells.json", EXECUTION.wrote)
    final = EXECUTION.manager.nb if EXECUTION.manager else notebook
    _write_notebook(final, job)
    return failure


def _with_papermill_metadata(notebook):
    """Return the notebook as papermill's own loader would: it looks for these keys."""
    from papermill import __version__
    upgraded = nbformat.v4.upgrade(notebook)
    upgraded.metadata.setdefault("papermill", nbformat.NotebookNode(
        default_parameters={}, parameters={}, environment_variables={}, version=__version__))
    for cell in upgraded.cells:
        cell.metadata.setdefault("tags", [])
        cell.metadata.setdefault("papermill", nbformat.NotebookNode())
    return upgraded


def _failure(kind: str, what: str, *, traceback: list[str] | None = None, line: int | None = None,
             cause: str = "", index: int | None = None) -> Failure:
    manager = EXECUTION.manager
    cells = manager.nb.cells if manager else []
    index = index if index is not None else (manager.current if manager else None)
    failure = Failure(kind, what, traceback=end_of(traceback or []), line=line, cause=cause)
    if index is not None and index < len(cells):
        cell = cells[index]
        failure.heading, failure.cell = heading_of(cells, index), str(cell.get("id", index + 1))
        failure.source = source_around(cell.source, line)
    return failure


def _error_output(index: int | None) -> list[str]:
    if index is None or EXECUTION.manager is None:
        return []
    for output in EXECUTION.manager.nb.cells[index].get("outputs", []):
        if output["output_type"] == "error":
            return list(output["traceback"])
    return []


def _raised(e: PapermillExecutionError) -> Failure:
    index = EXECUTION.manager.current if EXECUTION.manager else None
    cell = EXECUTION.manager.nb.cells[index] if EXECUTION.manager and index is not None else None
    name, value, traceback = e.ename, e.evalue, list(e.traceback)
    if name == "CellExecutionError" and hasattr(EXECUTION.raised, "ename"):
        # no error output: a pretty-printer such as rich.traceback showed it as text; the kernel's reply still names it
        name, value = EXECUTION.raised.ename, EXECUTION.raised.evalue
    if not plain("".join(traceback)).strip() and cell is not None:
        traceback = [text for o in cell.outputs if (text := _text_of(o))]
    line = line_in_cell(traceback, cell.execution_count if cell is not None else None)
    message = (plain(value).strip().split("\n") or [""])[0][:300]
    what = f"a cell raised {name}" + (f": {message}" if message else "")
    return _failure("raised", what, traceback=traceback, line=line, cause=cause_of_exception(name, message))


def _text_of(output) -> str:
    if output["output_type"] == "stream":
        return "".join(output["text"])
    return "".join(output.get("data", {}).get("text/plain", ""))


def _timed_out(job: dict) -> Failure:
    index = EXECUTION.manager.current if EXECUTION.manager else None
    traceback = _error_output(index)
    cell = EXECUTION.manager.nb.cells[index] if EXECUTION.manager and index is not None else None
    line = line_in_cell(traceback, cell.execution_count if cell is not None else None)
    if line is None:
        line = line_in_cell(traceback, None)
    return _failure("timeout", f"the step ran into its wall limit of {job['limit_s']:g} s", traceback=traceback,
                    line=line, cause="the cell below is slow or waits for something that does not come; a slower "
                                     "machine needs a larger `limit_s` in notebooks/plan.toml, or --profile quick")


def _too_large() -> Failure:
    limit = EXECUTION.job["output_mb"]
    return _failure("output-too-large", f"the notebook's output grew beyond {limit:g} MB and the kernel was stopped",
                    cause="a cell prints in a loop or shows an array whole; print less, or raise `output_mb` "
                          "in notebooks/plan.toml")


def _died(e: Exception) -> Failure:
    if EXECUTION.too_large:
        return _too_large()
    if EXECUTION.timed_out:
        return _timed_out(EXECUTION.job)
    if EXECUTION.kernel_pid is None or (EXECUTION.manager and EXECUTION.manager.current is None):
        return _failure("no-kernel", f"the kernel {EXECUTION.job['kernel']!r} did not start: {e}",
                        cause="its environment is broken or the machine is overloaded; see the step's log.txt and "
                              "run `facelab doctor`")
    kind, what, cause = cause_of_death(EXECUTION.kernel_code())
    return _failure(kind, what, traceback=_log_end(), cause=cause)


def _log_end() -> list[str]:
    try:
        lines = (EXECUTION.folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return end_of([line for line in lines if line != "Kernel died while waiting for execute reply."], lines=8)


def _write_notebook(notebook, job: dict) -> None:
    """Write the executed notebook and its HTML atomically; oversized outputs are cut, and say so."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if EXECUTION.too_large and output["output_type"] == "stream" and len(output["text"]) > KEPT_OUTPUT:
                output["text"] = output["text"][:KEPT_OUTPUT] + "\n… cut here: the output was too large\n"
    if EXECUTION.too_large:
        for cell in notebook.cells:
            cell.outputs = [o for o in cell.get("outputs", []) if len(json.dumps(o)) < 1_000_000] if (
                cell.cell_type == "code") else cell.get("outputs", [])
            if cell.cell_type != "code":
                cell.pop("outputs", None)
    stem = Path(job["folder"]) / job["step"]
    with atomic_path(f"{stem}.ipynb") as tmp:
        tmp.write_text(nbformat.writes(notebook), encoding="utf-8")
    write_text(f"{stem}.html", to_html(notebook, title=job["step"]))


def to_html(notebook, *, title: str) -> str:
    """Return an executed notebook as one HTML page that needs no network; each cell's id is an anchor."""
    from nbconvert import HTMLExporter
    exporter = HTMLExporter(embed_images=True, mathjax_url="", require_js_url="", mermaid_js_url="")
    body, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}})
    back = ('<style>body { max-width: 66rem; margin: 0 auto; } .jp-OutputArea-output img { max-width: 100%; }</style>'
            '<p style="padding: .6rem 1rem 0; font: 14px system-ui, sans-serif">'
            '<a href="../index.html">← report of this run</a></p>')
    head, start, rest = body.replace('id="cell-id=', 'id="').partition("<main")
    return head + back + start + rest


def _end_with_parent() -> None:
    """End this process and its kernel when the runner is gone, even if it was killed."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        EXECUTION.kill_kernel()
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()


def _on_terminate(number, frame) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Interrupted


def main() -> None:
    """Execute the job named on the command line and write its outcome."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _on_terminate)
    failure = execute(job)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    write_json(Path(job["folder"]) / "outcome.json", {"failure": failure.as_dict() if failure else None})
    sys.stdout.flush()
    # asyncio may still hold half-cancelled tasks of an interrupted kernel; there is nothing left to tidy up
    os._exit(0)


if __name__ == "__main__":
    main()
