"""Shared memory that really runs out: a consumer that keeps every frame, in a control group with too little memory."""

import re
import sys
import time
from pathlib import Path

import pytest

from facelab import budget
from facelab.camera import open_source

PROGRAM = """
import sys
from facelab.camera.internals import CaptureProcess
from facelab.camera._errors import SourceGoneError
held = []
try:
    with CaptureProcess("rendered:size=256", copy=False, slots=4000) as source:
        print("PID", source.pid, flush=True)
        while True:
            held.append(source.read(timeout_s=20))
except SourceGoneError as e:
    print("GONE", e.got, len(held), flush=True)
    sys.exit(3)
"""


def test_it_ends_is_called_by_its_name_and_leaves_nothing(tmp_path):
    with open_source("rendered:size=256") as source:
        source.read(
            timeout_s=60
        )  # compiles what draws, which takes more memory than the limit below
    out = tmp_path / "out"
    command = ["/bin/sh", "-c", f'exec "$0" -c "$1" > {out}', sys.executable, PROGRAM]
    limits = budget.Budget(memory_mb=170)
    began = time.monotonic()
    report = budget.run(command, limits, timeout_s=120)
    if "cgroup" not in (report.held[0].mechanism or ""):
        pytest.skip("no control group can be made here: memory cannot be made to run out safely")
    said = out.read_text()
    # the kernel kills the larger of the two; the other one notices, and ends too
    assert "for memory" in report.end and report.oom_kills >= 1, (report.text(), said)
    assert time.monotonic() - began < 100
    if report.exit_code is not None:
        assert report.exit_code == 3 and "GONE killed by signal 9" in said
    found = re.search(r"PID (\d+)", said)
    assert found, said
    end = time.monotonic() + 5
    while Path(f"/proc/{found[1]}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{found[1]}").exists()
