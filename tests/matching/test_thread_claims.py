"""What is required of threads: two gain 1.7, where the machine can and the rounds agree; FAISS is one thread's."""

import numpy as np
import pytest

from facelab.studies.matching import _claims as claims
from facelab.studies.matching._rows import Row, with_threads

STEADY, NOISY = np.full(9, 1.75), np.array([0.9, 1.0, 1.1, 1.5, 1.7, 1.8, 1.9, 2.0, 2.1])


@pytest.mark.parametrize(
    ("bound", "gain", "budget", "said"),
    [
        (np.full(9, 1.9), STEADY, ">= 1.7", None),
        (
            np.full(9, 1.9),
            STEADY - 0.3,
            ">= 1.7",
            None,
        ),  # a loss that the rounds agree on stays a loss
        (np.full(9, 1.6), STEADY, None, "nothing but registers"),
        (NOISY, STEADY, None, "nothing but registers"),
        (np.full(9, 1.9), NOISY, None, "contradict each other"),
    ],
)
def test_what_is_asked(bound, gain, budget, said):
    ours, theirs = claims.thread_claims(
        {"facelab exhaustive": gain, "registers": bound}, "registers"
    )
    assert ours["budget"] == budget and theirs["budget"] is None
    assert ours["value"] == np.median(gain) and ours["lo"] <= ours["value"] <= ours["hi"]
    assert (said is None and ours["note"] is None) or said in ours["note"]


@pytest.mark.parametrize("threads", [1, 2])
def test_promised_ratios_are_about_one_thread_and_nobody_faster_about_any(threads):
    def row(name, seconds, exact=True):
        return Row(
            "search/1000x100000x512" + with_threads(threads),
            name,
            np.full(9, seconds),
            True,
            None,
            1.0,
            exact,
            threads,
            {"queries": 1000, "gallery": 100_000, "dimension": 512},
        )

    rows = [
        row("facelab exhaustive", 0.5),
        row("facelab screened", 0.2),
        row("FAISS Flat", 0.8),
        row("sgemm alone", 0.6, exact=False),
    ]
    found = {(c["case"], c["metric"]): c["value"] for c in claims.search_claims(rows)}
    said = with_threads(threads)
    assert found[f"search/all{said}", "wrong answers of exact searches"] == 0
    worst = found[
        f"search/every shape{said}", "times faster than the fastest exact library, at worst"
    ]
    assert worst == pytest.approx(4)
    assert len(found) == (5 if threads == 1 else 2)


def test_small_galleries_are_recorded_only():
    ours, _ = claims.thread_claims(
        {"facelab exhaustive": STEADY - 1, "registers": np.full(9, 1.9)}, "registers", rows=10_000
    )
    assert ours["budget"] is None and "100,000 rows" in ours["note"]
