"""Text and CSV files that a user named."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Generator
from contextlib import contextmanager

from facelab.core.errors import BadInputError
from facelab.core.files import open_input, read_input


def read_text(path: str | os.PathLike[str], what: str, *, max_bytes: int, fix: str) -> str:
    """Return the text of a UTF-8 file, called `what` in errors.

    Raises BadInputError for a file of more than `max_bytes`, and with `fix` where it cannot be read at all.
    """
    try:
        return read_input(path, max_bytes=max_bytes, what=what).decode("utf-8")
    except (OSError, ValueError) as e:
        got = getattr(e, "strerror", None) or str(e)[:120]
        raise BadInputError(f"the {what} cannot be read", where=path, got=got, fix=fix) from None


MOST_TEXT = 256 << 20
"""Bytes of a list of pairs, of pictures or of sentences."""


def decoded(
    path: str | os.PathLike[str], encoding: str = "utf-8", *, max_bytes: int = MOST_TEXT
) -> str:
    """Return a file's text as `Path.read_text` does, of at most `max_bytes`.

    Raises what reading raises (OSError, UnicodeDecodeError), and BadInputError as `read_input` does.
    """
    data = io.BytesIO(read_input(path, max_bytes=max_bytes))
    return io.TextIOWrapper(data, encoding=encoding).read()


def separator(line: str) -> str:
    """Return what separates the columns of a table by its first line: a comma, else a semicolon, else a tab.

    >>> separator("path;x1;y1"), separator("path,x1"), separator("path")
    (';', ',', ',')
    """
    return next((s for s in (",", ";", "\t") if s in line), ",")


@contextmanager
def opened_table(path: str | os.PathLike[str]) -> Generator[csv.DictReader[str]]:
    """Open a table whose first line names the columns, whatever spreadsheet wrote it.

    UTF-8, or UTF-16 with its byte-order mark; columns separated as `separator` says. Raises what reading raises:
    OSError, ValueError, csv.Error.
    """
    source = open_input(path)
    start = source.peek(2)  # a pipe cannot be read twice
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    first = (start.decode(encoding, "ignore").splitlines() or [""])[0]
    with io.TextIOWrapper(source, encoding=encoding, newline="") as f:
        yield csv.DictReader(f, delimiter=separator(first))


def read_csv(path: str | os.PathLike[str], what: str, *, fix: str) -> list[dict[str, str]]:
    """Read a CSV file, called `what` in errors, as one dict a row, in the forms that `opened_table` takes.

    Raises BadInputError, with `fix` where it cannot be read at all, for rows with more or fewer values than the head,
    and for a head that names a column twice.
    """
    rows: list[dict[str, str]] = []
    try:
        with opened_table(path) as reader:
            _check_head(list(reader.fieldnames or ()), what, path)
            for row in reader:
                if None in row or None in row.values():
                    got = sum(v is not None for k, v in row.items() if k is not None) + len(
                        row.get(None, ())
                    )
                    raise BadInputError(
                        f"a row of the {what} has a different number of values than the first line",
                        where=f"{path}:{reader.line_num}",
                        expected=", ".join(reader.fieldnames or ()),
                        got=f"{got} values",
                        fix="correct the row",
                    )
                if any("\0" in value for value in row.values()):
                    raise BadInputError(
                        f"a row of the {what} holds a NUL character",
                        where=f"{path}:{reader.line_num}",
                        fix="write the file again as text",
                    )
                rows.append(row)
    except (OSError, ValueError, csv.Error) as e:
        raise BadInputError(
            f"the {what} cannot be read",
            where=path,
            expected="a CSV file in UTF-8",
            fix=fix,
            got=getattr(e, "strerror", None) or str(e)[:120],
        ) from None
    return rows


def _check_head(head: list[str], what: str, path: str | os.PathLike[str]) -> None:
    if len(set(head)) < len(head):
        raise BadInputError(
            f"the first line of the {what} names a column twice",
            where=f"{path}:1",
            expected="each column once",
            got=", ".join(head)[:200],
            fix="rename or remove one of them: only the last would be read",
        )
