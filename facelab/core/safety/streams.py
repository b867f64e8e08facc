"""Standard streams that show control characters as their escapes, from every writer.

Commands escape the names that they print. What does not pass through them (a warning of a library, a log line, the
traceback of a thread) passes through here. Bars of rich write to the stream behind: they escape their own texts.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Generator, Iterable
from types import TracebackType
from typing import Any, TextIO

from facelab.core import escape

_FURTHER = re.compile(r"\n(?! |$)")


def indented(text: str) -> str:
    """Return text whose lines after the first begin with a blank, so that none passes for a verdict.

    >>> indented("a name\\nPASS\\n")
    'a name\\n  PASS\\n'
    """
    return _FURTHER.sub("\n  ", text)


class PlainStream:
    """A text stream in front of another: all but visible characters, line breaks and tabs become escapes."""

    def __init__(self, stream: TextIO):
        self.rich_proxied_file = stream  # by this name rich finds it
        if isinstance(stream, io.TextIOWrapper):  # a terminal of ISO 8859-1, a name not in UTF-8
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: object) -> int:
        """Write text and return how many characters it had."""
        if not isinstance(text, str):
            raise TypeError(f"a text stream takes str, not {type(text).__name__}")
        with self._until_nobody_reads():
            self.rich_proxied_file.write(escape.block(text))
        return len(text)

    def flush(self) -> None:
        """Write what is kept back."""
        with self._until_nobody_reads():
            self.rich_proxied_file.flush()

    @contextlib.contextmanager
    def _until_nobody_reads(self) -> Generator[None]:
        """Where the reader has gone (`facelab … | head`), drop the rest: the exit code stays what it is."""
        try:
            yield
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.rich_proxied_file.fileno())
            os.close(nowhere)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


class _Indented(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return indented(super().format(record))


def _show(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any
) -> None:
    print(indented(f"{category.__name__}: {message}"), file=sys.stderr)


def _failed(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    import traceback  # here: few commands fail, and each pays for what is imported above

    shown = "".join(traceback.format_exception(kind, error, trace))
    print(indented(shown), end="", file=sys.stderr)


def _thread_failed(args: Any) -> None:
    if args.exc_type is not SystemExit:
        _failed(args.exc_type, args.exc_value, args.exc_traceback)


def _put_in_place() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, PlainStream):
            setattr(sys, name, PlainStream(stream))


def guard() -> None:
    """Put the plain streams in place, and let warnings, logs and tracebacks keep to their own lines."""
    _put_in_place()
    warnings.showwarning = _show  # type: ignore[assignment]
    sys.excepthook, threading.excepthook = _failed, _thread_failed
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Indented())


@contextlib.contextmanager
def plain_streams() -> Generator[None]:
    """Put the plain streams in place until the block ends: for a command that runs within another program."""
    before = sys.stdout, sys.stderr
    _put_in_place()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
