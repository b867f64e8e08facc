"""Atomic writes and strict reads: a file is either the old one or the whole new one."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import re
import stat
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from facelab.core.errors import NO_ROOM, BadInputError
from facelab.core.narrow import is_numbers, is_path
from facelab.core.safety import scratch

if TYPE_CHECKING:
    import numpy as np

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
"""What names of files with pictures end with, in lower case."""


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Generator[None]:
    """Name `path` in what this block raises where a disk is full: the system does not say where a write found no room.

    >>> with naming("a.txt"):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    OSError: [Errno 28] No space left on device: 'a.txt'
    """
    try:
        yield
    except OSError as e:
        if e.filename is None and e.errno in NO_ROOM:
            e.filename = os.fspath(path)
        raise


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Generator[Path]:
    """Yield a temporary path beside `path`, renamed onto it when the block ends well, removed otherwise.

    Parent folders are created. The temporary name keeps the suffix, since many writers choose the format by it. A
    symbolic link stays one: what it points to is written.

    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
    >>> with atomic_path(target) as tmp:
    ...     _ = tmp.write_text("whole")
    >>> target.read_text(), [p.name for p in target.parent.iterdir()]
    ('whole', ['a.txt'])
    """
    path = Path(path)
    if path.is_symlink():
        path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    held, tmp = scratch.temporary_file(path)
    try:
        with naming(path):
            yield tmp
        # mkstemp makes the file private; give it the mode an ordinary open() would have.
        umask = os.umask(0)
        os.umask(umask)
        tmp.chmod(0o666 & ~umask)
        tmp.replace(path)
    finally:
        tmp.unlink(missing_ok=True)
        os.close(held)


def check_writable(path: str | os.PathLike[str], *, folder: bool = False) -> None:
    """Raise BadInputError if a file (or with `folder` a folder) cannot be written to `path`, before any work is done.

    Nothing is created. Devices and pipes are refused: an atomic write would replace them.

    >>> check_writable(os.devnull)
    Traceback (most recent call last):
    facelab.core.errors.BadInputError: the output cannot be written
      where:    /dev/null
      expected: a file in a place that you may write to
      got:      a device or a pipe
      fix:      choose another path
    """
    got = None
    try:
        path = Path(path)
        base = path if folder else path.parent
        while not base.exists():
            base = base.parent
        if path.is_dir() and not folder:
            got = "a folder"
        elif path.is_file() and folder:
            got = "a file"
        elif (
            path.exists() and not (path.is_dir() or path.is_file())
        ) or path.absolute().parent == Path("/dev"):
            got = "a device or a pipe"  # /dev/stdout too, though it may lead to a plain file
        elif not base.is_dir():
            got = f"{base} is a file"
        elif not os.access(base, os.W_OK | os.X_OK) or _of_the_kernel(base.resolve()):
            got = f"{base.resolve()} may not be written to"
    except OSError as e:
        got = e.strerror
    if got is not None:
        raise BadInputError(
            "the output cannot be written",
            where=path,
            got=got,
            fix="choose another path",
            expected=f"a {'folder' if folder else 'file'} in a place that you may write to",
        )


def _of_the_kernel(folder: Path) -> bool:
    """Return whether a folder is a view of the kernel: root has every right there, and can make no file."""
    return any(folder.is_relative_to(view) for view in ("/proc", "/sys"))


def open_input(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a file that the user named for reading. A pipe that nobody writes to would block for ever: it is refused.

    What a shell offers below /dev and /proc (`/dev/stdin`, `<(command)`) is opened. Raises BadInputError for a named
    pipe, a socket, a device or a view of the kernel (`/proc/kmsg`), OSError as `open` does.
    """
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        status = os.fstat(fd)
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        # /proc/kmsg and its like count as files and give bytes for ever, or make the reader wait for them
        view = stat.S_ISREG(mode) and not status.st_size and _of_the_kernel(Path(path).resolve())
        plain = stat.S_ISREG(mode) or os.path.abspath(path).startswith(("/dev/", "/proc/"))  # noqa: PTH100
        if view or not plain:
            raise BadInputError(
                "the input is not a file",
                where=path,
                expected="a file",
                got="a view of the kernel"
                if view
                else "a named pipe"
                if stat.S_ISFIFO(mode)
                else "a device or a socket",
                fix="write its content into a file first",
            )
        os.set_blocking(fd, True)
        return os.fdopen(fd, "rb")
    except BaseException:
        os.close(fd)
        raise


def read_input(path: str | os.PathLike[str], *, max_bytes: int, what: str = "file") -> bytes:
    """Return the bytes of a file that the user named, at most `max_bytes`; see `open_input` for what it raises."""
    with open_input(path) as f:
        data = f.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise BadInputError(
            f"the {what} is too large to be read",
            where=path,
            expected=f"at most {max_bytes} bytes",
            got="more",
            fix="check that this is the right file",
        )
    return data


LARGEST_MODEL = (1 << 31) - 1
"""Bytes that a protocol buffer or a flat buffer can address; models of other forms are bounded by `hashing.LARGEST`."""


def read_model(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a model's file: those of a link to a device, or of a sparse file, would fill the memory."""
    return read_input(path, max_bytes=LARGEST_MODEL, what="model")


def is_count(text: str | bytes) -> bool:
    """Return whether a text is a whole number of at most 15 ASCII digits, blanks around it allowed.

    `str.isdigit` also says yes to "²" and to 5 000 digits, which `int` refuses.

    >>> is_count(" 12 "), is_count("²"), is_count(b"7"), is_count("9" * 5000)
    (True, False, True, False)
    """
    stripped = text.strip()
    return stripped.isascii() and stripped.isdigit() and len(stripped) <= 15


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write `data` to `path` atomically and return the path."""
    with atomic_path(path) as tmp:
        tmp.write_bytes(data)
    return Path(path)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write `text` as UTF-8 with newlines untouched, atomically, and return the path."""
    return write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Any) -> Path:
    """Write `value` as indented JSON, atomically. NaN and infinity raise ValueError: JSON has neither."""
    return write_text(path, dumps(value, indent=2) + "\n")


