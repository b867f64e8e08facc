"""Its own nice process that verifies and tests bundles, so that the process that serves only opens them."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

from facelab.core import errors, scheduling
from facelab.core.errors import CheckFailedError, FacelabError
from facelab.core.isolated import module_command
from facelab.core.lifetime import end_at_once_with
from facelab.deploy.policy import Policy
from facelab.serving.releases._trust import Trust

LIMIT_S = 300.0
PATIENCE_S = 2.0
"""Seconds that a test stays on the caller's core; one that another process keeps busy is not a place to wait on."""


class Tester:
    """Verifies bundles in a process that starts with the first one, at nice 19 and with SCHED_IDLE.

    A request that wakes takes the core from such a process at once; from one that is only nice it may have to wait for
    the end of a time slice of 3 ms, and P99 of the requests shows it. But it may lose that core again at the next tick
    of the clock, for 4 ms: the scheduler takes a core with such a process for an idle one, and owes it some time. So
    the process stays on the core of the thread that asks, which waits for it and then works there itself. Requests
    settle on the others.
    With `adapted` it also makes the task's classifier, embedder or detector of each, as the slot will.

    Hashing, parsing and golden outputs are Python for the most part: beside the requests they would hold the
    interpreter's lock. And a model that crashes its runtime ends this process only.
    """

    def __init__(self, *, adapted: bool = False) -> None:
        self._adapted = adapted
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def admit(self, store: Path, trust: Trust, policy: Policy, bundle: str) -> str:
        """Copy a bundle into a store, verify and test it, and return its hash. Raises what the test raised."""
        return self._ask("admit", store, trust, policy, bundle)

    def check(self, store: Path, trust: Trust, policy: Policy, release: str) -> str:
        """Test a release that a store holds already, and return its hash."""
        return self._ask("check", store, trust, policy, release)

    def _ask(self, what: str, store: Path, trust: Trust, policy: Policy, name: str) -> str:
        question = {
            "what": what,
            "store": str(store.absolute()),
            "keys": list(map(str, trust.keys)),
            "unsigned": trust.unsigned,
            "adapted": self._adapted,
            "policy": policy.model_dump(by_alias=True),
            "name": str(Path(name).absolute()) if what == "admit" else name,
        }
        with self._lock:
            answer = self._exchanged(json.dumps(question))
        if "error" in answer:
            raise _rebuilt(answer)
        return answer["hash"]

    def _exchanged(self, line: str) -> dict[str, Any]:
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        core = scheduling.current_core()
        near = core is not None and scheduling.confine(process.pid, {core})
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(line + "\n")
            process.stdin.flush()
        if near and not _ready(process.stdout, PATIENCE_S):
            scheduling.confine(process.pid, None)
        text = process.stdout.readline() if _ready(process.stdout, LIMIT_S) else ""
        if text:
            return json.loads(text)
        code = self._end()
        raise CheckFailedError(
            "the bundle ended the process that tested it, or took too long",
            expected=f"an answer within {LIMIT_S:g} s",
            got=signal.Signals(-code).name if code and code < 0 else f"exit code {code}",
            fix="do not deploy it: its model crashes the runtime or never ends",
        )

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(
                module_command("facelab.serving.releases._tester", os.getpid()),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"},
            )
        return self._process

    def _end(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return process.returncode

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()


def _ready(pipe: IO[str], seconds: float) -> bool:
    """Wait for an answer or the end of the process; return whether one of both came."""
    with selectors.DefaultSelector() as ready:
        ready.register(pipe, selectors.EVENT_READ)
        return bool(ready.select(seconds))


def _rebuilt(answer: dict[str, Any]) -> FacelabError:
    kind = getattr(errors, answer["error"], CheckFailedError)
    fields = {k: answer[k] for k in ("where", "expected", "got", "fix")}
    return kind(answer["what"], **fields)


def main(parent: int) -> None:
    """Answer questions on standard input until it ends; dies with its parent, also with one that is gone already."""
    # before the imports below: at this process's priority they take seconds before standard input is seen to end
    end_at_once_with(parent)
    os.nice(19)
    _load_libraries()
    _step_back()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then ends us
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a runtime prints is not an answer
    for line in sys.stdin:
        out.write(json.dumps(_answer(json.loads(line))) + "\n")
        out.flush()


def _step_back() -> None:
    """Take only what others leave."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _load_libraries() -> None:
    """Import what a test needs, before this process takes only what others leave: a second of work, once."""
    import onnxruntime  # noqa: F401

    from facelab.serving.releases import _adapters, _release, _store  # noqa: F401


def _answer(q: dict[str, Any]) -> dict[str, Any]:
    from facelab.serving.releases._adapters import task_adapter
    from facelab.serving.releases._release import load
    from facelab.serving.releases._store import ReleaseStore

    try:
        store = ReleaseStore(q["store"], trust=Trust(q["keys"], unsigned=q["unsigned"]))
        admitted = q["what"] == "admit"
        name = store.admit(q["name"]).manifest.hash if admitted else q["name"]
        adapter = task_adapter if q["adapted"] else None
        options: dict[str, Any] = {"threads": 1, "adapter": adapter, "signer": ""}
        policy = Policy.model_validate(q["policy"])
        manifest = store.manifest(name, checked=admitted)
        load(store.home(name), manifest, policy=policy, **options).close()
    except FacelabError as e:
        return e.as_dict()
    except OSError as e:  # a full disk says nothing about the bundle
        return errors.from_os(e).as_dict()
    except Exception as e:
        got = f"{type(e).__name__}: {e}"[:300]
        fix = "look at the bundle; it cannot be deployed"
        return CheckFailedError("the bundle cannot be tested", got=got, fix=fix).as_dict()
    return {"hash": name}


if __name__ == "__main__":
    main(int(sys.argv[1]))
