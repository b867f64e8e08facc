"""The load generator and the verdict: leak, too small, slow server and fine, each planted and named."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from facelab.core.errors import BadInputError
from facelab.serving import Pool, diagnose, open_loop, postgres_connections
from facelab.serving.pools._load import arrivals, closed_loop

HOLD = 0.02


def planted(fault):
    """Return (verdict wanted, size, seconds of a lease, whether some leases are kept)."""
    return {
        "fine": (8, HOLD, False),
        "too small": (2, HOLD, False),
        "slow server": (6, 5 * HOLD, False),
        "leak": (6, HOLD, True),
    }[fault]


@pytest.mark.parametrize("fault", ["fine", "too small", "slow server", "leak"])
def test_each_planted_fault_is_named(fault):
    size, hold, leaky = planted(fault)
    kept = []
    with Pool(object, size=size, deadline_s=0.3, max_waiting=50) as pool:

        def call(k):
            lease = pool.acquire()
            time.sleep(hold)
            if leaky and k % 20 == 7:
                kept.append(lease)
            else:
                lease.release()

        load = open_loop(call, rate_hz=120, seconds=1.2, workers=60)
        found = diagnose(pool, load, reference_s=HOLD * 1.05)
        assert found.verdict == fault, found
        if fault == "leak":
            assert "test_pool_load.py" in found.because
        if fault == "too small":
            assert found.figures["size_needed"] >= 4


@pytest.mark.parametrize("fault", ["fine", "too small", "slow server", "leak"])
def test_each_planted_fault_is_named_on_postgresql(postgres, fault):
    size, hold, leaky = planted(fault)
    with postgres_connections(postgres, size=size, deadline_s=0.5, max_waiting=50) as pool:

        def call(k):
            lease = pool.acquire()
            lease.value.execute("select pg_sleep(%s)", [hold])
            if not (leaky and k % 20 == 7):  # else dropped: recovered, and counted
                lease.release()

        leases = [pool.acquire() for _ in range(size)]
        for lease in leases:
            lease.release()
        load = open_loop(call, rate_hz=100, seconds=1.2, workers=60)
        time.sleep(0.3)
        assert diagnose(pool, load, reference_s=HOLD * 1.3).verdict == fault


def test_an_open_loop_counts_the_wait_that_a_closed_loop_hides():
    """One stall of 0.5 s in about 1.2 s: a third of all arrivals meet it, one closed-loop call does."""
    lock = threading.Lock()

    def service():
        stalled = []

        def call(k):
            with lock:
                if k >= 40 and not stalled:
                    stalled.append(k)
                    time.sleep(0.5)
                time.sleep(0.002)

        return call

    closed = closed_loop(service(), seconds=1.2)
    opened = open_loop(service(), rate_hz=100, seconds=1.2, workers=64, kind="paced")
    assert np.quantile(closed.latency, 0.9) < 0.1
    assert opened.quantile(0.9) > 0.2
    assert opened.count("ok") == 120


def test_lent_threads_send_all_requests_and_live_on():
    names = set()
    with ThreadPoolExecutor(4, "lent") as threads:
        for _ in range(2):
            load = open_loop(
                lambda _: names.add(threading.current_thread().name),
                rate_hz=400,
                seconds=0.1,
                workers=4,
                kind="paced",
                executor=threads,
            )
            assert load.count("ok") == 40
    assert names <= {f"lent_{k}" for k in range(4)}


def test_arrivals_are_a_poisson_process_of_the_wanted_rate():
    due = arrivals(1000, 20, seed=3)
    gaps = np.diff(due)
    assert abs(len(due) - 20_000) < 5 * np.sqrt(20_000)
    assert abs(gaps.std() / gaps.mean() - 1) < 0.05, "exponential gaps: deviation equals mean"
    assert np.array_equal(due, arrivals(1000, 20, seed=3))
    with pytest.raises(BadInputError):
        arrivals(0, 1)


def test_overload_sheds_and_does_not_collapse():
    """At three times the capacity, a bounded queue keeps the goodput; an unbounded one answers too late."""
    capacity = 4 / 0.01

    def run(max_waiting):
        with Pool(object, size=4, deadline_s=30, max_waiting=max_waiting) as pool:

            def call(_):
                with pool.acquire():
                    time.sleep(0.01)

            return open_loop(call, rate_hz=3 * capacity, seconds=1.0, workers=250, drain_s=0.5)

    bounded, unbounded = run(8), run(10**6)
    within = 0.12
    assert bounded.count("shed") > 0.3 * len(bounded.outcome)
    assert bounded.goodput_hz(within) > 0.4 * capacity
    assert bounded.goodput_hz(within) > 2 * unbounded.goodput_hz(within)
    assert bounded.count("failed") == unbounded.count("failed") == 0
    assert bounded.to_dict()["shed"] == bounded.count("shed")
