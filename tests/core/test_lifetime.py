"""Processes end with the one that started them, however it ends, and nothing of theirs goes on."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from facelab.core import leases, lifetime
from facelab.core.files import write_json
from tests.core.processes import alive, gone, mark, shared_memory, wait_for

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="looks for processes in /proc"
)

TREES = {
    "a child": "time.sleep(60)",
    "a detached grandchild": "start('setsid', 'sleep', MARK); time.sleep(60)",
    "a daemon": "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        start('sleep', MARK)\n"
    "        time.sleep(60)\n    os._exit(0)\ntime.sleep(60)",
    "a daemon without its environment": "start('env', '-i', 'setsid', 'sleep', MARK); time.sleep(60)",
    "one that ignores signals": "import signal\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\n"
    "start('sleep', MARK); time.sleep(60)",
}


def child_of(tree, word):
    """Return the source of a command that starts a tree of processes, all with `word` in their command lines."""
    return (
        "import os, subprocess, sys, time\n"
        f"MARK = {word!r}\ndef start(*words):\n    subprocess.Popen(words)\n" + TREES[tree]
    )


def owner_of(source, call="lifetime.Popen(command).wait()"):
    """Start a process that starts the command through facelab."""
    code = textwrap.dedent(
        f"""
        import sys, subprocess
        from facelab.core import lifetime
        command = [sys.executable, "-I", "-c", {source!r}]
        {call}
        """
    )
    return subprocess.Popen([sys.executable, "-c", code])


@pytest.mark.parametrize("tree", TREES)
def test_everything_ends_within_five_seconds_of_the_owners_death(tree):
    word = mark()
    owner = owner_of(child_of(tree, word))
    wait_for(word, 4 if "daemon" in tree or "grandchild" in tree else 3)
    owner.kill()
    owner.wait()
    assert gone(word), f"{tree} outlived its owner"


@pytest.mark.parametrize("tree", ["a child", "a daemon without its environment"])
@pytest.mark.parametrize("end", ["kill", "terminate", "with", "lost"])
def test_everything_ends_when_the_command_is_ended(tree, end):
    word = mark()
    process = lifetime.Popen([sys.executable, "-I", "-c", child_of(tree, word)])
    wait_for(word, 2)
    if end == "kill":
        process.kill()
        assert process.returncode == -signal.SIGKILL
    elif end == "terminate":
        process.terminate()
        assert process.wait(10) == -signal.SIGTERM
    elif end == "with":
        with pytest.raises(ZeroDivisionError), process:
            raise ZeroDivisionError
    else:
        process.returncode = 0  # keeps subprocess from saying that it still runs
        pid = process.pid
        del process
    assert gone(word)
    if end == "lost":
        os.waitpid(pid, 0)


def test_what_a_command_leaves_behind_ends_with_it():
    word = mark()
    source = f"import subprocess\nsubprocess.Popen(['setsid', 'sleep', {word!r}])\n"
    assert lifetime.run([sys.executable, "-I", "-c", source]).returncode == 0
    assert alive(word) == []


def test_an_owner_that_is_gone_at_once_is_noticed():
    word = mark()
    for delay in (0, 0.005, 0.02, 0.05):
        owner = owner_of(child_of("a child", word))
        time.sleep(delay + 0.15)
        owner.kill()
        owner.wait()
    assert gone(word)


@pytest.mark.parametrize("code", [0, 1, 7])
def test_exit_codes_input_and_output_pass_through(code):
    source = (
        f"import sys\nprint(sys.stdin.read()[::-1])\nprint('e', file=sys.stderr)\nsys.exit({code})"
    )
    done = lifetime.run(
        [sys.executable, "-I", "-c", source], input="abc", capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "cba\n", "e\n")


def test_signals_and_their_exit_codes_pass_through():
    source = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"
    assert lifetime.run([sys.executable, "-I", "-c", source]).returncode == -signal.SIGSEGV
    with pytest.raises(subprocess.TimeoutExpired):
        lifetime.run(["sleep", word := mark()], timeout=0.3)
    assert gone(word, 1)
    with pytest.raises(FileNotFoundError):
        lifetime.Popen(["/no/such/program"])


def test_output_closes_when_the_command_ends_and_not_when_its_guard_does():
    source = "import os, sys\nprint('x', flush=True)\nos.close(1); os.close(2)\nsys.stdin.read()"
    process = lifetime.Popen(
        [sys.executable, "-I", "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout.read() == b"x\n"
        assert process.poll() is None


def test_processes_that_a_library_starts_end_with_their_owner():
    word = mark()
    call = "lifetime.watch_children(); p = subprocess.Popen(['setsid', *command]); p.wait()"
    owner = owner_of(child_of("a detached grandchild", word), call)
    wait_for(word, 3)
    owner.kill()
    owner.wait()
    assert gone(word)


@pytest.mark.parametrize("outer", [False, True], ids=["alone", "below another owner"])
def test_workers_of_joblib_end_with_a_killed_owner_and_leave_no_shared_memory(monkeypatch, outer):
    monkeypatch.delenv(lifetime.FAMILY, raising=False)
    if outer:  # this process has its own workers, as a test worker that rendered faces before has
        monkeypatch.setenv(lifetime.FAMILY, lifetime.new_token())
    code = (
        "import time\nfrom facelab.datasets.synthetic._workers import parallel\n"
        "list(parallel(time.sleep, [30] * 4, 2))"
    )
    others = [subprocess.Popen(["sleep", mark()]) for _ in range(2)]
    owner = subprocess.Popen([sys.executable, "-c", code])
    try:
        token = family_of(owner.pid)
        assert len(lifetime.guard.family(token)) >= 2
        owner.kill()
        owner.wait()
        until = time.monotonic() + 5
        while lifetime.guard.family(token) and time.monotonic() < until:
            time.sleep(0.1)
        assert lifetime.guard.family(token) == []
        assert all(p.poll() is None for p in others), "processes of another owner were ended"
        time.sleep(0.2)
        assert shared_memory(owner.pid) == []
    finally:
        for process in (owner, *others):
            process.kill()
            process.wait()


def family_of(owner):
    """Return the token of the workers that a process started, once there are two of them.

    Its watcher is below it too and carries the tokens that the owner was started with; those name other families.
    """
    inherited = set(os.environ.get(lifetime.FAMILY, "").split(":"))
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = []
        for pid in lifetime.guard.descendants(owner):
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
                words = [w for w in lines if w.startswith("FACELAB_FAMILY=")]
                found += {t for w in words for t in w.partition("=")[2].split(":")} - inherited
        if len(found) >= 2:
            assert len(set(found)) == 1
            return found[0]
        time.sleep(0.1)
    pytest.fail("no workers started")


def test_a_later_call_ends_what_a_dead_owner_left_and_only_that(tmp_path):
    theirs, others = lifetime.new_token(), lifetime.new_token()
    word, other = mark(), mark()
    left = [
        subprocess.Popen(["sleep", w], env={**os.environ, lifetime.FAMILY: f"x:{token}"})
        for w, token in ((word, theirs), (other, others))
    ]
    try:
        dead = {"owner": 1 << 22, "started": "1", "token": theirs, "for": "a"}
        write_json(tmp_path / "a.json", dead)
        reused = {**dead, "owner": os.getpid(), "started": "1"}
        write_json(tmp_path / "b.json", reused)
        me = lifetime.process_start(os.getpid())
        write_json(tmp_path / "c.json", {**reused, "started": me, "token": others})
        (tmp_path / "d.json").write_text('{"owner": 1, "token": ""}')
        (tmp_path / "e.json").write_text("[" * 9)
        assert leases.end_orphans(tmp_path) == ["a", "a"]
        left[0].wait(5)
        assert left[1].poll() is None, "the process of a living owner was ended"
        assert [p.name for p in tmp_path.iterdir()] == ["c.json"]
    finally:
        for process in left:
            process.kill()
            process.wait()


def test_a_lease_ends_its_family_and_removes_itself(tmp_path):
    word = mark()
    with leases.lease(tmp_path, "step") as token:
        note = json.loads(next(tmp_path.iterdir()).read_text())
        assert note["owner"] == os.getpid() and note["token"] == token
        process = lifetime.Popen(["sleep", word], token=token)
        wait_for(word)
        os.kill(process.pid, signal.SIGKILL)  # the guard itself
        process.wait()
    assert gone(word, 1) and list(tmp_path.iterdir()) == []


def test_output_without_an_end_is_not_kept_and_bytes_are_no_error(monkeypatch):
    """What a stranger's model prints filled the memory of the process that waited, or was a UnicodeDecodeError."""
    monkeypatch.setattr(lifetime, "MOST_OUTPUT", 1000)
    source = (
        "import os; [os.write(2, b'\\xff' * 65536) for _ in range(99)]; os.write(1, b'a\\r\\nb\\n')"
    )
    done = lifetime.run(
        [sys.executable, "-I", "-c", source],
        input="x" * 1_000_000,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\nb\n", "\ufffd" * 1000)


def test_input_that_nobody_reads_does_not_block():
    command = [sys.executable, "-I", "-c", "import time; time.sleep(60)"]
    with pytest.raises(subprocess.TimeoutExpired):
        lifetime.run(command, input="x" * 1_000_000, timeout=1.0)


def test_a_tester_of_releases_whose_service_is_gone_at_once_ends():
    """Killed before it had asked for the signal of its parent's death, it was there for more than 5 s."""
    from facelab.core.isolated import module_command

    command = module_command("facelab.serving.releases._tester", 1)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.wait(30) == 1, "its standard input is open, and nobody asks"
        finally:
            process.kill()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's signal is Linux's")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_process_ends_with_its_parent_by_the_kernels_signal(number):
    """Nothing looks after the child: no guard, no second thread, no pipe."""
    child = (
        "import os, signal, sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from facelab.core.lifetime import end_at_once_with\n"
        f"signal.signal({int(signal.SIGINT)}, signal.SIG_DFL)\n"
        f"end_at_once_with(os.getppid(), {int(number)}); print(os.getpid(), flush=True); time.sleep(60)"
    )
    parent = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-I', '-c', {child!r}, {str(Path.cwd())!r}]); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-I", "-c", parent], stdout=subprocess.PIPE) as started:
        pid = int(started.stdout.readline())
        started.kill()
    until = time.monotonic() + 20
    while lifetime.process_start(pid) is not None:
        assert time.monotonic() < until, "the child outlives its parent"
        time.sleep(0.02)
