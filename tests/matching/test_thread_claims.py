"""What is asked of two threads: 1.7, where the machine can give it and the rounds agree."""

import numpy as np
import pytest

from facelab.matching import claims

STEADY, NOISY = np.full(9, 1.75), np.array([0.9, 1.0, 1.1, 1.5, 1.7, 1.8, 1.9, 2.0, 2.1])


@pytest.mark.parametrize(("bound", "gain", "budget", "said"), [
    (np.full(9, 1.9), STEADY, ">= 1.7", None),
    (np.full(9, 1.9), STEADY - 0.3, ">= 1.7", None),          # a loss that the rounds agree on stays a loss
    (np.full(9, 1.6), STEADY, None, "nothing but registers"),
    (NOISY, STEADY, None, "nothing but registers"),
    (np.full(9, 1.9), NOISY, None, "contradict each other")])
def test_what_is_asked(bound, gain, budget, said):
    ours, theirs = claims.threads({"facelab exhaustive": gain, "registers": bound}, "registers")
    assert ours["budget"] == budget and theirs["budget"] is None
    assert ours["value"] == np.median(gain) and ours["lo"] <= ours["value"] <= ours["hi"]
    assert (said is None and ours["note"] is None) or said in ours["note"]


def test_small_galleries_are_recorded_only():
    ours, _ = claims.threads({"facelab exhaustive": STEADY - 1, "registers": np.full(9, 1.9)}, "registers", rows=10_000)
    assert ours["budget"] is None and "100,000 rows" in ours["note"]
