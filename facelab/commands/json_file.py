"""`--json F`: figures as one JSON document in a file, or on stdout for `-`."""

from __future__ import annotations

import os
from typing import Any

import click

from facelab.commands.common import OutPath, echo, names_in_one_line
from facelab.core import escape
from facelab.core.files import dumps, write_json

json_file_option = click.option(
    "--json",
    "json_path",
    type=OutPath(),
    metavar="F",
    default=None,
    help="Write the figures as one JSON document to F ('-' for stdout).",
)


def emit_file(value: Any, json_path: str | os.PathLike[str] | None, *, text: str) -> None:
    """Print `text` for a reader, and write `value` to `json_path` where one is given.

    With '-' the document goes to stdout and the text to stderr; otherwise the file is written atomically.
    """
    text = escape.block(names_in_one_line(value, text))
    if json_path is not None and os.fspath(json_path) == "-":
        echo(text, err=True)
        echo(dumps(value, indent=2))
        return
    if json_path is not None:
        write_json(json_path, value)
    echo(text)
