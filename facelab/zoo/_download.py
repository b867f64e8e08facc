"""Get one file over http(s): whole and verified, or not at all."""

from __future__ import annotations

import bz2
import contextlib
import errno
import glob
import gzip
import os
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from facelab.core.errors import FacelabError, IntegrityError, MissingAssetError
from facelab.core.files import atomic_path
from facelab.core.hashing import sha256_file
from facelab.core.safety import scratch
from facelab.zoo._assets import Asset
from facelab.zoo._http import MOST_BYTES, BrokenTransferError, Limit, chunks
from facelab.zoo._integrity import problem, what_is_it


class NotThereError(MissingAssetError):
    """The server answers that it does not have the file (HTTP 404 or 410)."""


@contextlib.contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Hold a lock for one file, so that two fetches of it do not run at once: the second finds it done."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.parent / f".{target.name}.lock"
    guard = _acquire(lock)
    try:
        _sweep(target)
        yield
    finally:
        # removed while still held: a process that waited for it sees that the name is gone and takes a new one
        lock.unlink(missing_ok=True)
        guard.close()


def _acquire(lock: Path) -> IO:
    """Return the open, locked file named `lock`; waits for its holder."""
    while True:
        guard = _open_lock(lock)
        try:
            import fcntl

            fcntl.flock(guard, fcntl.LOCK_EX)
            if lock.stat().st_ino == os.fstat(guard.fileno()).st_ino:
                return guard
        except (
            ImportError
        ):  # no advisory locks outside POSIX: os.replace keeps the result whole all the same
            return guard
        except FileNotFoundError:
            pass
        except BaseException:
            guard.close()
            raise
        guard.close()


