"""In which order workers take test files, and which files one worker takes together."""

import os

import pytest

FIRST = (
    "tests/emotion/test_emotion_training.py",
    "tests/test_wheel.py",
    "tests/reproduce/test_several_runners.py",
    "tests/reproduce/test_wall_limits.py",
    "tests/tracing/test_memory.py",
    "tests/commands/test_trace_and_memory.py",
    "tests/serving/test_pipeline.py",
    "tests/deploy/test_run_evidence.py",
    "tests/core/test_full_disk.py",
)
"""What takes long in one test, or waits: begun at the end, it would keep one worker alone. Or what looks at all
objects of its process, which become more with each file."""
TENSORFLOW = (
    "tests/emotion/test_own_backbone.py",
    "tests/deploy/test_stated_tolerance.py",
    "tests/preprocess/test_backends.py",
    "tests/preprocess/test_conformance.py",
    "tests/quantization/test_keep_float_search.py",
    "tests/security/test_pictures.py",
)
"""What imports TensorFlow into the process of the tests: four seconds and half a gigabyte in each worker that does."""


def scope_of(nodeid: str) -> str:
    """Return the name of what one worker takes together: a file, or all files that import TensorFlow.

    >>> scope_of("tests/metrics/test_wider_ap.py::test_a[1]")
    'tests/metrics/test_wider_ap.py'
    """
    file = nodeid.split("::", 1)[0]
    return "files that import TensorFlow" if file in TENSORFLOW else file


def rank(item: pytest.Item) -> int:
    """Return the place of a test's file; files that are not named here keep their order behind those that are."""
    file = item.nodeid.split("::", 1)[0]
    named = (*FIRST, *TENSORFLOW)
    return named.index(file) if file in named else len(named)


def in_order(items: list[pytest.Item]) -> None:
    """Put long files first where workers share the tests, the same in each worker."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Hand out files one by one, those that import TensorFlow together."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return scope_of(nodeid)

    return Files(config, log)
