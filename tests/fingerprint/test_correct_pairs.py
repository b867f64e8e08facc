"""A correct program is never accused: the same pipeline written twice is not a mismatch, in either direction."""

import functools
import itertools
import shutil
from pathlib import Path

import correct_pairs
import pytest

from facelab.fingerprint import capture_target, compare

FILE = Path(correct_pairs.__file__)
PAIRS = [
    (a.__name__, b.__name__)
    for functions in correct_pairs.GROUPS.values()
    for a, b in itertools.combinations(functions, 2)
]


def marked(i, pair):
    marks = [pytest.mark.slow] if i % 3 else []
    if any("tensorflow" in name for name in pair):
        marks = [pytest.mark.slow, pytest.mark.tensorflow]
    if "face_c" in pair and shutil.which("cc") is None:
        marks.append(pytest.mark.skip(reason="there is no C compiler"))
    return pytest.param(*pair, marks=marks)


@functools.cache
def captured(name):
    return capture_target(f"{FILE}:{name}")


def test_there_are_enough_of_them():
    assert len(PAIRS) >= 80


@pytest.mark.parametrize(
    "a,b",
    [marked(i, p) for i, p in enumerate(PAIRS)],
    ids=lambda n: n,
)
def test_the_same_pipeline_written_twice_is_not_a_mismatch(a, b):
    for train, infer in ((a, b), (b, a)):
        c = compare(captured(train), captured(infer))
        assert c.good, (c.verdict, [(f.kind, f.training, f.inference) for f in c.findings], c.notes)
