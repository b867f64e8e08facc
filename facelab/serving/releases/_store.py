"""The folder of verified releases: what is current, what came before, what was withdrawn, and who changed it."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from facelab.core.errors import BadInputError, CheckFailedError, FacelabError, MissingAssetError
from facelab.core.files import read_json, write_json
from facelab.core.result import Result
from facelab.core.safety.scratch import ScratchFolder
from facelab.deploy.manifest import MANIFEST, Manifest
from facelab.serving._audit import Audit
from facelab.serving.releases._snapshot import (
    Snapshot,
    check_again,
    claim,
    manifest_of,
    signed_by,
    take,
)
from facelab.serving.releases._trust import SIGNATURE, Trust

SCHEMA = "facelab.releases/1"
STATE = "state.json"
KEEP = 4
"""Releases that a store keeps on disk: the current one and those that a rollback may need."""

UNUSED_S = 600.0
"""Seconds that a copy stays which is not in the stack: another process may be about to load it."""


@dataclass(frozen=True)
class StoreStatus(Result):
    """What a store holds: hashes in `stack`, the current one last; why others were withdrawn; who signed."""

    folder: str
    current: str | None
    previous: str | None
    stack: list[str]
    withdrawn: dict[str, str]
    signers: dict[str, str]
    names: dict[str, str]
    changes: int


class ReleaseStore:
    """Verified copies of bundles in one folder, safe against a crash at any point and against two processes.

    Parameters
    ----------
    folder : path
        Created where it is missing; readable by its owner only.
    trust : Trust, optional
        Who may sign; by default unsigned bundles are allowed.

    Examples
    --------
    >>> store = ReleaseStore("my-releases")
    >>> snapshot = store.admit("bundle")
    >>> store.promote(snapshot.manifest.hash, reason="first release")
    >>> store.current() == snapshot.manifest.hash
    True
    """

    def __init__(self, folder: str | os.PathLike, *, trust: Trust | None = None) -> None:
        self.folder, self.trust = Path(folder), trust or Trust()
        if self.folder.exists() and not self.folder.is_dir():
            raise BadInputError(
                "the store of releases is a file",
                where=self.folder,
                expected="a folder",
                fix="name another folder",
            )
        (self.folder / "releases").mkdir(parents=True, exist_ok=True, mode=0o700)
        self.audit = Audit(self.folder / "audit.jsonl")

    def admit(self, bundle: str | os.PathLike) -> Snapshot:
        """Copy a bundle into the store and verify the copy; nothing becomes current. See `promote`.

        Of a bundle that was admitted before, the copy is checked again; one that rotted since is made again.
        """
        known = self._known(bundle)
        if known is not None:
            return known
        with self._locked(), ScratchFolder(prefix=".new-", dir=self.folder) as near:
            found = take(bundle, Path(near) / "bundle", self.trust)
            home = self.home(found.manifest.hash)
            if not home.exists():
                found.folder.replace(home)
            elif not _sound(home):
                home.replace(Path(near) / "rotten")
                found.folder.replace(home)
            elif (found.folder / SIGNATURE).exists():  # the same bundle, signed later
                (found.folder / SIGNATURE).replace(home / SIGNATURE)
            state = self._state()
            state["signers"][found.manifest.hash] = found.signer
            state["names"][found.manifest.hash] = found.manifest.name
            self._write(state)
        return Snapshot(home, found.manifest, found.signer)

    def _known(self, bundle: str | os.PathLike) -> Snapshot | None:
        """Return the sound copy of a bundle whose manifest and signature are those of one that was verified before."""
        try:
            text, _, signer, manifest = claim(bundle, self.trust)
            home = self.home(manifest.hash)
            same = (home / MANIFEST).read_bytes() == text
        except OSError:
            return None
        if not same or self._state()["signers"].get(manifest.hash) != signer:
            return None
        try:
            sound = (
                signed_by(home, self.trust) == signer and check_again(home, test=True) == manifest
            )
        except FacelabError:
            sound = False
        return Snapshot(home, manifest, signer) if sound else None

    def promote(
        self,
        release: str,
        *,
        reason: str,
        again: bool = False,
        actor: str | None = None,
        loaded: bool = False,
    ) -> None:
        """Make an admitted release current; `loaded` says that its files were checked for a load just now.

        Raises CheckFailedError for a release that was withdrawn, unless `again`.
        """
        with self._locked():
            state = self._state()
            if release in state["withdrawn"] and not again:
                raise CheckFailedError(
                    "the release was withdrawn",
                    where=release[:16],
                    got=state["withdrawn"][release],
                    fix="promote a corrected bundle, or promote this one with --again",
                )
            if state["stack"][-1:] == [release]:
                return
            if not loaded:
                self.manifest(release)
            old = state["stack"][-1] if state["stack"] else None
            state["withdrawn"].pop(release, None)
            state["stack"] = [*(h for h in state["stack"] if h != release), release][-KEEP:]
            self._write(state)
            self._note("promote", old, release, reason, actor)
            self._prune(state)

    def rollback(self, *, reason: str, of: str | None = None, actor: str | None = None) -> str:
        """Withdraw the current release and return the hash of the one before, which is current from now on.

        With `of` only that release is withdrawn, wherever it is in the stack: several services may see it fail, and
        another one may have been promoted meanwhile. What is current then is returned.
        Raises MissingAssetError where there is no earlier release.
        """
        with self._locked():
            state = self._state()
            was = (state["stack"] or [None])[-1]
            bad = of or was
            good = self._without(bad, state)
            if bad not in state["stack"]:
                return good
            self.manifest(good)
            state["stack"].remove(bad)
            state["withdrawn"][bad] = reason
            self._write(state)
            self._note("rollback", was, good, reason, actor)
        return good

    def instead_of(self, release: str) -> str:
        """Return the release that is current once another one is withdrawn. Raises MissingAssetError without one."""
        return self._without(release, self._state())

    def _without(self, release: str | None, state: dict) -> str:
        rest = [h for h in state["stack"] if h != release]
        if rest:
            return rest[-1]
        raise MissingAssetError(
            "there is no earlier release to go back to",
            where=self.folder,
            fix="promote another bundle",
        )

    def refuse(self, bundle: object, reason: str, *, actor: str | None = None) -> None:
        """Note in the audit that a bundle was refused, and why."""
        with self._locked():
            self._note("refuse", self.current(), str(bundle), reason, actor)

    def current(self) -> str | None:
        """Return the hash of the current release, or None."""
        return (self._state()["stack"] or [None])[-1]

    def home(self, release: str) -> Path:
        """Return the folder of an admitted release."""
        return self.folder / "releases" / release

    def manifest(self, release: str, *, checked: bool = False) -> Manifest:
        """Return a release's manifest; the files that a load reads are checked unless they were `checked` just now.

        Raises IntegrityError where this store's trust does not take the release, admitted by another store or not.
        """
        home = self.home(release)
        signed_by(home, self.trust)
        return manifest_of(home) if checked else check_again(home)

    def signer(self, release: str) -> str:
        """Return who signed a release, in words."""
        return self._state()["signers"].get(release, "unknown")

    def status(self) -> StoreStatus:
        """Return what the store holds."""
        state = self._state()
        stack = state["stack"]
        return StoreStatus(
            str(self.folder),
            stack[-1] if stack else None,
            stack[-2] if len(stack) > 1 else None,
            stack,
            state["withdrawn"],
            state["signers"],
            state["names"],
            len(self.audit.read()),
        )

    def _state(self) -> dict:
        path = self.folder / STATE
        if not path.exists():
            return {"schema": SCHEMA, "stack": [], "withdrawn": {}, "signers": {}, "names": {}}
        state = read_json(path)
        kinds = {"stack": list, "withdrawn": dict, "signers": dict, "names": dict}
        good = isinstance(state, dict) and state.get("schema") == SCHEMA
        if not good or not all(isinstance(state.get(k), t) for k, t in kinds.items()):
            raise BadInputError(
                "the store's state cannot be used",
                where=path,
                expected=f"an object of {SCHEMA}",
                fix="restore it, or start a new store",
            )
        return state

    def _write(self, state: dict) -> None:
        write_json(self.folder / STATE, state)

    def _note(self, what: str, old: str | None, new: str, reason: str, actor: str | None) -> None:
        self.audit.note(what, before=old, after=new, reason=reason, actor=actor or _actor())

    def _prune(self, state: dict) -> None:
        kept = set(state["stack"])
        for home in (self.folder / "releases").iterdir():
            if home.name not in kept and time.time() - home.stat().st_ctime > UNUSED_S:
                shutil.rmtree(home, ignore_errors=True)
        for left in self.folder.glob(".new-*"):  # a process that was killed while it copied
            shutil.rmtree(left, ignore_errors=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with FileLock(self.folder / ".lock", timeout=60):
                yield
        except Timeout:
            raise BadInputError(
                "another process holds the store",
                where=self.folder,
                got="no lock within 60 s",
                fix="wait for it, or look which process it is",
            ) from None


def _sound(home: Path) -> bool:
    try:
        check_again(home, test=True)
    except FacelabError:
        return False
    return True


def _actor() -> str:
    try:
        return f"{getpass.getuser()}, process {os.getpid()}"
    except (KeyError, OSError):
        return f"process {os.getpid()}"
