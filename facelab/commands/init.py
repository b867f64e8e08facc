"""`facelab init`: start your own project."""

from __future__ import annotations

import shlex

import click

from facelab.commands.common import OutPath, emit, json_option


@click.command("init", epilog="Example: facelab init my-project")
@click.argument("folder", type=OutPath(folder=True), metavar="DIR")
@json_option
def command(folder: str, as_json: bool) -> int:
    """Write a small project into DIR: a plan, a notebook, its own module and a Makefile.

    `facelab reproduce` runs it, and `notebooks/plan.toml` marks the project's root. Nothing is replaced.
    """
    from facelab.reproduce.internals import create_project

    made = [str(path) for path in create_project(folder)]
    text = "\n".join(
        [
            *(f"wrote {path}" for path in made),
            f"Next: cd {shlex.quote(str(folder))} && facelab reproduce",
        ]
    )
    emit({"schema": "facelab.project/1", "files": made}, as_json=as_json, text=text)
    return 0
