"""One reference page per command, from click's own help."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from facelab.cli import COMMANDS, cli


def pages() -> dict[str, str]:
    """Return {command: Markdown} for each command that `facelab --help` lists."""
    context = click.Context(cli, info_name="facelab")
    found = {}
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        found[name] = "\n".join(_command(command, name, context, 1))
    return found


def overview() -> str:
    """Return a table that links each command's page."""
    rows = [
        f"| [`facelab {name}`](commands/{name}.md) | {help} |" for name, help in COMMANDS.items()
    ]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def _command(command: click.Command, name: str, above: click.Context, level: int) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=above)
    yield from ("#" * level + f" {context.command_path}", "")
    yield from (_text(command.help or ""), "")
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _command(found, inner, context, level + 1)
        return
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield from ("```text", usage, "```", "")
    records = (p.get_help_record(context) for p in command.get_params(context))
    rows = [f"| `{_cell(names)}` | {_cell(help)} |" for names, help in filter(None, records)]
    yield from ("| option | meaning |", "|---|---|", *rows, "")
    if command.epilog:
        words, _, example = command.epilog.partition(": ")
        yield from (f"{words}:", "", "```text", example, "```", "")


def _text(help: str) -> str:
    r"""Return help as Markdown: `\b` marks lines that stay as they are."""
    parts = []
    for part in help.split("\n\n"):
        kept = part.removeprefix("\b\n")
        parts.append(kept if kept == part else f"```text\n{kept}\n```")
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    """Return text for a cell of a table, without limits that are those of a 64-bit number."""
    text = re.sub(r";?\s*\d+<=x<=\d{9,}", "", " ".join(text.split())).replace(" []", "")
    return text.replace("|", "\\|").replace("<", "&lt;")
