"""cgroup version 2 in a real kernel: the suite of `test_run` inside Debian's user-mode-linux, as root and delegated.

The guest boots in two seconds as an ordinary process; the host's files are its root, read-only.
"""

import shutil
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINUX = shutil.which("linux.uml")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(LINUX is None, reason="needs Debian's user-mode-linux (linux.uml)"),
]
GUEST = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={root}
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t tmpfs none /run; mount -t tmpfs none /tmp
mount -t tmpfs none /dev/shm 2>/dev/null
mount -t cgroup2 none /sys/fs/cgroup
ip link set lo up 2>/dev/null
cd {root}
{script}
echo "GUEST ENDED $?"
echo o > /proc/sysrq-trigger
sleep 20
"""
AS_ROOT = (
    "timeout 500 {python} -m pytest tests/budget/test_run.py -q -p no:cacheprovider --color=no 2>&1"
)
DELEGATED = """
mkdir /sys/fs/cgroup/given /sys/fs/cgroup/given/leaf
echo "+memory +cpu" > /sys/fs/cgroup/cgroup.subtree_control
echo "+memory +cpu" > /sys/fs/cgroup/given/cgroup.subtree_control
chown -R 65534 /sys/fs/cgroup/given
echo $$ > /sys/fs/cgroup/given/leaf/cgroup.procs
cat > /tmp/program.py <<'END'
{program}
END
mkdir /tmp/python
mount --bind {base} /tmp/python
export PYTHONPATH={root}:{packages}
setpriv --reuid=65534 --clear-groups /tmp/python/bin/python3 /tmp/program.py 2>&1
"""
PROGRAM = """
import os, sys
from facelab import budget
assert os.geteuid() == 65534
eat = [sys.executable, "-I", "-S", "-c", "x = [bytearray(1 << 20) for _ in range(200)]"]
report = budget.run(eat, budget.Budget(memory_mb=64, cpu_share=0.5), by="v2")
print("DELEGATED", report.end, report.oom_kills >= 1, sorted({h.mechanism for h in report.held}))
"""


def boot(tmp_path, script):
    """Run a script as the guest's first process and return what it wrote on its console."""
    init = tmp_path / "init.sh"
    init.write_text(GUEST.format(root=ROOT, script=script))
    init.chmod(init.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    command = [LINUX, "mem=1024M", "rootfstype=hostfs", "rootflags=/", "ro", f"init={init}"]
    command += ["con=null", "con0=null,fd:1", "quiet", f"uml_dir={tmp_path}", "console=tty0"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=560,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout


def test_the_whole_suite_holds_under_version_2(tmp_path):
    said = boot(tmp_path, AS_ROOT.format(python=sys.executable))
    assert "GUEST ENDED 0" in said, said[-3000:]
    assert " passed" in said


def test_an_ordinary_user_in_a_delegated_group_is_held(tmp_path):
    # the interpreter may be in a home that others cannot enter: it is mounted elsewhere
    places = {"base": sys.base_prefix, "packages": sysconfig.get_path("purelib"), "root": ROOT}
    said = boot(tmp_path, DELEGATED.format(program=PROGRAM, **places))
    if "Permission denied" in said:
        pytest.skip("an ordinary user cannot read this checkout")
    assert "DELEGATED killed for memory True ['cgroup v2']" in said, said[-3000:]