def write_npy(path: str | os.PathLike[str], array: np.ndarray) -> Path:
    """Write one array as `.npy` without pickles, atomically."""
    import numpy as np  # here and below: every command imports this module, and numpy is half of `facelab --help`

    with atomic_path(path) as tmp, tmp.open("wb") as f:
        # into a file itself, NumPy writes by itself, and what it raises on a full disk does not say so
        np.save(_Written(f), array, allow_pickle=False)
    return Path(path)


class _Written:
    """A file that can only be written."""

    def __init__(self, file: BinaryIO):
        self.write = file.write


_HIDDEN = re.compile("[\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Characters that a terminal obeys, that turn the reading direction, or that have no bytes: JSON can escape them."""
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A JSON string, or the rest of the text where it does not end."""
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _plain(value: Any) -> Any:
    if is_numbers(value):
        return value.tolist()
    if is_path(value):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Return JSON text; numpy scalars and arrays and paths become plain values; NaN and infinity raise.

    >>> import numpy as np
    >>> dumps({"a": np.float32(0.5), "b": np.arange(2)})
    '{"a": 0.5, "b": [0, 1]}'
    """
    text = json.dumps(value, indent=indent, default=_plain, allow_nan=False, ensure_ascii=False)
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def loads_strict(
    text: str | bytes, *, where: object = None, max_bytes: int = 8 << 20, max_depth: int = 64
) -> Any:
    """Parse JSON that came from outside: no duplicate keys, no NaN or infinity, bounded size and depth.

    Raises BadInputError naming `where`, with line and column for a syntax error.

    >>> loads_strict('{"a": 1, "a": 2}', where="x.json")
    Traceback (most recent call last):
    facelab.core.errors.BadInputError: the JSON has the key 'a' twice in one object
      where:    x.json
      fix:      keep one of the two
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > max_bytes:
        raise BadInputError(
            "the JSON is too large to be read",
            where=where,
            expected=f"at most {max_bytes} bytes",
            got=f"{len(raw)} bytes",
            fix="check that this is the right file",
        )
    _check_depth(raw, where, max_depth)
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=lambda pairs: _no_twins(pairs, where),
            parse_constant=lambda name: _no_constant(name, where),
            parse_float=lambda s: _finite(s, where),
            parse_int=_whole,
        )
        if _ESCAPED_SURROGATE.search(raw):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except ValueError as e:
        raise _unreadable(e, where) from None


def _unreadable(error: ValueError, where: object) -> BadInputError:
    """Return the error for JSON that Python's parser refuses."""
    match error:
        case UnicodeEncodeError():
            return BadInputError(
                "the JSON holds half a character (a lone surrogate)",
                where=where,
                expected="Unicode text",
                fix="write the file again",
            )
        case UnicodeDecodeError():
            return BadInputError(
                "the file is not UTF-8 text",
                where=where,
                got=f"byte {error.start} cannot be decoded",
                fix="check that this is a JSON file",
            )
        case json.JSONDecodeError():
            return BadInputError(
                "the JSON cannot be parsed",
                where=f"{where}:{error.lineno}:{error.colno}" if where else None,
                got=error.msg,
                fix="the file may be truncated; write it again",
            )
        case _:
            # int() refuses literals of more than 4300 digits with a plain ValueError
            return BadInputError(
                "the JSON holds a number that cannot be read",
                where=where,
                got=str(error)[:120],
                fix="write the file again",
            )


def _whole(text: str) -> int:
    value = int(text)
    if abs(value) >= 1 << 1023:
        raise ValueError(f"a whole number of {len(text)} digits")
    return value


def _check_depth(raw: bytes, where: object, max_depth: int) -> None:
    if raw.count(b"[") + raw.count(b"{") <= max_depth:
        return
    depth = 0
    for c in _STRING.sub(b"", raw).translate(None, _NOT_BRACKETS):
        if c not in b"[{":
            depth -= 1
            continue
        depth += 1
        if depth > max_depth:
            raise BadInputError(
                "the JSON is nested too deeply",
                where=where,
                expected=f"at most {max_depth} levels",
                got=f"more than {max_depth}",
                fix="check that this is the right file",
            )


def _no_twins(pairs: list[tuple[str, Any]], where: object) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise BadInputError(
                f"the JSON has the key {key[:80]!r} twice in one object",
                where=where,
                fix="keep one of the two",
            )
        out[key] = value
    return out


def _no_constant(name: str, where: object) -> None:
    raise BadInputError(
        "the JSON holds a value that JSON does not have",
        where=where,
        expected="finite numbers",
        got=name,
        fix="write the file again without NaN and infinity",
    )


def _finite(text: str, where: object) -> float:
    value = float(text)
    if not math.isfinite(value):
        _no_constant(text[:40], where)
    return value


def read_json(
    path: str | os.PathLike[str], *, max_bytes: int = 8 << 20, max_depth: int = 64
) -> Any:
    """Read a JSON file strictly (see `loads_strict`). Raises BadInputError if it is missing or malformed."""
    path = Path(path)
    try:
        raw = read_input(path, max_bytes=max_bytes, what="JSON file")
    except (OSError, ValueError) as e:
        got = getattr(e, "strerror", None) or str(e)[:120]
        raise BadInputError(
            "the file cannot be read", where=path, got=got, fix="check the path"
        ) from None
    return loads_strict(raw, where=path, max_bytes=max_bytes, max_depth=max_depth)
