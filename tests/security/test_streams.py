"""Issue 22.15: no writer to a command's streams gets a control character through, and no line is forged."""

import ast
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from nasty import FORBIDDEN, NASTY

from facelab import cli
from facelab.commands.common import OutPath
from facelab.core.files import dumps
from facelab.core.safety.streams import PlainStream, plain_streams

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "\x1b[2J\x9b2J\x07a\u202e\nPASS: all good\r\x08b"
WRITERS = {
    "print": "print(NAME.replace(chr(10), ''))",
    "echo": "click.echo(NAME.replace(chr(10), ''), err=True)",
    "warning": "warnings.warn(NAME)",
    "log": "logging.getLogger('x').warning(NAME)",
    "thread": "t = threading.Thread(target=int, args=(NAME,)); t.start(); t.join()\nraise ValueError(NAME)",
    "crash": "raise ZeroDivisionError(NAME)",
    "usage": "raise click.UsageError(NAME)",
    "error": "raise BadInputError(NAME, where=NAME, got=NAME, fix=NAME)",
}


@pytest.mark.parametrize("writer", WRITERS)
def test_what_a_new_command_writes_is_plain(writer):
    """The command is not facelab's: it stands for one that somebody adds, and that escapes nothing itself."""
    program = (
        "import logging, sys, threading, warnings\n"
        "import click\n"
        "from facelab import cli\n"
        "from facelab.commands import match\n"
        "from facelab.core.errors import BadInputError\n"
        f"NAME = {NAME!a}\n"
        "def evil():\n    " + WRITERS[writer].replace("\n", "\n    ") + "\n"
        "match.command = click.Command('match', callback=evil)\n"
        "cli.main(['match'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert "PASS" in text, "the name was not shown"
    assert not [c for c in FORBIDDEN if c in text], text
    assert not [line for line in text.splitlines() if line.startswith("PASS")], text


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY)
def test_json_holds_the_name_and_no_control_character(name):
    text = dumps({name: [name]}, indent=2)
    text.encode("utf-8")
    assert json.loads(text) == {name: [name]}
    assert not [c for c in FORBIDDEN if c in text]


def test_a_bar_writes_to_the_stream_behind():
    from rich.console import Console

    stream = io.StringIO()
    console = Console(file=PlainStream(stream), force_terminal=True)
    console.print("[red]x[/]")
    assert "\x1b[31m" in stream.getvalue()


def test_the_live_display_shows_no_notebooks_escapes():
    from rich.console import Console

    from facelab.reproduce._progress import Display, LiveDisplay

    for make in (
        lambda s: Display(s),
        lambda s: LiveDisplay(Console(file=s, force_terminal=True, width=200)),
    ):
        stream = io.StringIO()
        display = make(stream)
        display.start(NAME)
        progress = {"heading": NAME, "last_line": NAME, "cell": 1, "cells": 2}
        display.tick([(NAME, progress, 1.0)])
        display.finished({"step": NAME, "state": "failed", "failure": {"what": NAME}})
        display.finished({"step": "a", "state": "done", "seconds": 1.0, "verdict": NAME})
        display.say(NAME)
        display.close()
        text = stream.getvalue()
        assert "PASS" in text
        assert not [c for c in "\x9b\x07\u202e\x08" if c in text] and "\x1b[2Ja" not in text
        assert not [line for line in text.splitlines() if re.match(r"\W{0,2}PASS", line)]


def test_the_streams_are_put_back():
    before = sys.stdout, sys.stderr
    with plain_streams():
        assert isinstance(sys.stdout, PlainStream)
        with pytest.raises(TypeError, match="takes str"):
            sys.stdout.write(b"")
    assert (sys.stdout, sys.stderr) == before


PRINTERS = {"click.echo", "click.secho", "print", "sys.stdout.write", "sys.stderr.write"}
MAY = {("common.py", "click.echo"), ("gate.py", "click.echo"), ("fingerprint.py", "click.echo")}
"""`common.echo` itself; a policy that ships; a fingerprint's JSON, whose characters `dumps` escapes."""


def test_commands_print_through_one_function():
    """`emit`, `emit_file`, `note` and `echo` know of names, of readers that go away, and of JSON on stdout."""
    found = set()
    for path in (REPOSITORY / "facelab" / "commands").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) in PRINTERS:
                found.add((path.name, name))
    assert found <= MAY


