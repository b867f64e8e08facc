"""Threads that take pieces as they get free: each piece once, errors heard, an early end."""

import threading
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelab.core.errors import BadInputError
from facelab.matching.threads import check_threads, run_spans, share, spans


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_each_piece_is_done_once_by_a_worker_of_its_own_thread(threads):
    done, who = Counter(), {}

    def job(worker, piece):
        done[piece] += 1
        assert who.setdefault(worker, threading.get_ident()) == threading.get_ident()

    share(threads, range(300), job)
    assert done == Counter(range(300))
    assert set(who) <= set(range(threads))


def test_a_slow_piece_holds_up_nobody_else():
    by = {}
    share(
        2,
        range(20),
        lambda worker, piece: (
            by.setdefault(piece, worker),
            time.sleep(0.2 if piece == 0 else 0.001),
        ),
    )
    mine = by[0]
    assert sum(worker != mine for worker in by.values()) >= 15


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_ends_the_work_and_is_raised(threads):
    done = []

    def job(worker, piece):
        if piece == 5:
            raise KeyError("five")
        time.sleep(0.001)
        done.append(piece)

    with pytest.raises(KeyError, match="five"):
        share(threads, range(1000), job)
    assert len(done) < 100


def test_until_ends_early_and_leaves_the_rest():
    left, done = iter(range(1000)), []
    share(2, left, lambda worker, piece: done.append(piece), until=lambda: len(done) >= 10)
    assert 10 <= len(done) <= 12
    assert next(left) == len(done)


@given(st.integers(0, 50), st.integers(0, 60), st.integers(1, 9))
def test_spans_make_up_the_whole(first, length, count):
    found = spans(first, first + length, count)
    assert [i for a, b in found for i in range(a, b)] == list(range(first, first + length))
    assert all(b > a for a, b in found)
    assert len(found) <= count


def test_short_work_is_not_cut_finer_than_asked():
    seen = []
    run_spans(2, 0, 100, lambda a, b: seen.append(b - a), least=100)
    assert sorted(seen) == [50, 50]
    run_spans(1, 0, 100, lambda a, b: seen.append(b - a))
    assert seen[-1] == 100


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "2"])
def test_threads_must_be_a_whole_number(bad):
    with pytest.raises(BadInputError):
        check_threads(bad)
