"""The slot that serves one release and swaps to the next under load, without a failed or a mixed request."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from facelab.core import allocator
from facelab.core.errors import BadInputError, FacelabError, MissingAssetError, from_os
from facelab.core.lifetime import Closing
from facelab.core.machine import rss_bytes
from facelab.core.result import Result
from facelab.core.safety.scratch import ScratchFolder
from facelab.deploy import policy as policies
from facelab.deploy.policy import Policy
from facelab.serving.releases._adapters import task_adapter
from facelab.serving.releases._probation import Probation
from facelab.serving.releases._release import Adapter, Release, load
from facelab.serving.releases._snapshot import signature_of, wait_until_stable
from facelab.serving.releases._store import ReleaseStore
from facelab.serving.releases._tester import Tester
from facelab.serving.releases._watch import Watcher, look_at_store

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Swap(Result):
    """What became of an offered release.

    Attributes
    ----------
    accepted : bool
        Whether the slot serves `release` now.
    why : str
        One sentence; for a refusal the error with its fix.
    load_s, drain_s : float
        Seconds to verify, load and test; seconds until the last old lease ended.
    rss_before, rss_after : int
        Resident bytes of the process before the load and after the old session was closed.
    old_gone : bool or None
        Whether the old session's memory came back; None where that cannot be determined or nothing was replaced.
    """

    accepted: bool
    why: str
    release: str | None = None
    replaced: str | None = None
    load_s: float = 0.0
    drain_s: float = 0.0
    rss_before: int = 0
    rss_after: int = 0
    old_gone: bool | None = None


class _Served:
    """A release with the number of leases on it."""

    def __init__(self, release: Release) -> None:
        self.release, self.leases, self.retired = release, 0, False
        self.drained = threading.Event()


class ModelSlot(Closing):
    """Serves one release at a time; a new one is verified, loaded and tested beside it before it takes over.

    Parameters
    ----------
    store : ReleaseStore or path, optional
        Where verified copies are kept; a temporary folder by default.
    task : str, optional
        Releases of another task are refused.
    policy : Policy, optional
        Budgets of size, memory, latency and golden outputs, as the deploy gate uses them.
    threads : int
        Threads of the runtime.
    adapter : callable, optional
        Makes what requests use from a release's folder and manifest (see `task_adapter`).
    isolate : bool
        Verify and test bundles in its own process at nice 19 (about a second once, and its memory). This process
        then only opens the model. A *thread* at nice 19 is worse than none: it holds the interpreter's lock while it
        waits for a core, and P99 of the requests grew from 10 to 160 ms.
    pin_malloc : bool
        Pin glibc's mmap threshold, so that a closed model's memory returns at once. It holds for the whole process
        and makes fresh arrays of a frame cost page faults.
    drain_s : float
        Longest wait for old leases before the swap returns; the old model is closed when they end in any case.

    Examples
    --------
    >>> slot = ModelSlot()
    >>> slot.offer("no/such/bundle").accepted
    False
    >>> slot.close()
    """

    def __init__(
        self,
        store: ReleaseStore | str | os.PathLike | None = None,
        *,
        task: str | None = None,
        policy: Policy | None = None,
        threads: int = 1,
        adapter: Adapter | None = None,
        isolate: bool = False,
        pin_malloc: bool = True,
        drain_s: float = 10.0,
    ) -> None:
        self._temporary = ScratchFolder(prefix="fl-slot-") if store is None else None
        if self._temporary is not None:
            store = self._temporary.name
        self.store = store if isinstance(store, ReleaseStore) else ReleaseStore(Path(str(store)))
        self.task, self.policy = task, policy or policies.default()
        self._tester = Tester(adapted=adapter is task_adapter) if isolate else None
        self.threads, self._adapter, self._drain_s = threads, adapter, drain_s
        if pin_malloc:
            allocator.pin_mmap_threshold()
        self._lock = threading.RLock()  # a dropped lease may end inside a garbage collection
        self._loading = threading.Lock()
        self._served: _Served | None = None
        self._probation: Probation | None = None
        self._watchers: list[Watcher] = []
        self.swaps: deque[Swap] = deque(maxlen=10_000)
        self._closed = False

    @contextlib.contextmanager
    def lease(self) -> Iterator[Release]:
        """Lend the current release for one request; it stays loaded until the last lease on it ends.

        Raises MissingAssetError before the first release was accepted.
        """
        with self._lock:
            served = self._require()
            served.leases += 1
        started, failed = time.perf_counter(), True
        try:
            yield served.release
            failed = False
        except (
            GeneratorExit,
            BadInputError,
        ):  # a dropped lease, a bad image: not the model's failures
            failed = False
            raise
        finally:
            self._give_back(served, time.perf_counter() - started, failed)

    def _require(self) -> _Served:
        if self._served is None:
            raise MissingAssetError(
                "no release is loaded yet",
                where=self.store.folder,
                fix="promote a bundle: facelab release promote BUNDLE --store DIR",
            )
        return self._served

    def _give_back(self, served: _Served, seconds: float, failed: bool) -> None:
        with self._lock:
            served.leases -= 1
            if served.retired and not served.leases:
                served.drained.set()
            watched = self._probation if served is self._served else None
        if watched is not None and (why := watched.saw(seconds, failed)):
            self._in_thread(lambda: self._withdraw(served.release.hash, why))

    @property
    def release(self) -> Release | None:
        """Return the release that serves now; take a lease to use it."""
        with self._lock:
            return self._served.release if self._served else None

    def offer(self, bundle: str | os.PathLike, *, settle_s: float = 0.0) -> Swap:
        """Verify, load and test a bundle, and swap to it; a bad one changes nothing.

        Parameters
        ----------
        bundle : path
            A bundle's folder, or a link to one.
        settle_s : float
            Wait until no file of it changed for this long.

        Returns
        -------
        Swap
            With `accepted` false and the reason where the bundle was refused.
        """
        return self._guarded(bundle, lambda: self._admitted(bundle, settle_s))

    def _admitted(self, bundle: str | os.PathLike, settle_s: float) -> str:
        if settle_s:
            wait_until_stable(bundle, settle_s=settle_s)
        if self._tester is not None:
            return self._tester.admit(self.store.folder, self.store.trust, self.policy, str(bundle))
        return self.store.admit(bundle).manifest.hash

    def follow(self) -> Swap:
        """Load what the store calls current, as another process promoted it or rolled it back."""
        release = self.store.current()
        if release is None:
            return Swap(False, "the store has no current release")
        return self._guarded(self.store.home(release), lambda: release, promote=False)

    def rollback(self, reason: str = "asked for") -> Swap:
        """Go back to the release before; the current one is withdrawn and not loaded again by itself."""
        return self._guarded(
            "rollback", lambda: self.store.rollback(reason=reason), promote=False, reason=reason
        )

    def _withdraw(self, release: str, why: str) -> Swap:
        """Leave a release that failed its watch; a disk that takes no change does not keep it here."""

        def find() -> str:
            try:
                return self.store.rollback(reason=why, of=release)
            except OSError as e:
                LOG.warning("the store cannot withdraw %s, a restart would load it: %s", release, e)
                return self.store.instead_of(release)

        return self._guarded("rollback", find, promote=False, reason=why)

    def watch(self, path: str | os.PathLike | None = None, *, settle_s: float = 0.2) -> None:
        """Offer the bundle at `path` whenever it changes; without `path` follow the store's own state.

        Replaced folders, swapped links and files written in place are seen; a change is taken when it has settled.
        """
        source = self.store.folder if path is None else Path(path)
        act: Callable[[], object] = self.follow
        if path is not None:
            act = lambda: self.offer(source, settle_s=settle_s)  # noqa: E731
        look = look_at_store if path is None else signature_of
        self._watchers.append(Watcher(source, act, look=look))

    def _guarded(
        self,
        what: object,
        find: Callable[[], str],
        *,
        promote: bool = True,
        reason: str = "a bundle was offered",
    ) -> Swap:
        """Run one change; whatever is wrong with the release leaves the slot as it was."""
        with self._loading:
            swap = self._changed(what, find, promote, reason)
        self.swaps.append(swap)
        return swap

    def _changed(self, what: object, find: Callable[[], str], promote: bool, reason: str) -> Swap:
        before, started = rss_bytes(), time.perf_counter()
        served = self.release
        try:
            name = find()
            if served is not None and served.hash == name:
                return Swap(True, "it serves already", name, rss_before=before, rss_after=before)
            release = self._loaded(name, promote)
            if promote:
                self._promoted(release, reason)
        except (FacelabError, OSError) as e:
            error = e if isinstance(e, FacelabError) else from_os(e)
            with contextlib.suppress(FacelabError, OSError):
                self.store.refuse(what, error.what)
            return Swap(False, str(error), rss_before=before, rss_after=rss_bytes())
        load_s = time.perf_counter() - started
        return self._swapped(release, before, load_s, reason)

    def _promoted(self, release: Release, reason: str) -> None:
        try:
            self.store.promote(release.hash, reason=reason, loaded=True)
        except BaseException:
            release.close()
            raise

    def _loaded(self, name: str, admitted: bool) -> Release:
        if self._tester is not None and not admitted:
            self._tester.check(self.store.folder, self.store.trust, self.policy, name)
        manifest = self.store.manifest(name, checked=admitted or self._tester is not None)
        if self.task is not None and manifest.task != self.task:
            raise BadInputError(
                "the bundle is for another task",
                where=manifest.name,
                expected=self.task,
                got=manifest.task,
                fix="offer a bundle of the slot's task",
            )
        return load(
            self.store.home(name),
            manifest,
            policy=self.policy,
            threads=self.threads,
            adapter=self._adapter,
            signer=self.store.signer(name),
            tested=self._tester is not None,
        )

    def _swapped(self, release: Release, before: int, load_s: float, reason: str) -> Swap:
        new, started = _Served(release), time.perf_counter()
        with self._lock:
            if self._closed:
                release.close()
                return Swap(False, "the slot was closed")
            old, self._served = self._served, new
            self._probation = Probation(self.policy) if old is not None else None
            if old is not None:
                old.retired = True
                if not old.leases:
                    old.drained.set()
        if old is None:
            return Swap(True, reason, release.hash, None, load_s, 0.0, before, rss_bytes())
        drained = old.drained.wait(self._drain_s)
        drain_s, gone = time.perf_counter() - started, None
        if drained:
            gone = _closed(old)
        else:
            self._in_thread(lambda: (old.drained.wait(), _closed(old)))
        return Swap(
            True, reason, release.hash, old.release.hash, load_s, drain_s, before, rss_bytes(), gone
        )

    def _in_thread(self, work: Callable[[], object]) -> threading.Thread:
        thread = threading.Thread(target=work, name="facelab-slot", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """Stop watching and close the model; leases that are out keep theirs until they end."""
        for watcher in self._watchers:
            watcher.stop()
        if self._tester is not None:
            self._tester.close()
        with self._lock:
            self._closed = True
            old, self._served = self._served, None
            if old is not None:
                old.retired = True
                if not old.leases:
                    old.drained.set()
        if old is not None and old.drained.wait(self._drain_s):
            old.release.close()
        if self._temporary is not None:
            self._temporary.cleanup()


def _closed(old: _Served) -> bool | None:
    return old.release.gone(old.release.close())
