"""A function in its own process: result, memory, pinned threads, named failures."""

import pytest

from facelab.core import fresh


def allocate(mebibytes):
    """Hold some memory and give it back."""
    block = bytearray(mebibytes << 20)
    block[::4096] = b"x" * len(block[::4096])
    return len(block) >> 20


def test_peak_memory_is_that_of_the_call():
    small, large = (fresh.call("tests.core.test_fresh:allocate", n) for n in (1, 120))
    assert large.value == 120
    # pages of the interpreter itself vary by a few MiB from process to process
    assert 100 << 20 < large.peak_rss - small.peak_rss < 140 << 20
    assert large.base_rss > 1 << 20


def test_threads_are_pinned_in_the_child():
    assert fresh.call("os:getenv", "OMP_NUM_THREADS", threads=1).value == "1"


@pytest.mark.parametrize(
    ("function", "arguments", "says"),
    [
        ("os:_exit", [3], "exit code 3"),
        ("math:sqrt", [-1], "math domain error|positive|negative"),
        ("no.such.module:f", [], "No module named"),
    ],
)
def test_a_failing_call_is_named(function, arguments, says):
    with pytest.raises(fresh.FreshProcessError) as caught:
        fresh.call(function, *arguments)
    import re

    assert re.search(says, str(caught.value))


def test_a_call_that_does_not_end_is_ended():
    with pytest.raises(fresh.FreshProcessError, match="did not end in time"):
        fresh.call("time:sleep", 30, timeout=1)
