"""Temporary folders and files that outlive no process: what a killed one left, the next one removes.

A temporary folder or file of facelab has a reserved form of name and is locked (`flock`) by the process that made it.
The system releases the lock when the process ends, however it ends. What has such a name and no lock has no owner.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
import time
import weakref
from pathlib import Path

MARK = ".fltmp"
"""What the name of a temporary folder ends with, and what stands before a temporary file's own suffix."""
SETTLED_S = 60.0
"""A temporary file without a lock is removed after this time; a library may have replaced the one that was locked."""
_FILE = re.compile(r"\.[a-z0-9_]{8}\.fltmp(?:\.[^.]*)?$")
_POSIX = os.name == "posix"
_swept: set[tuple[int, str]] = set()


class ScratchFolder(tempfile.TemporaryDirectory[str]):
    """`tempfile.TemporaryDirectory` whose leftovers are removed by the next process that makes one there.

    Parameters
    ----------
    prefix : str
        What the folder's name begins with.
    dir : path or None
        Where the folder is made; without it, where the system keeps temporary files.

    Examples
    --------
    >>> with ScratchFolder(prefix="facelab-example-") as name:
    ...     Path(name).is_dir()
    True
    """

    def __init__(self, prefix: str = "facelab-", dir: str | os.PathLike[str] | None = None):
        place = os.fspath(dir) if dir is not None else tempfile.gettempdir()
        _sweep_once(place)
        while True:
            super().__init__(prefix=prefix, suffix=MARK, dir=place)
            held = _hold(self.name)
            if held is not None:
                break
            # another process's sweep came between the folder and its lock
            super().cleanup()
        self._release = weakref.finalize(self, _close, held)

    def keep(self, target: str | os.PathLike[str]) -> None:
        """Give the folder, now whole, its lasting name on the same disk.

        Raises OSError where it cannot be moved there; it then stays as it was.

        Examples
        --------
        >>> with ScratchFolder() as outer:
        ...     made = ScratchFolder(dir=outer)
        ...     made.keep(Path(outer, "whole"))
        ...     os.listdir(outer)
        ['whole']
        """
        os.rename(self.name, target)  # noqa: PTH104
        self.cleanup()  # of a folder that has gone: its lock and its end at exit

    def cleanup(self) -> None:
        """Remove the folder."""
        super().cleanup()
        self._release()

    def __exit__(self, *_: object) -> None:
        self.cleanup()


def temporary_file(target: Path) -> tuple[int, Path]:
    """Make an empty file beside `target` with its suffix and return (a descriptor that holds its lock, its path).

    The caller closes the descriptor once the file is renamed or removed.
    """
    folder = os.fspath(target.parent)
    _sweep_once(folder)
    fd, name = tempfile.mkstemp(
        prefix=f".{target.stem[:40]}.", suffix=MARK + target.suffix, dir=folder
    )
    _locked(fd)
    return fd, Path(name)


def sweep(folder: str | os.PathLike[str]) -> list[str]:
    """Remove what processes that are gone left in a folder, and return the names.

    What a living process holds stays, also one of another container. So does what belongs to somebody else.
    """
    removed: list[str] = []
    if not _POSIX:
        return removed
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            is_folder = entry.name.endswith(MARK)
            if is_folder or _FILE.search(entry.name):
                with contextlib.suppress(OSError):
                    if _remove(entry.path, is_folder):
                        removed.append(entry.name)
    return removed


def remove_tree(folder: str | os.PathLike[str]) -> None:
    """Remove a folder as `shutil.rmtree` does, however deep it is; what cannot be removed stays."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:  # before Python 3.13, for folders a thousand deep
        with contextlib.suppress(OSError):
            while _raise_one_level(os.fspath(folder)):
                pass
        shutil.rmtree(folder, ignore_errors=True)


def _raise_one_level(top: str) -> bool:
    """Move the folders within a folder's folders up into it; return whether there were any."""
    with os.scandir(top) as entries:
        children = [e.path for e in entries if e.is_dir(follow_symlinks=False)]
    moved = False
    for child in children:
        with os.scandir(child) as entries:
            below = [e.path for e in entries if e.is_dir(follow_symlinks=False)]
        for folder in below:
            os.rename(folder, os.path.join(top, os.urandom(8).hex()))  # noqa: PTH104, PTH118
            moved = True
        shutil.rmtree(child, ignore_errors=True)
    return moved


def _remove(path: str, is_folder: bool) -> bool:
    kind = os.O_DIRECTORY if is_folder else os.O_NONBLOCK
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind)
    try:
        facts = os.fstat(fd)
        if facts.st_uid != os.geteuid():
            return False
        if not is_folder and not _settled(facts):
            return False
        if not _locked(fd) or not os.path.samestat(facts, os.lstat(path)):
            return False
        if is_folder:
            remove_tree(path)
        else:
            os.unlink(path)  # noqa: PTH108
        return True
    finally:
        os.close(fd)


def _settled(facts: os.stat_result) -> bool:
    return stat.S_ISREG(facts.st_mode) and time.time() - facts.st_mtime > SETTLED_S


def _locked(fd: int, *, wait: bool = False) -> bool:
    """Lock an open file or folder and return whether that was possible: some file systems have no locks."""
    if not _POSIX:
        return False
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _hold(folder: str) -> int | None:
    """Lock a folder and return the descriptor that holds the lock, or None where the folder is gone."""
    if not _POSIX:
        return -1
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    _locked(fd, wait=True)
    if os.path.isdir(folder):  # noqa: PTH112
        return fd
    os.close(fd)
    return None


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


def _sweep_once(folder: str) -> None:
    """Sweep a folder once in each process: thousands of pictures may be written into it."""
    key = (os.getpid(), os.path.abspath(folder))  # noqa: PTH100
    if key not in _swept:
        _swept.add(key)
        sweep(folder)
