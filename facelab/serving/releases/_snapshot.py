"""Copy a bundle out of a folder that others write, so that what was verified is what is loaded."""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from facelab.core.errors import BadInputError, FacelabError, IntegrityError
from facelab.core.files import loads_strict, naming
from facelab.deploy import verify
from facelab.deploy.manifest import MANIFEST, FileEntry, Manifest, canonical_hash, parse
from facelab.serving.releases._trust import MAX_SIGNATURE, SIGNATURE, Trust

MAX_MANIFEST = 4 << 20
MAX_BUNDLE = 2 << 30
MAX_FILES = 5000
_LOADED = ("model", "preprocess", "labels", "thresholds")
_TESTED = ("golden_tensor", "golden_output")


@dataclass(frozen=True)
class Snapshot:
    """A verified copy: its folder, its manifest, and who signed it in words."""

    folder: Path
    manifest: Manifest
    signer: str


def signature_of(folder: str | os.PathLike) -> tuple:
    """Return what changes when any file of a bundle does: names, sizes, times and inodes. Cheap: no file is read."""
    root = Path(os.path.realpath(folder))
    rows = [(str(root), 0, 0, 0)]
    for base, folders, files in os.walk(root):
        folders.sort()
        for name in files:
            path = Path(base, name)
            try:
                s = path.lstat()
            except OSError:
                continue
            rows.append((str(path.relative_to(root)), s.st_size, s.st_mtime_ns, s.st_ino))
            if len(rows) > MAX_FILES:
                return tuple(rows)
    beside = root.with_name(root.name + ".minisig")
    if beside.exists():
        s = beside.stat()
        rows.append((beside.name, s.st_size, s.st_mtime_ns, s.st_ino))
    return tuple(sorted(rows))


def wait_until_stable(
    folder: str | os.PathLike, *, settle_s: float = 0.2, limit_s: float = 30.0
) -> tuple:
    """Return the signature of a folder that did not change for `settle_s` seconds.

    A slow copy in place shows half-written files for as long as it takes. Raises IntegrityError after `limit_s`.
    """
    end, last = time.monotonic() + limit_s, signature_of(folder)
    while time.monotonic() < end:
        time.sleep(settle_s)
        now = signature_of(folder)
        if now == last:
            return now
        last = now
    raise IntegrityError(
        "the bundle never came to rest",
        where=folder,
        expected=f"no change for {settle_s:g} s",
        got=f"changes for {limit_s:g} s",
        fix="copy it beside, and rename it when it is whole",
    )


def signed_by(folder: Path, trust: Trust) -> str:
    """Return who signed a snapshot, by the signature that was kept with it. Raises IntegrityError; see `Trust`."""
    return trust.check(_read(folder, MANIFEST, MAX_MANIFEST), _signature(folder), folder)


def take(folder: str | os.PathLike, into: Path, trust: Trust) -> Snapshot:
    """Copy a bundle to the new folder `into`, each file hashed while it is copied, and verify the copy.

    Only the files that the manifest names are copied; links and devices are refused, sizes are checked before a byte
    is read. Raises IntegrityError or BadInputError saying which file is wrong.
    """
    root = Path(os.path.realpath(folder))
    text, signature, signer, manifest = claim(root, trust)
    into.mkdir(parents=True, mode=0o700)
    with naming(into):
        for entry in manifest.files:
            _copy(root, entry, into)
        (into / MANIFEST).write_bytes(text)
    found = verify(into)
    if not found.ok:
        problem = found.problems[0]
        raise IntegrityError(
            f"the bundle is damaged: {problem.path} {problem.what}",
            where=root,
            fix="copy or make the bundle again",
        )
    if signature is not None:
        (into / SIGNATURE).write_bytes(signature)
    return Snapshot(into, manifest, signer)


def claim(folder: str | os.PathLike, trust: Trust) -> tuple[bytes, bytes | None, str, Manifest]:
    """Return a bundle's manifest as bytes, its signature, who signed it, and the manifest parsed.

    Each file is read once, so that what was checked is what is kept; no other file is read.
    """
    root = Path(os.path.realpath(folder))
    text, signature = _read(root, MANIFEST, MAX_MANIFEST), _signature(root)
    manifest = _parsed(text, root)
    _bounded(manifest, root)
    return text, signature, trust.check(text, signature, root), manifest


