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
        # what Landlock does not guard
        "__import__('os').chown('{out}/secret.txt', 1, 1)",
        "__import__('os').setxattr('{out}/secret.txt', 'user.x', b'x')",
        # a disk, through a device in its own folder
        "__import__('os').mknod('{out}/own/disk', 0o60666, __import__('os').makedev(8, 0))",
        "__import__('os').mknod('{out}/own/kernel', 0o20666, __import__('os').makedev(1, 1))",
        "__import__('os').chroot('{out}/own')",
        # other processes
        "__import__('resource').prlimit({parent}, __import__('resource').RLIMIT_CPU, (99999, 99999))",
        "__import__('os').sched_setaffinity({parent}, [0])",
        "__import__('os').sched_setscheduler({parent}, 5, __import__('os').sched_param(0))",
        # memory that no limit counts
        "__import__('mmap').mmap(-1, 4096)",
        "__import__('os').memfd_create('x')",
        "open('/dev/zero', 'rb')",
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


LIBC = "__import__('ctypes').CDLL(None).{}"


@pytest.mark.parametrize(
    "call",
    [
        *("shmget(77, 4096, 0o1600)", "msgget(77, 0o1600)", "semget(77, 1, 0o1600)"),
        *("tgkill({parent}, {parent}, 0)", "sigqueue({parent}, 0, None)"),
        *("unshare(0x10000000)", "klogctl(10, None, 0)", "adjtime(None, None)"),
    ],
)
def test_such_calls_of_the_system_fail(run, call):
    """Segments and queues outlived the process; before Linux 6.12 Landlock does not guard signals."""
    assert run(LIBC.format(call.format(parent=os.getpid()))) == -1


def test_others_files_keep_their_mode_and_times_and_others_processes_their_priority(run):
    secret = run.folder / "secret.txt"
    secret.chmod(0o600)
    before, nice = secret.stat(), os.getpriority(os.PRIO_PROCESS, 0)
    run(f"__import__('os').chmod({str(secret)!r}, 0o777)")
    run(f"__import__('os').utime({str(secret)!r}, (0, 0))")
    run(f"__import__('os').setpriority(0, {os.getpid()}, 19)")
    after = secret.stat()
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    assert os.getpriority(os.PRIO_PROCESS, 0) == nice


def test_threads_children_and_signals_of_its_own_work(run):
    assert (
        run(
            "__import__('concurrent.futures').futures.ThreadPoolExecutor(2).submit(int, '7').result()"
        )
        == 7
    )
    assert run("__import__('os').sched_setaffinity(0, [0])") is None
    assert (
        run(
            "__import__('os').waitpid(__import__('os').fork() or __import__('os')._exit(3), 0)[1] >> 8"
        )
        == 3
    )
    with pytest.raises(fresh.FreshProcessError) as e:
        run("__import__('os').abort()")
    assert e.value.where == "ended by SIGABRT"


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_each_call_has_one_number(machine, monkeypatch):
    monkeypatch.setattr(sandbox.platform, "machine", lambda: machine)
    names = ["_REFUSED", "_WITHOUT_EFFECT", "_ITSELF", "_TGKILL", "_MMAP", "_CLONE", "_CLONE3"]
    tables = [getattr(sandbox, name) for name in names]
    numbers = [n for table in tables for n in sandbox._numbers(table)]
    assert len(numbers) == len(set(numbers)) > 80
    assert len(sandbox._program()) < 4096


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
