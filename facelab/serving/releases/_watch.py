"""See that a file, a folder or a link changed, however it was written."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

POLL_MS = 1000
"""Regular looks beside the system's events: network and overlay file systems send none."""


def look_at_file(path: Path) -> tuple:
    """Return what changes when a file is written or replaced."""
    s = path.stat()
    return (s.st_mtime_ns, s.st_ino, s.st_size)


def wait_until_quiet(path: Path, *, settle_s: float = 0.1, limit_s: float = 5.0) -> None:
    """Wait until a file did not change for `settle_s` seconds: `ratio = 0` may be the first half of `ratio = 0.2`."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            before = look_at_file(path)
            time.sleep(settle_s)
            if look_at_file(path) == before:
                return
        except OSError:
            time.sleep(settle_s)


def look_at_store(path: Path) -> tuple:
    """Return what changes when a store of releases promotes or rolls back."""
    return look_at_file(path / "state.json")


class Watcher:
    """Calls `act` in a thread when what `look` sees at `path` has changed; never twice at once.

    The folder above is watched too, since a rename and a swapped link change only that one. `look` returns what is
    compared, so that an event without a change (a touched neighbour) does nothing.
    """

    def __init__(
        self,
        path: Path,
        act: Callable[[], object],
        *,
        look: Callable[[Path], tuple],
        poll_ms: int = POLL_MS,
    ) -> None:
        self.path, self._act, self._look_at, self._poll = path, act, look, poll_ms
        self._stop = threading.Event()
        self._seen = self._look()
        self._thread = threading.Thread(target=self._run, name="facelab-watch", daemon=True)
        self._thread.start()

    def _look(self) -> tuple:
        with contextlib.suppress(OSError):
            return self._look_at(self.path)
        return ()

    def _run(self) -> None:
        import watchfiles

        while not self._stop.is_set():
            real = Path(os.path.realpath(self.path))
            places = {str(p) for p in (self.path.parent.absolute(), real, real.parent)}
            try:
                changes = watchfiles.watch(
                    *(p for p in places if Path(p).is_dir()),
                    stop_event=self._stop,
                    rust_timeout=self._poll,
                    yield_on_timeout=True,
                    debounce=50,
                    step=20,
                    recursive=False,
                    watch_filter=None,
                    raise_interrupt=False,
                )
                for _ in changes:
                    if self._changed() and not self._stop.is_set():
                        break  # the link may lead elsewhere now: watch the new place
            except (OSError, RuntimeError):
                self._stop.wait(self._poll / 1000)
                self._changed()

    def _changed(self) -> bool:
        now = self._look()
        if now == self._seen or not now:
            return False
        self._seen = now
        with contextlib.suppress(Exception):
            self._act()
        return True

    def stop(self) -> None:
        """End the thread; it may finish what it does."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=10)