@functools.lru_cache(maxsize=16)
def _parsed(text: bytes, root: Path) -> Manifest:
    return parse(loads_strict(text, where=root / MANIFEST, max_bytes=MAX_MANIFEST), root)


def manifest_of(folder: Path) -> Manifest:
    """Return the manifest of a snapshot, without a look at the files that it names."""
    return _parsed(_read(folder, MANIFEST, MAX_MANIFEST), folder)


def check_again(folder: Path, *, test: bool = False) -> Manifest:
    """Check the files of a snapshot that a load reads, or its test too; a disk can rot between two loads."""
    text = _read(folder, MANIFEST, MAX_MANIFEST)
    manifest = _parsed(text, folder)
    if canonical_hash(loads_strict(text, where=folder / MANIFEST)) != manifest.hash:
        raise IntegrityError(
            "the release's manifest was edited", where=folder, fix="promote the bundle again"
        )
    for entry in manifest.files:
        if entry.role in _LOADED or (test and entry.role in _TESTED):
            _copy(folder, entry, None)
    return manifest


def _bounded(manifest: Manifest, root: Path) -> None:
    total = sum(f.bytes for f in manifest.files)
    if total > MAX_BUNDLE or len(manifest.files) > MAX_FILES:
        raise BadInputError(
            "the bundle is too large",
            where=root,
            expected=f"at most {MAX_BUNDLE:,} bytes in {MAX_FILES} files",
            got=f"{total:,} bytes in {len(manifest.files)} files",
            fix="make a smaller bundle",
        )


def _signature(root: Path) -> bytes | None:
    if (root / SIGNATURE).exists():
        return _read(root, SIGNATURE, MAX_SIGNATURE)
    beside = root.name + ".minisig"
    return _read(root.parent, beside, MAX_SIGNATURE) if (root.parent / beside).exists() else None


def _open(root: Path, name: str) -> tuple[int, int]:
    """Open a plain file below `root` without following links; return its descriptor and size."""
    folder = -1
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        *parents, last = Path(name).parts
        for part in parents:
            down = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = down
        fd = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as e:
        raise IntegrityError(
            "a file of the bundle cannot be opened",
            where=root / name,
            expected="a plain file, not a link",
            got=e.strerror,
            fix="copy the bundle again",
        ) from None
    finally:
        if folder >= 0:
            os.close(folder)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise IntegrityError(
            "a file of the bundle is a device or a pipe",
            where=root / name,
            fix="copy the bundle again",
        )
    return fd, found.st_size


def _read(root: Path, name: str, limit: int) -> bytes:
    fd, size = _open(root, name)
    with os.fdopen(fd, "rb") as f:
        data = f.read(limit + 1)
    if size > limit or len(data) > limit:
        raise BadInputError(
            "the file is too large",
            where=root / name,
            expected=f"at most {limit:,} bytes",
            got=f"{size:,} bytes",
            fix="make the bundle again",
        )
    return data


def _copy(root: Path, entry: FileEntry, into: Path | None) -> None:
    fd, size = _open(root, entry.path)
    with os.fdopen(fd, "rb") as source:
        if size != entry.bytes:
            raise _wrong(root, entry, f"{size:,} bytes", f"{entry.bytes:,} bytes")
        digest, left = hashlib.sha256(), entry.bytes
        target = None
        if into is not None:
            path = into / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            target = path.open("wb")
        try:
            while left and (block := source.read(min(left, 1 << 20))):
                digest.update(block)
                left -= len(block)
                if target is not None:
                    target.write(block)
        finally:
            if target is not None:
                target.close()
    if digest.hexdigest() != entry.sha256:
        got = "a truncated file" if left else f"SHA-256 {digest.hexdigest()[:12]}…"
        raise _wrong(root, entry, got, f"SHA-256 {entry.sha256[:12]}…")


def _wrong(root: Path, entry: FileEntry, got: str, expected: str) -> FacelabError:
    return IntegrityError(
        f"{entry.path} is not the file that the manifest promises",
        where=root,
        expected=expected,
        got=got,
        fix="copy the bundle again, and check the disk if that does not help",
    )
