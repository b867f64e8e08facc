"""The conformance suite: on the fake kernel always, on real drivers in a virtual machine in the slow lane."""

import json

import pytest

from facelab.camera.v4l2._fake import FakeKernel
from tests.camera import conformance, guest


class FakeRig:
    """The fake kernel with the same handles as the real one."""

    real = False
    vivid, loopback = "/dev/video0", "/dev/video10"

    def __init__(self):
        self.kernel = FakeKernel()

    def sleep(self, seconds):
        self.kernel.sleep(seconds)

    def hold(self):
        self.held = self.kernel.open(self.vivid)

    def replug(self):
        self.kernel.close(self.held)

    def open_files(self):
        return self.kernel.open_files()

    def feed(self, frames, size, rate=20.0):
        self.kernel.feed(self.loopback, frames, size, rate)

    def starve(self):
        self.kernel.nodes[self.loopback].fed = False


@pytest.mark.parametrize("name", conformance.CHECKS)
def test_the_fake_kernel_conforms(name):
    conformance.CHECKS[name](FakeRig())


@pytest.mark.slow
@pytest.mark.skipif(guest.missing() is not None, reason=str(guest.missing()))
def test_vivid_and_v4l2loopback_conform(tmp_path, repository):
    command = (
        f"cd {repository}; PYTHONDONTWRITEBYTECODE=1 HOME=/run PYTHONPATH={repository} "
        f"{repository}/.venv/bin/python -m tests.camera.conformance"
    )
    said = guest.run(command, tmp_path)
    lines = [x.partition("CONFORMANCE ")[2] for x in said.splitlines() if "CONFORMANCE " in x]
    results = {r["check"]: r["problem"] for r in map(json.loads, lines)}
    assert set(results) == set(conformance.CHECKS), said[-3000:]
    assert {name: p for name, p in results.items() if p} == {}
