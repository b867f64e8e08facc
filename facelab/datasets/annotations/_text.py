"""The text of a file of labels, whatever program wrote it: byte-order marks, line ends, separators."""

from __future__ import annotations

import codecs
from pathlib import Path

from facelab.core.errors import BadInputError
from facelab.core.files import read_input

MOST = 1 << 30
"""Bytes of the largest file of labels that is read."""
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def text_of(path: Path) -> str:
    """Return a file's text. Raises BadInputError where it is neither UTF-8 nor marked as another Unicode form."""
    data = read_input(path, max_bytes=MOST)
    encoding = encoding_of(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise BadInputError(
            "the labels are not UTF-8 text",
            where=f"{path}:{line}",
            expected="UTF-8, or UTF-16 with a byte-order mark",
            got=f"byte {data[e.start]:#04x}",
            fix="save the file as UTF-8: names in another encoding would fit no picture",
        ) from None


def encoding_of(data: bytes) -> str:
    """Return the encoding by the mark at the start of a file; UTF-8 without one.

    >>> encoding_of(b"\\xff\\xfea\\x00"), encoding_of(b"a")
    ('utf-16', 'utf-8')
    """
    return next((name for mark, name in MARKS if data.startswith(mark)), "utf-8")
