"""A client of a metadata store that records each call before it is made; as a program, one line of JSON at a time."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from facelab.core.errors import FacelabError
from facelab.index import open_metadata
from facelab.index.internals import Operation, Outcome, Swap

if TYPE_CHECKING:
    from facelab.index.internals import Metadata

LOST = 0.05
"""Share of answers that are lost on purpose where repetitions are planted."""


class Recorder:
    """Calls and answers of several clients; a call without an answer is unknown."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[str, int], dict[str, Any]] = {}
        self._done: list[Operation] = []
        self.answers = self.not_sent = 0

    def call(self, client: str, n: int, **facts: Any) -> None:
        """Note a call before it is made."""
        with self._lock:
            self._open[client, n] = {"client": client, "call": time.monotonic(), **facts}

    def answer(self, client: str, n: int, outcome: str, value: str | None = None) -> None:
        """Note an answer: "done", "refused", "unknown", "not sent", or for a read its value."""
        ret = time.monotonic()
        with self._lock:
            self._close(self._open.pop((client, n)), ret, outcome, value)

    def _close(
        self, facts: dict[str, Any], ret: float | None, outcome: str, value: str | None
    ) -> None:
        if outcome == "not sent":
            self.not_sent += 1
            return
        if outcome == "unknown":
            ret = None
        else:
            self.answers += 1
        if facts["kind"] == "read":
            if ret is not None:
                self._done.append(Operation(**facts, ret=ret, value=value))
            return
        done = {"done": True, "refused": False, "unknown": None}[outcome]
        self._done.append(Operation(**facts, ret=ret, done=done))

    def take(self, lines: Iterable[str]) -> None:
        """Take what a client program printed."""
        pending: dict[str, Any] | None = None
        for line in lines:
            said = json.loads(line)
            if "ret" in said:
                assert pending is not None
                self._close(pending, said["ret"], said["outcome"], said.get("value"))
                pending = None
            elif "kind" in said:
                pending = said
        if pending is not None:  # killed between call and answer
            self._close(pending, None, "unknown", None)

    def operations(self) -> list[Operation]:
        """Return the history so far; open calls are unknown."""
        with self._lock:
            for facts in self._open.values():
                self._close(facts, None, "unknown", None)
            self._open.clear()
            return list(self._done)


class Printer:
    """The same for a program: a line before each call and a line after it, written at once."""

    def call(self, client: str, n: int, **facts: Any) -> None:
        """Print a call before it is made."""
        self._print({"client": client, "call": time.monotonic(), **facts})

    def answer(self, client: str, n: int, outcome: str, value: str | None = None) -> None:
        """Print an answer."""
        self._print({"ret": time.monotonic(), "outcome": outcome, "value": value})

    def _print(self, value: dict[str, Any]) -> None:
        os.write(1, (json.dumps(value) + "\n").encode())


class Client:
    """Reads and swaps keys at random, always from what it saw last; `planted` makes it wrong in one way."""

    def __init__(
        self,
        name: str,
        meta: Metadata,
        rng: random.Random,
        keys: int,
        planted: str,
        recorder: Recorder | Printer,
    ):
        self.name, self.meta, self.rng, self.keys = name, meta, rng, keys
        self.planted, self.recorder = planted, recorder
        self._seen: dict[str, tuple[str | None, int | None]] = {}
        self._count = 0
        self._cached = planted == "stale" and not hasattr(meta, "serializable")
        if planted == "stale":
            meta.serializable = True  # type: ignore[attr-defined]

    def loop(self, stop: threading.Event) -> None:
        """Call until told to stop."""
        while not stop.is_set():
            self.step()
        self.meta.close()

    def step(self) -> None:
        """Make one call: two reads in five, and a read wherever the present value is not known."""
        key = f"k{self.rng.randrange(self.keys)}"
        self._count += 1
        if key not in self._seen or self.rng.random() < 0.4:
            self._read(key)
        else:
            self._swap(key, *self._seen[key])

    def _read(self, key: str) -> None:
        self.recorder.call(self.name, self._count, key=key, kind="read")
        if self._cached and key in self._seen:
            self.recorder.answer(self.name, self._count, "read", self._seen[key][0])
            return
        try:
            found = self.meta.get(key)
        except FacelabError:
            self.recorder.answer(self.name, self._count, "not sent")
            time.sleep(0.02)
            return
        value = None if found is None else found.value.decode()
        self._seen[key] = value, None if found is None else found.version
        self.recorder.answer(self.name, self._count, "read", value)

    def _swap(self, key: str, expected: str | None, version: int | None) -> None:
        value = f"{self.name}-{self._count}-{self.rng.getrandbits(32):x}"
        facts = {"key": key, "kind": "swap", "value": value, "expected": expected}
        self.recorder.call(self.name, self._count, **facts)
        outcome, new = self._outcome(key, version, value)
        if outcome == "done":
            self._seen[key] = value, new
        else:
            del self._seen[key]
        self.recorder.answer(self.name, self._count, outcome)
        if outcome == "not sent":
            time.sleep(0.02)

    def _outcome(self, key: str, version: int | None, value: str) -> tuple[str, int | None]:
        if self.planted == "blind":
            return self._blind(key, version, value)
        swap = self.meta.swap(key, version, value.encode())
        if self.planted == "retry" and self.rng.random() < LOST:
            swap = Swap(Outcome.UNKNOWN, reason="the answer was lost on the way")
        if self.planted == "retry" and swap.outcome is Outcome.UNKNOWN:
            for _ in range(200):  # what a careless client library does behind its caller's back
                swap = self.meta.swap(key, version, value.encode())
                if swap.outcome is not Outcome.UNKNOWN and (swap.compared or swap.version):
                    break
                time.sleep(0.02)
        if swap.outcome is Outcome.NOT_DONE and not swap.compared:
            return "not sent", None
        return {"done": "done", "not done": "refused"}.get(swap.outcome, "unknown"), swap.version

    def _blind(self, key: str, version: int | None, value: str) -> tuple[str, int | None]:
        """Compare by your own read and then write over whatever is stored: updates get lost."""
        try:
            now = self.meta.get(key)
        except FacelabError:
            return "not sent", None
        if (None if now is None else now.version) != version:
            return "refused", None
        time.sleep(0.001)
        for _ in range(50):
            swap = self.meta.swap(key, version, value.encode())
            if swap.outcome is Outcome.DONE:
                return "done", swap.version
            if swap.outcome is Outcome.UNKNOWN:
                return "unknown", None
            try:
                now = self.meta.get(key)
            except FacelabError:
                return "unknown", None
            version = None if now is None else now.version
        return "unknown", None


def main(words: list[str]) -> None:
    """Run one client until it is killed."""
    number, address, keys, planted, seed, file_limit = words
    if int(file_limit):
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_limit), int(file_limit)))
    printer = Printer()
    os.write(1, (json.dumps({"pid": os.getpid()}) + "\n").encode())
    meta = open_metadata(address)
    client = Client(
        f"p{number}", meta, random.Random(f"{seed} {number}"), int(keys), planted, printer
    )
    while True:
        client.step()


if __name__ == "__main__":
    main(sys.argv[1:])
