"""Two slots, a watched rollout, and the comparison that stops the candidate by itself."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from facelab.core.errors import BadInputError, FacelabError
from facelab.core.files import read_json, write_json
from facelab.core.hashing import sha256_bytes
from facelab.core.lifetime import Closing
from facelab.serving._audit import Audit
from facelab.serving.canary._comparison import Comparison, Judgement
from facelab.serving.canary._rollout import Rollout, Version, parse, read
from facelab.serving.releases._release import Release
from facelab.serving.releases._slot import ModelSlot
from facelab.serving.releases._watch import Watcher, look_at_file, wait_until_quiet

T = TypeVar("T")
LOG = logging.getLogger("facelab.serve")
JUDGE_EVERY = 10
"""Answers between two looks at the comparison: a look costs about 0.1 ms."""
CUT_S = 1.0
"""How long a rollout must rest that became shorter, or ends within a line: it may be half written."""


@dataclass(frozen=True)
class Answer(Generic[T]):
    """One answer: its value, who gave it, by which rule, and whether the candidate failed before."""

    value: T
    version: Version
    rule: str
    release: str
    fell_back: bool = False


class Canary(Closing):
    """Sends some units to the candidate, compares both versions, and stops the candidate when it is proven worse.

    Parameters
    ----------
    stable, candidate : ModelSlot
        Two slots with a loaded release each.
    rollout : path
        The watched file (`facelab.rollout/1`). An invalid edit changes nothing and is noted in the audit.
    folder : path, optional
        Keeps the audit and the stops; the rollout's own folder by default.
    agree : callable, optional
        Whether two values are one answer; equality of their labels by default.

    Examples
    --------
    >>> import tempfile
    >>> from facelab.serving import ModelSlot
    >>> file = Path(tempfile.mkdtemp()) / "rollout.toml"
    >>> _ = file.write_text('schema = "facelab.rollout/1"\\nname = "B"\\nsalt = "12345678"\\nratio = 0.0\\n')
    >>> with ModelSlot() as stable, ModelSlot() as candidate, Canary(stable, candidate, file) as canary:
    ...     canary.decide("door 1"), canary.status().verdict
    (('stable', 'ratio'), 'continue')
    """

    def __init__(
        self,
        stable: ModelSlot,
        candidate: ModelSlot,
        rollout: str | os.PathLike,
        *,
        folder: str | os.PathLike | None = None,
        agree: Callable[[Any, Any], bool] | None = None,
    ) -> None:
        self.slots: dict[Version, ModelSlot] = {"stable": stable, "candidate": candidate}
        self.path = Path(rollout)
        self.folder = Path(folder) if folder is not None else self.path.parent
        self.audit = Audit(self.folder / f"{self.path.stem}.audit.jsonl")
        self._stops = self.folder / f"{self.path.stem}.stopped.json"
        self._agree = agree or _same_label
        self._lock = threading.Lock()
        self._count = itertools.count(1)
        self._unsaved: dict[str, str] = {}
        self._text = read(self.path)
        self.rollout = parse(self._text, self.path)
        self.comparison = Comparison(self.rollout.stop)
        self.stopped: str | None = self._stop_of(self.rollout)
        self._note(None, self.rollout, "loaded")
        self._shadows: queue.Queue = queue.Queue(maxsize=8)
        self._worker = threading.Thread(target=self._shadow, name="facelab-shadow", daemon=True)
        self._worker.start()
        self._watcher = Watcher(self.path, self._changed, look=look_at_file)

    def _changed(self) -> None:
        wait_until_quiet(self.path)
        with contextlib.suppress(FacelabError):
            text = read(self.path)
            # the first part of a slow copy looks like this
            if not text.endswith("\n") or len(text) < len(self._text):
                wait_until_quiet(self.path, settle_s=CUT_S)
        self.reload()

    def reload(self) -> bool:
        """Read the rollout again; return whether it holds. An invalid file changes nothing."""
        try:
            text = read(self.path)
            new = parse(text, self.path)
            with self._lock:
                self.stopped = self._stop_of(new)
                old, self.rollout, self._text = self.rollout, new, text
                if (old.name, old.stop) != (new.name, new.stop):
                    self.comparison = Comparison(new.stop)
        except FacelabError as e:
            self.audit.note("refuse", rollout=self.rollout.name, reason=str(e))
            return False
        if old != new:
            self._note(old, new, "the file changed")
        return True

    def decide(self, unit: str) -> tuple[Version, str]:
        """Return the version for a unit and why: `deny`, `allow`, `ratio` or `stopped`."""
        with self._lock:
            rollout, stopped = self.rollout, self.stopped
        return ("stable", "stopped") if stopped else rollout.decide(unit)

    def ask(self, unit: str, work: Callable[[Release], T]) -> Answer[T]:
        """Answer one request by the unit's version.

        Parameters
        ----------
        unit : str
            Who asks; the same unit gets the same version.
        work : callable
            Takes the leased release. It must not keep it.

        Returns
        -------
        Answer
            By the stable version where the candidate failed; the failure counts against the candidate.
        """
        version, rule = self.decide(unit)
        number = next(self._count)
        try:
            answer = self._timed(version, rule, work)
        except BadInputError:
            raise
        except Exception:
            if version == "stable":
                raise
            answer = self._timed("stable", rule, work, fell_back=True)
        if self.stopped is None and self.rollout.shadowed(f"{unit} {number}"):
            self._offer_shadow(answer, work)
        if number % JUDGE_EVERY == 0:
            self._judge()
        return answer

    def _timed(
        self, version: Version, rule: str, work: Callable[[Release], T], fell_back: bool = False
    ) -> Answer[T]:
        comparison = self.comparison
        started = time.perf_counter()
        try:
            with self.slots[version].lease() as release:
                value = work(release)
        except BadInputError:  # the request's own fault says nothing about the version
            raise
        except Exception:
            comparison.saw(version, time.perf_counter() - started, failed=True)
            raise
        comparison.saw(version, time.perf_counter() - started, failed=False)
        return Answer(value, version, rule, release.hash, fell_back)

    def _offer_shadow(self, answer: Answer[T], work: Callable[[Release], T]) -> None:
        try:
            self._shadows.put_nowait((answer, work, self.comparison))
        except queue.Full:  # live traffic comes first
            self.comparison.dropped += 1

    def _shadow(self) -> None:
        while (item := self._shadows.get()) is not None:
            answer, work, comparison = item
            other: Version = "candidate" if answer.version == "stable" else "stable"
            try:
                with self.slots[other].lease() as release:
                    comparison.both(bool(self._agree(answer.value, work(release))))
            except Exception:
                comparison.both(False)
            self._judge()

    def _judge(self) -> Judgement:
        judgement = self.comparison.judge()
        if judgement.verdict == "stop":
            self.stop(judgement.because)
        return judgement

    def stop(self, reason: str) -> None:
        """Send everybody to the stable version; it holds for this rollout's name, also after a restart.

        A disk that refuses to keep the stop does not delay it; the log says that a restart would forget it.
        """
        with self._lock:
            if self.stopped is not None:
                return
            name, self.stopped = self.rollout.name, reason
            try:
                known = read_json(self._stops) if self._stops.exists() else {}
                write_json(self._stops, {**known, **self._unsaved, name: reason})
            except (FacelabError, OSError) as e:
                self._unsaved[name] = reason
                LOG.warning("the stop of %r holds until a restart only: %s", name, e)
            self.audit.note("stop", rollout=name, reason=reason)

    def status(self) -> Judgement:
        """Return the comparison so far."""
        return self.comparison.judge()

    def _stop_of(self, rollout: Rollout) -> str | None:
        known = read_json(self._stops) if self._stops.exists() else {}
        return {**known, **self._unsaved}.get(rollout.name)

    def _note(self, old: Rollout | None, new: Rollout, reason: str) -> None:
        fields = ("name", "ratio", "allow", "deny", "shadow")

        def short(r: Rollout | None) -> dict | None:
            if r is None:
                return None
            groups = {name: len(units) for name, units in r.groups.items()}
            return {**{f: getattr(r, f) for f in fields}, "groups": groups}

        owner = None
        with contextlib.suppress(OSError):  # it may be gone by now
            owner = self.path.stat().st_uid
        sha256 = sha256_bytes(self._text.encode())
        known = {"before": short(old), "after": short(new)}
        self.audit.note("rollout", **known, sha256=sha256, file_owner=owner, reason=reason)

    def close(self) -> None:
        """Stop watching; the slots stay open."""
        self._watcher.stop()
        self._shadows.put(None)
        self._worker.join(timeout=10)


def _same_label(a: Any, b: Any) -> bool:
    return getattr(a, "label", a) == getattr(b, "label", b)