def _open_lock(lock: Path) -> IO:
    """Open the lock's file without emptying it: a link that somebody put there could lead to any file."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        fd = os.open(lock, flags, 0o600)
    except OSError as e:
        if e.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        raise IntegrityError(
            "the lock of a download is not a file",
            where=lock,
            expected="a file that facelab made",
            got="a link" if e.errno == errno.ELOOP else "a folder or a pipe",
            fix="look who put it there, and remove it",
        ) from None
    return os.fdopen(fd, "r+b", buffering=0)


def _sweep(target: Path) -> None:
    """Remove what a killed download of this file left behind. Only called by the holder of its lock."""
    for stale in target.parent.glob(
        f".{glob.escape(target.stem[:40])}.????????{scratch.MARK}{target.suffix}"
    ):
        stale.unlink(missing_ok=True)


def download(
    url: str, target: Path, asset: Asset, *, member: str | None = None, progress: bool = False
) -> Path:
    """Download `url` (or the `member` of the archive there) to `target`, verified against `asset`, and return it.

    The bytes go to a temporary file beside the target, which is renamed only after size and SHA-256 were checked: a
    truncated, corrupted or foreign answer leaves nothing behind. Raises MissingAssetError if the server cannot be
    reached, NotThereError if it has no such file, IntegrityError if the bytes are not the promised ones.
    """
    with atomic_path(target) as tmp:
        if member is None:
            _transfer(url, tmp, asset.bytes, progress)
        else:
            with _temporary(target) as archive:
                _transfer(url, archive, asset.archive_bytes, progress)
                _check_archive(archive, asset, url)
                extract(archive, url, member, tmp, most=Limit.of(asset.bytes).bytes)
        if bad := problem(tmp, asset):
            raise IntegrityError(
                bad.what,
                where=url,
                expected=bad.expected,
                got=bad.got,
                fix=f"nothing was kept; try {asset.fetch_command} again, or set FACELAB_MIRROR",
            )
    return target


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    held, path = scratch.temporary_file(target)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        os.close(held)


def _transfer(url: str, tmp: Path, size: int | None, progress: bool) -> None:
    """Write the bytes at `url` to `tmp`, bounded in bytes and in time; one more try after a broken transfer."""
    import requests

    limit = Limit.of(size)
    for attempt in (1, 2):
        try:
            with tmp.open("wb") as out:
                for chunk in chunks(url, limit, progress=progress, size=size):
                    out.write(chunk)
            return
        except requests.HTTPError as e:
            code = None if e.response is None else e.response.status_code
            kind = NotThereError if code in (404, 410) else MissingAssetError
            raise kind(
                "the server does not give the file",
                where=url,
                expected="HTTP 200",
                got=f"HTTP {code}" if code else str(e),
                fix="check the address, or set FACELAB_MIRROR to a folder that has it",
            ) from None
        except BrokenTransferError as e:
            # a body shorter than its Content-Length, or a server that falls silent
            if attempt == 2:
                raise IntegrityError(
                    "the download broke off",
                    where=url,
                    expected=f"{size} bytes" if size else "the whole file",
                    got=f"{tmp.stat().st_size if tmp.exists() else 0} bytes, {e}",
                    fix="nothing was kept; try again",
                ) from None
        except requests.RequestException as e:
            raise _unreachable(url, e) from None


def _unreachable(url: str, error: Exception) -> MissingAssetError:
    return MissingAssetError(
        "the server cannot be reached",
        where=url,
        got=type(error).__name__,
        fix="check the network, or set FACELAB_MIRROR to a folder or address that has the file",
    )


def _check_archive(archive: Path, asset: Asset, url: str) -> None:
    if what := what_is_it(archive):
        raise IntegrityError(
            f"{asset.name}: the archive is {what}",
            where=url,
            expected="an archive",
            got=f"{archive.stat().st_size} bytes",
            fix="nothing was kept; check the address",
        )
    if asset.archive_bytes and archive.stat().st_size != asset.archive_bytes:
        raise IntegrityError(
            f"{asset.name}: the archive has a different size",
            where=url,
            expected=f"{asset.archive_bytes} bytes",
            got=f"{archive.stat().st_size} bytes",
            fix="nothing was kept; try again",
        )
    if asset.archive_sha256 and (got := sha256_file(archive)) != asset.archive_sha256:
        raise IntegrityError(
            f"{asset.name}: the archive's content is not the promised one",
            where=url,
            expected=f"sha256 {asset.archive_sha256}",
            got=f"sha256 {got}",
            fix="nothing was kept; try again",
        )


def _copy(source: IO[bytes] | gzip.GzipFile, target: Path, most: int, url: str) -> None:
    left = most
    with target.open("wb") as out:
        while block := source.read(1 << 20):
            left -= len(block)
            if left < 0:
                raise IntegrityError(
                    "the archive unpacks to more than the promised file",
                    where=url,
                    expected=f"at most {most} bytes",
                    got="more",
                    fix="nothing was kept; check the address",
                )
            out.write(block)


def extract(archive: Path, url: str, member: str, target: Path, *, most: int = MOST_BYTES) -> None:
    """Write one member of a zip, tar or single-file bz2/gz archive to `target`, at most `most` bytes.

    Raises IntegrityError.
    """
    try:
        if url.endswith(".zip"):
            with (
                zipfile.ZipFile(archive) as z,
                z.open(_pick(z.namelist(), member)) as source,
            ):
                _copy(source, target, most, url)
        elif url.endswith((".tar", ".tgz", ".tar.gz", ".tar.bz2")):
            with tarfile.open(archive) as t:
                source = t.extractfile(_pick(t.getnames(), member))
                if source is None:
                    raise KeyError(member)
                with source:
                    _copy(source, target, most, url)
        else:
            opener = bz2.open if url.endswith(".bz2") else gzip.open
            with opener(archive) as source:
                _copy(source, target, most, url)
    except KeyError:
        raise IntegrityError(
            "the archive does not hold the file",
            where=url,
            expected=member,
            fix="nothing was kept; the source may have changed",
        ) from None
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, ValueError) as e:
        if isinstance(e, FacelabError) or (isinstance(e, OSError) and e.errno is not None):
            raise
        raise IntegrityError(
            "the archive cannot be read",
            where=url,
            got=str(e)[:160],
            fix="nothing was kept; try again",
        ) from None


def _pick(names: list[str], member: str) -> str:
    """Return the member itself, or the only one of that name in a folder of the archive; else raise KeyError."""
    if member in names:
        return member
    deeper = [n for n in names if n.rsplit("/", 1)[-1] == member]
    if len(deeper) != 1:
        raise KeyError(member)
    return deeper[0]
