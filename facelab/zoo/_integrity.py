"""Is this file what it should be? Content is looked at before a runtime is: a saved web page is not a model."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from facelab.core.errors import FacelabError, IntegrityError
from facelab.core.hashing import sha256_file
from facelab.zoo._assets import Asset

LFS = b"version https://git-lfs.github.com/spec/"
MODEL_SUFFIXES = {
    ".onnx",
    ".tflite",
    ".h5",
    ".hdf5",
    ".keras",
    ".dat",
    ".lz4",
    ".npy",
    ".mat",
    ".zip",
}


def what_is_it(path: str | os.PathLike[str]) -> str | None:
    """Return what a file really is when that is nothing a model or an archive can be, else None.

    Recognised: an empty file, a git-LFS pointer, a web page, an XML or JSON error answer, plain text.

    >>> import tempfile; f = Path(tempfile.mkdtemp()) / "m.tflite"; _ = f.write_bytes(b"\\n\\n<!DOCTYPE html><html>")
    >>> what_is_it(f)
    'a web page (HTML), not a model'
    """
    path = Path(path)
    with path.open("rb") as f:
        head = f.read(4096)
    if not head:
        return "an empty file"
    if head.startswith(LFS):
        return "a git-LFS pointer (the model itself was not downloaded)"
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")) or b"<html" in text[:512]:
        return "a web page (HTML), not a model"
    if path.suffix.lower() in MODEL_SUFFIXES:
        if text.startswith((b"<?xml", b"<error")):
            return "an XML document (often a storage service's error answer), not a model"
        if _is_plain_text(head):
            return f"plain text ({head[:40].decode('ascii', 'replace').strip()!r}), not a model"
    return None


def _is_plain_text(head: bytes) -> bool:
    return all(32 <= c < 127 or c in b"\t\r\n" for c in head)


def refuse_impostor(path: str | os.PathLike[str], *, fix: str | None = None) -> None:
    """Raise IntegrityError where `what_is_it` recognises something that is not a model.

    Parameters
    ----------
    path : str or path
        A file that claims to be a model.
    fix : str or None
        What the error tells the reader to do.

    Raises
    ------
    IntegrityError
        The file is empty, a web page, a git-LFS pointer, an error answer or plain text.
    """
    if what := what_is_it(path):
        raise IntegrityError(
            f"the file is {what}",
            where=path,
            expected="a model file",
            got=f"{Path(path).stat().st_size} bytes",
            fix=fix or "fetch the real file",
        )


def problem(path: Path, asset: Asset) -> FacelabError | None:
    """Return what is wrong with a file that should be `asset`, or None.

    The size is compared first, then the SHA-256; the hash is computed once per change of the file and process.
    """
    try:
        size = path.stat().st_size
        promised = size if asset.bytes is None else asset.bytes
        short = size != promised
        if asset.sha256 and not short and file_hash(path) == asset.sha256:
            return None
        what = what_is_it(path)
    except OSError as e:
        return IntegrityError(
            f"{asset.name}: the file cannot be read",
            where=path,
            got=e.strerror,
            fix="check the file's permissions",
        )
    fix = asset.fetch_command
    if what or short:
        kind = what or ("truncated" if size < promised else "too large")
        expected = _promised(asset) if what else f"{asset.bytes} bytes"
        return IntegrityError(
            f"{asset.name}: the file is {kind}",
            where=path,
            expected=expected,
            got=f"{size} bytes",
            fix=fix,
        )
    if not asset.sha256:
        return None
    return IntegrityError(
        f"{asset.name}: the file's content is not the promised one",
        where=path,
        expected=f"sha256 {asset.sha256}",
        got=f"sha256 {file_hash(path)}",
        fix=fix,
    )


def file_hash(path: Path) -> str:
    """Return a file's SHA-256, remembered in this process until its size, time or inode changes."""
    stat = path.stat()
    return _file_hash(path, (stat.st_size, stat.st_mtime_ns, stat.st_ino))


@functools.lru_cache(maxsize=1024)
def _file_hash(path: Path, stamp: tuple[int, int, int]) -> str:
    return sha256_file(path)


def _promised(asset: Asset) -> str:
    size = f"{asset.bytes} bytes" if asset.bytes else "a model"
    return f"{size}, sha256 {asset.sha256}" if asset.sha256 else size