def test_children_do_not_write_to_the_terminal_themselves():
    """Their output is captured or dropped; hogs of studies print nothing, and a budget's command is the user's."""
    starts = {"lifetime.Popen", "lifetime.run", "subprocess.Popen", "subprocess.run"}
    loose = []
    for path in (REPOSITORY / "facelab").rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if "Popen(" in text or ".run(" in text else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                name = f"{getattr(node.func.value, 'id', '')}.{node.func.attr}"
                words = {k.arg for k in node.keywords}
                if name in starts and not words & {"stderr", "capture_output"}:
                    loose.append(path.relative_to(REPOSITORY / "facelab").as_posix())
    hogs = {"studies/feedback_schedule.py", "studies/planted_delays.py"}
    assert set(loose) <= {"budget/_run.py", *hogs}


def leaves(command, words, ctx):
    import click

    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            yield from leaves(command.get_command(ctx, name), [*words, name], ctx)
    else:
        yield words, command


def text_options(command):
    """Return the options and arguments of a command that take a text or a path."""
    import click

    for parameter in command.params:
        free = isinstance(parameter.type, (click.Path, click.types.StringParamType))
        if free and not getattr(parameter, "is_flag", False):
            yield parameter


WORKS = {"scheduler", "records", "reports", "allow_host", "backbone_layer"}
"""Options that take any text, so that a call with nothing else wrong would begin its work."""


def nasty_calls():
    """Return calls of each command with nasty words for what it needs, and for each further option in turn.

    A call in which only an output is nasty is left out: it is none of a name that is shown before the work begins.
    """
    import click

    ctx = click.Context(cli.cli)
    for words, command in leaves(cli.cli, [], ctx):
        needed, optional, given = [], [], []
        for parameter in text_options(command):
            if isinstance(parameter, click.Argument):
                given.append(NAME)
            else:
                (needed if parameter.required else optional).append((parameter, NAME))
        for parameter in command.params:
            if parameter.required and parameter not in set(text_options(command)):
                kind = parameter.type
                value = kind.choices[0] if isinstance(kind, click.Choice) else "3"
                if isinstance(parameter, click.Option):
                    needed.append((parameter, str(value)))
        inputs = [
            p
            for p in text_options(command)
            if (p.required or isinstance(p, click.Argument)) and not isinstance(p.type, OutPath)
        ]
        base = [*words, *(w for p, value in needed for w in (p.opts[0], value))]
        if inputs:
            yield [*base, *given]
        for p, value in optional:
            if inputs or not (isinstance(p.type, OutPath) or p.name in WORKS):
                yield [*base, p.opts[0], value, *given]


@pytest.mark.parametrize("words", list(nasty_calls()), ids=lambda w: " ".join(w).replace(NAME, "X"))
def test_every_text_option_of_every_command(words, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    code = cli.run(words)
    out, err = capfd.readouterr()
    assert code in (0, 1, 2)
    text = out + err
    assert "Traceback" not in text
    assert not [c for c in FORBIDDEN if c in text], text
    assert not [line for line in text.splitlines() if re.match(r"\s{0,1}PASS", line)], text


PRINTING = (
    ["gate", "--print-policy"],
    ["assets", "list"],
    ["assets", "list", "--json"],
    ["budget", "example"],
    ["budget", "example", "--device"],
    ["feedback", "settings"],
    ["preprocess", "preset"],
    ["recovery", "show"],
    ["recovery", "show", "--json"],
    ["fingerprint", "capture", "--spec", "{spec}"],
    ["preprocess", "show", "{spec}"],
    ["data", "synth", "--set", "emotion", "--n", "0"],
    ["gate", "nothing"],
)
GOES_AWAY = """
import os, sys, json
from facelab import cli

def exit_code(words, gone):
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 98
    try:
        reading, writing = os.pipe()
        os.dup2(writing if gone else os.open(os.devnull, os.O_WRONLY), 1)
        os.close(reading)
        sys.stdout = open(1, "w", closefd=False)
        try:
            cli.main(words)
        except SystemExit as e:
            code = e.code
        sys.stdout.flush()  # as Python does when it ends
    finally:
        os._exit(code)

for words in json.loads(sys.argv[1]):
    print(json.dumps([words, exit_code(words, False), exit_code(words, True)]), flush=True)
"""


def test_a_reader_that_goes_away_changes_no_exit_code(tmp_path):
    """`facelab … | head` for the help of each command, and for what prints figures, policies and fingerprints."""
    import click

    spec_file = REPOSITORY / "examples" / "python" / "train.preprocess.json"
    calls = [[*w, "--help"] for w, _ in leaves(cli.cli, [], click.Context(cli.cli))]
    calls += [[word.format(spec=spec_file) for word in words] for words in PRINTING]
    done = subprocess.run(
        [sys.executable, "-c", GOES_AWAY, json.dumps(calls)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(calls) > 70, done.stderr[-2000:]
    assert [a for a in answers if a[1] != a[2] or a[1] not in (0, 2)] == []
    assert "BrokenPipe" not in done.stderr and "Traceback" not in done.stderr
