"""`facelab …`: finds the command's module only when it is called, so that help answers in milliseconds."""

from __future__ import annotations

import os
import stat
import sys

import click

from facelab.commands.common import LazyGroup
from facelab.core import escape, extras
from facelab.core.errors import BadInputError, FacelabError, from_os
from facelab.core.isolated import protect_children
from facelab.core.process import garbage
from facelab.core.safety.folder_settings import ignore_for
from facelab.core.safety.streams import guard, indented, plain_streams

COMMANDS = {
    "assets": "list, fetch and verify models and data sets",
    "budget": "hold a command to a budget, predict what a model needs on a device",
    "bundle": "gather what an inference team needs, and verify it",
    "camera": "list, probe and record cameras, and measure their formats",
    "compare": "say what got better or worse between two runs",
    "data": "generate synthetic faces",
    "doctor": "say what is installed, what is missing, and how to fix it",
    "doodle": "train, evaluate and run a classifier of drawn hearts",
    "emotion": "train, evaluate and run emotion classifiers",
    "eval": "evaluate detectors, embedders and liveness by the published protocols",
    "feedback": "show emotions as a beating heart, light, vibration and tones",
    "fingerprint": "capture and compare preprocessing fingerprints",
    "gate": "decide whether a candidate may be deployed",
    "index": "keep vectors in collections, search them, and test their stores",
    "init": "start a project of your own",
    "liveness": "say whether a live face is before an RGB-D camera",
    "match": "benchmark matchers and search galleries",
    "memory": "say whether, and why, memory grows",
    "preprocess": "run a preprocessing spec and look at its stages",
    "quantize": "quantise a model and say what that costs",
    "recovery": "show how the service degrades, what that costs, and prove it by faults",
    "release": "verify, promote and roll back the model of a running service",
    "reproduce": "run the notebooks headless and write the report",
    "serve": "answer detect, embed, verify and emotion over local HTTP",
    "trace": "trace the pipeline and say why calls are slow",
}
"""Command name → one line of help. The command itself is `facelab.commands.<name>:command`."""


@click.group(cls=LazyGroup, commands_help=COMMANDS, epilog="Example: facelab doctor")
@click.version_option(package_name="facelab")
def cli() -> None:
    """A workbench for face and emotion models that end up on edge devices."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit: 0 good, 1 a check failed, 2 wrong usage or bad input, 130 interrupted."""
    guard()
    garbage.collect_rarely()
    garbage.end_at_once()
    sys.exit(run(argv))


def run(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code; errors a user can act on are printed without a traceback."""
    argv = sys.argv[1:] if argv is None else argv
    # to look for plugins, pydantic reads the metadata of every installed package
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    protect_children()
    ignore_for("matplotlib")
    with plain_streams():
        return _run(argv)


def _run(argv: list[str]) -> int:
    try:
        _check_empty(argv)
        _check_pipes(argv)
        code = cli.main(args=argv, prog_name="facelab", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except FacelabError as e:
        click.echo(f"error: {e}", err=True)
        return e.exit_code
    except click.ClickException as e:
        # what UsageError.show prints after the usage
        e.message = indented(escape.block(e.message))  # pyright: ignore[reportAttributeAccessIssue]
        e.show()
        return e.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:
        # the reader of our stdout went away (`facelab … | head`): stop quietly, and keep Python from complaining
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as e:
        error = _for_people(e)
        if error is None:
            raise
        click.echo(f"error: {error}", err=True)
        return error.exit_code


def _for_people(e: Exception) -> FacelabError | None:
    """Return the error that a user can act on behind an exception of Python's, or None where facelab is at fault."""
    if isinstance(e, ModuleNotFoundError):
        return extras.absent(e.name)
    if isinstance(e, UnicodeEncodeError):
        return BadInputError(
            "a text cannot be written as bytes",
            got=ascii(e.object[e.start : e.end])[:80],
            fix="rename what holds it",
        )
    if isinstance(e, RecursionError):
        return BadInputError("an input is nested too deeply", fix="check the input files")
    if isinstance(e, RuntimeError) and "Symlink loop" in str(e):  # Path.resolve before Python 3.13
        return BadInputError("a path leads in a circle", got=str(e)[:200], fix="remove the link")
    if isinstance(e, OSError):  # a folder that may not be written, a full disk, a name too long
        return from_os(e)
    if isinstance(e, MemoryError):
        return BadInputError(
            "the memory does not suffice",
            got=str(e)[:200] or None,
            fix="ask for less at once, or use a machine with more memory",
        )
    return None


def _check_empty(argv: list[str]) -> None:
    """Refuse empty words, such as `--labels "$UNSET"` leaves: they would pass for an option that was not given."""
    for k, word in enumerate(argv):
        # `--label-map=blurred=` drops a label: only what follows the first sign is the value
        if word == "" or (word.startswith("--") and word.find("=") == len(word) - 1):
            name = word.rstrip("=") or (
                argv[k - 1] if k and argv[k - 1].startswith("-") else f"word {k + 1}"
            )
            raise BadInputError(
                "an argument is empty",
                where=name,
                expected="a value",
                got=repr(word),
                fix="give a value (a shell variable may not be set), or leave the argument out",
            )


def _check_pipes(argv: list[str]) -> None:
    """Refuse named pipes, sockets and links to devices, whichever option they are given to: nothing ends such an input.

    What a shell offers below /dev and /proc (`/dev/stdin`, `<(command)`) passes, and so does another command's line.
    """
    own = argv[: argv.index("--")] if "--" in argv else argv
    if own[:1] == ["camera"]:
        return  # a link to a camera is a camera
    for word in own:
        for path in {word, word.partition("=")[2]} - {""}:
            try:
                mode = os.stat(path).st_mode  # noqa: PTH116 - Path makes a loop of links a RuntimeError
            except (OSError, ValueError):
                continue
            special = not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
            if special and not os.path.abspath(path).startswith(("/dev/", "/proc/")):  # noqa: PTH100
                raise BadInputError(
                    "the input is not a file",
                    where=path,
                    expected="a file",
                    got="a named pipe" if stat.S_ISFIFO(mode) else "a device or a socket",
                    fix="write its content into a file first",
                )


if __name__ == "__main__":
    main()
