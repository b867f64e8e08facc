"""Another process is kept on a core, and let go."""

import os
import subprocess
import sys

import pytest

from facelab.core import scheduling


def test_another_process_is_kept_on_a_core_and_let_go():
    core = scheduling.current_core()
    if core is None:
        pytest.skip("the system does not say on which core a thread runs")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert scheduling.confine(child.pid, {core}) and os.sched_getaffinity(child.pid) == {core}
        assert scheduling.confine(child.pid, None)
        assert os.sched_getaffinity(child.pid) == os.sched_getaffinity(0)
    assert not scheduling.confine(child.pid, {core})
