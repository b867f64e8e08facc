"""`facelab …`: finds the command's module only when it is called, so that help answers in milliseconds."""

from __future__ import annotations

import os
import sys

import click

from facelab.commands.common import LazyGroup
from facelab.core.errors import FacelabError

COMMANDS = {
    "assets": "list, fetch and verify models and data sets",
    "bundle": "gather what an inference team needs, and verify it",
    "compare": "say what got better or worse between two runs",
    "data": "generate synthetic faces",
    "doctor": "say what is installed, what is missing, and how to mend it",
    "emotion": "train, evaluate and run emotion classifiers",
    "eval": "evaluate detectors and embedders by the published protocols",
    "fingerprint": "capture and compare preprocessing fingerprints",
    "gate": "decide whether a candidate may be deployed",
    "match": "benchmark matchers and search galleries",
    "preprocess": "run a preprocessing spec and look at its stages",
    "quantize": "quantise a model and say what that costs",
    "reproduce": "run the notebooks headless and write the report",
}
"""Command name → one line of help. The command itself is `facelab.commands.<name>:command`."""


@click.group(cls=LazyGroup, commands_help=COMMANDS, epilog="Example: facelab doctor")
@click.version_option(package_name="facelab")
def cli() -> None:
    """A workbench for face and emotion models that end up on edge devices."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit: 0 good, 1 a check failed, 2 wrong usage or bad input, 130 interrupted."""
    sys.exit(run(argv))


def run(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code; errors a user can act on are printed without a traceback."""
    try:
        code = cli.main(args=argv, prog_name="facelab", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except FacelabError as e:
        click.echo(f"error: {e}", err=True)
        return e.exit_code
    except click.ClickException as e:
        e.show()
        return e.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:
        # the reader of our stdout went away (`facelab … | head`): stop quietly, and keep Python from complaining
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    main()
