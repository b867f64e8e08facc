"""Fuzzers: a fixed seed, a limit in seconds, damaged and invented inputs; the answer is a result or an error."""

import os
import random
import time

import pytest

SEED = int(os.environ.get("FACELAB_FUZZ_SEED", "20261126"))


@pytest.fixture(
    params=[pytest.param(2.0, id="brief"), pytest.param(60.0, marks=pytest.mark.slow, id="long")]
)
def rounds(request):
    """Yield random generators, each with its own seed that a failure names, until the time is over."""

    def each(least=5):
        end, k = time.monotonic() + request.param, 0
        # on a loaded machine the first rounds take longer, and find as much
        while k < least or time.monotonic() < end:
            yield f"seed {SEED}, round {k}", random.Random(f"{SEED}/{k}")
            k += 1

    return each
