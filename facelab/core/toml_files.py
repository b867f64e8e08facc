"""TOML files that a user named: bounded, and each fault an error that names the file."""

from __future__ import annotations

import os
import re
from typing import Any

from facelab.core.errors import BadInputError
from facelab.core.files import read_input

MAX_TOML = 4 << 20


def read_toml(
    path: str | os.PathLike[str], what: str, *, fix: str = "run facelab inside its checkout"
) -> dict[str, Any]:
    """Read a TOML file, called `what` in errors. Raises BadInputError, with `fix` where it cannot be read at all."""
    try:
        raw = read_input(path, max_bytes=MAX_TOML, what=what)
    except (OSError, ValueError) as e:
        got = getattr(e, "strerror", None) or str(e)[:120]
        raise BadInputError(f"the {what} cannot be read", where=path, got=got, fix=fix) from None
    return loads_toml(raw, what, where=path)


_KEY_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*"""
_TOML_WORD = re.compile(
    rf"(?P<long>(?:{_KEY_PART}){{65}})"
    r"""|\"{3}(?:\\.|[^\\])*?(?:\"{3}|\Z)|'{3}.*?(?:'{3}|\Z)|"(?:\\.|[^"\\\n])*(?:"|\n|\Z)|'[^'\n]*"""
    r"|\#[^\n]*|[A-Za-z0-9_.-]+",
    re.DOTALL,
)
"""A key of more parts than anybody writes, or a string, a comment, a word, in which dots mean nothing."""


def _dotted(text: str) -> bool:
    """Return whether a line has as many dots as a key of too many parts; a key does not go over a line's end."""
    return any(line.count(".") > 63 for line in text.split("\n"))


def loads_toml(text: str | bytes, what: str, *, where: object) -> dict[str, Any]:
    """Parse TOML that came from outside, called `what` in errors. Raises BadInputError, also for endless nesting."""
    import tomllib

    try:
        text = text if isinstance(text, str) else text.decode("utf-8")
        if _dotted(text) and any(word["long"] for word in _TOML_WORD.finditer(text)):
            # the time to read it grows with their square
            raise ValueError("a key has more than 64 parts")
        value = tomllib.loads(text)
    except (
        ValueError,
        RecursionError,
    ) as e:  # what is neither TOML nor UTF-8, numbers of 5 000 digits
        got = "it is nested too deeply" if isinstance(e, RecursionError) else str(e)[:160]
        raise BadInputError(
            f"the {what} is not TOML", where=where, got=got, fix="correct the line"
        ) from None
    return value
