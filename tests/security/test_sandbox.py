"""Issue 22.6: a process in the sandbox writes nowhere else, reaches no network and no other process."""

import contextlib
import os
import socket
import threading
from pathlib import Path

import pytest

from facelab.core import fresh, sandbox

pytestmark = pytest.mark.skipif(
    sandbox.why_not() is not None, reason=f"no sandbox here: {sandbox.why_not()}"
)


@pytest.fixture
def run(tmp_path):
    """Evaluate an expression in a sandbox whose own folder is `tmp_path/own`."""
    own, given = tmp_path / "own", tmp_path / "given"
    own.mkdir()
    given.mkdir()
    (given / "input.txt").write_text("input")
    (tmp_path / "secret.txt").write_text("secret")

    def evaluate(expression, **limits):
        confined = fresh.Confined(own, (given,), **limits)
        return fresh.call("builtins:eval", expression, confined=confined, timeout=60).value

    evaluate.folder = tmp_path
    return evaluate


def test_what_it_needs_works(run):
    assert run(f"open({str(run.folder / 'given/input.txt')!r}).read()") == "input"
    assert run(f"open({str(run.folder / 'own/out.txt')!r}, 'w').write('done')") == 4
    assert run("__import__('tempfile').mkdtemp()").startswith(str(run.folder / "own"))
    assert run("float(__import__('numpy').arange(9).sum())") == 36.0
    assert run("__import__('subprocess').run(['/bin/true']).returncode") == 0


@pytest.mark.parametrize(
    "expression",
    [
        "open('{out}/x', 'w')",
        "open('{out}/secret.txt')",
        "open('{out}/given/input.txt', 'w')",
        "open('{home}/.facelab-test', 'w')",
        "__import__('os').listdir('{out}')",
        "__import__('os').remove('{out}/secret.txt')",
        "__import__('os').symlink('{out}/secret.txt', '{out}/given/link')",
        "__import__('os').rename('{out}/given/input.txt', '{out}/own/x')",
        "__import__('os').truncate('{out}/secret.txt', 0)",
        "__import__('socket').socket()",
        "__import__('socket').socket(__import__('socket').AF_UNIX)",
        "__import__('urllib.request').request.urlopen('http://127.0.0.1:{port}/')",
        "__import__('os').kill({parent}, 9)",
        "open('/proc/{parent}/mem', 'rb').read(1)",
        "open('/proc/{parent}/environ', 'rb').read(1)",
        "__import__('subprocess').run(['/bin/cp', '{out}/secret.txt', '{out}/own/c'], check=True)",
        "__import__('subprocess').run(['/bin/sh', '-c', 'echo x > {out}/x'], check=True)",
    ],
)
def test_everything_else_is_refused(run, expression):
    server = socket.create_server(("127.0.0.1", 0))
    seen = []

    def accept():
        with contextlib.suppress(OSError):
            seen.append(server.accept())

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    words = {
        "out": run.folder,
        "home": Path.home(),
        "port": server.getsockname()[1],
        "parent": os.getpid(),
    }
    with pytest.raises(fresh.FreshProcessError, match="failed in its own process"):
        run(expression.format(**words))
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)
    assert seen == [] and (run.folder / "secret.txt").read_text() == "secret"
    assert sorted(p.name for p in run.folder.iterdir()) == ["given", "own", "secret.txt"]
    assert (run.folder / "given" / "input.txt").read_text() == "input"
    assert [p.name for p in (run.folder / "given").iterdir()] == ["input.txt"]


def test_memory_and_time_are_bounded(run):
    with pytest.raises(fresh.FreshProcessError):
        run("len(bytearray(2 << 30))", memory=1 << 30)
    with pytest.raises(fresh.FreshProcessError) as e:
        run("[0 for _ in iter(int, 1)]", seconds=1, memory=None)
    assert "SIGKILL" in e.value.where or "SIGXCPU" in e.value.where


def test_a_machine_without_a_sandbox_says_why(monkeypatch):
    monkeypatch.setattr(sandbox.platform, "machine", lambda: "riscv64")
    assert "riscv64" in sandbox.why_not()
    with pytest.raises(sandbox.SandboxError):
        sandbox.enter({})
