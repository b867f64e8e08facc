"""What commands share: the `--json` option, output streams, progress on standard error."""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from facelab.core import escape
from facelab.core.errors import did_you_mean
from facelab.core.files import check_writable, dumps
from facelab.core.narrow import is_path
from facelab.core.safety.streams import indented

MOST_NAMES = 200
"""How many names with line breaks are looked for in a text."""

json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON document on stdout; everything else goes to stderr.",
)


def _trusting(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        os.environ["FACELAB_TRUST_MODEL"] = "1"


strict_option = click.option(
    "--strict",
    is_flag=True,
    help="Exit with 1 where a figure is so absurd that the input is likely wrong.",
)

trust_model_option = click.option(
    "--trust-model",
    is_flag=True,
    expose_value=False,
    callback=_trusting,
    help="Let TensorFlow run the model without a sandbox: only for one whose maker you know.",
)


class _Finite(click.ParamType):
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):  # NaN passes every comparison with a range's ends
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class Float(_Finite, click.types.FloatParamType):
    """A finite number."""


class FloatRange(_Finite, click.FloatRange):
    """A finite number between two ends."""


THREADS = click.IntRange(1, 1024)
"""Threads, processes or steps at once."""
SEED = click.IntRange(0, 2**63 - 1)
SEED_31 = click.IntRange(0, 2**31 - 1)
"""A seed that TensorFlow takes too."""

Decorator = Callable[[Any], Any]


def together(*options: Decorator) -> Decorator:
    """Return one decorator that adds several options, listed by `--help` in this order."""

    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


class OutPath(click.Path):
    """A file, or with `folder` a folder, to write: refused before any work where it cannot be written. "-" passes."""

    def __init__(self, *, folder: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.folder = folder

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check and return the path; raises BadInputError for what cannot be written."""
        if str(value) != "-":
            check_writable(value, folder=self.folder)
        return super().convert(value, param, ctx)


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, not when help lists them.

    `commands_help` maps a command's name to one line of help; the command is `command` in the module
    `facelab.commands.<prefix><name>`. A name whose module does not exist is not offered.
    """

    def __init__(self, *args: Any, commands_help: dict[str, str], prefix: str = "", **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.commands_help, self.prefix = commands_help, prefix

    def _module(self, name: str) -> str | None:
        module = f"facelab.commands.{self.prefix}{name}"
        return module if name in self.commands_help and importlib.util.find_spec(module) else None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in self.commands_help if self._module(name)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        module = self._module(name)
        return importlib.import_module(module).command if module else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self._module(args[0]) is None:
            hint = did_you_mean(args[0], self.list_commands(ctx))
            raise click.UsageError(f"no command named {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, self.commands_help[name]) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def echo(text: str, *, err: bool = False) -> None:
    """Print text; where the reader has gone, the streams of `facelab.cli` drop it."""
    click.echo(text, err=err)


def emit(value: Any, *, as_json: bool, text: str) -> None:
    """Print `value` as one JSON document, or `text` for a reader."""
    echo(dumps(value, indent=2) if as_json else escape.block(names_in_one_line(value, text)))


def names_in_one_line(value: Any, text: str) -> str:
    """Return `text` with what `value` holds in one line each: no name may pass for a line of facelab's own.

    >>> names_in_one_line({"file": "a.jpg\\nPASS"}, "1 face in a.jpg\\nPASS")
    '1 face in a.jpg\\\\nPASS'
    """
    found: set[str] = set()
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if "\n" in item:
                found.add(item)
        elif isinstance(item, dict):
            stack += [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple)):
            stack += item
        elif is_path(item):
            stack.append(str(item))
    if len(found) > MOST_NAMES:
        # nobody names files so; all in one line forges nothing, and takes no minutes
        return escape.line(text)
    for name in sorted(found, key=len, reverse=True):
        text = text.replace(name, escape.line(name))
    return text


def note(message: str) -> None:
    """Print a remark on standard error; its further lines are indented, so that none passes for a verdict."""
    echo(indented(escape.block(message)), err=True)


def warn_first(text: str, suspicion: Any | None) -> str:
    """Return a report's text with a suspicion as its first line."""
    return text if suspicion is None else f"{suspicion}\n{text}"


def progress(iterable: Any, *, description: str, total: int | None = None) -> Iterable[Any]:
    """Iterate with a progress bar on standard error (a terminal only; silent otherwise)."""
    if not sys.stderr.isatty():
        return iterable
    from rich.console import Console
    from rich.markup import escape as without_markup
    from rich.progress import track

    return track(
        iterable,
        description=without_markup(escape.line(description)),
        total=total,
        console=Console(stderr=True),
    )


def say_model(model: object, more: str = "") -> None:
    """Say in one line what a model that the user named was recognised as; `more` is its family and preprocessing.

    A model that nobody named is a path, whose folder is said too: trainings leave files of one name.
    """
    from facelab.zoo.given import recognised

    chosen = f" in {model.parent}, since none was named" if isinstance(model, Path) else ""
    note(f"model: {recognised(str(model))}{chosen}" + (f"; {more}" if more else ""))
