"""Run `facelab …` lines as a user would, without importing everything again for each: in forks of one warm process."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SERVER = Path(__file__).with_name("command_server.py")
START_S = 240


class WarmCommands:
    """The owner of a `command_server`; `run` is `subprocess.run` for the words after `facelab`."""

    def __init__(self, environment: dict[str, str]):
        asked, self._questions = os.pipe()
        self._answers, answer = os.pipe()
        self._held = b""
        # one thread: a fork has the thread that forked, and none of a library's pool
        threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER), str(asked), str(answer)],
            env={**environment, **threads},
            stdin=subprocess.DEVNULL,
            pass_fds=(asked, answer),
            start_new_session=True,
        )
        os.close(asked)
        os.close(answer)
        self._read(START_S)

    def _read(self, seconds: float) -> str:
        """Return the server's next line. Raises TimeoutError, or EOFError where the server is gone."""
        until = time.monotonic() + seconds
        while b"\n" not in self._held:
            left = max(0.0, until - time.monotonic())
            if not select.select([self._answers], [], [], left)[0]:
                raise TimeoutError
            part = os.read(self._answers, 4096)
            if not part:
                raise EOFError(f"the warm process ended: {self._process.wait(10)}")
            self._held += part
        line, _, self._held = self._held.partition(b"\n")
        return line.decode()

    def run(self, words, *, cwd, env, timeout: float) -> subprocess.CompletedProcess:
        """Run one command in a fork. Raises TimeoutError after `timeout` seconds; the command is ended then."""
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "stdout"), Path(folder, "stderr")
            line = {"words": list(words), "cwd": str(cwd), "env": dict(env)}
            line |= {"stdout": str(out), "stderr": str(err)}
            os.write(self._questions, json.dumps(line).encode() + b"\n")
            child = int(self._read(START_S))
            try:
                code = int(self._read(timeout))
            except TimeoutError:
                os.killpg(child, signal.SIGKILL)
                self._read(START_S)
                raise
            return subprocess.CompletedProcess(list(words), code, out.read_text(), err.read_text())

    def close(self) -> None:
        """End the server; its forks have ended."""
        os.close(self._questions)
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._answers)
