"""The pool: bounded, fair, with deadlines; leases that are lost, old, or used too late."""

import gc
import random
import threading
import time

import pytest

from facelab.core.errors import BadInputError
from facelab.serving import Pool
from facelab.serving.pools._lease import LeaseError, OverloadedError, PoolTimeoutError


class Thing:
    def __init__(self):
        self.users, self.closed = 0, False


def until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    assert condition()


def test_a_lease_cannot_be_used_after_its_release():
    with Pool(Thing, size=1) as pool:
        with pool.acquire() as lease:
            assert not lease.value.closed
        with pytest.raises(LeaseError, match="released"):
            _ = lease.value
        lease.release()
        assert pool.stats().idle == 1


def test_a_deadline_names_the_oldest_lease_and_its_taker():
    with Pool(Thing, size=1) as pool:
        first = pool.acquire("who has it")
        with pytest.raises(PoolTimeoutError) as e:
            pool.acquire(deadline_s=0.02)
        assert "who has it" in e.value.got and "test_pool.py" in e.value.got
        first.release()
        assert pool.stats().timeouts == 1


def test_callers_are_served_in_the_order_they_came():
    order = []
    with Pool(Thing, size=1, deadline_s=10, max_waiting=20) as pool:
        held = pool.acquire()

        def work(k):
            with pool.acquire():
                order.append(k)

        threads = []
        for k in range(12):
            threads.append(threading.Thread(target=work, args=(k,)))
            threads[-1].start()
            until(lambda k=k: pool.stats().waiting == k + 1)
        held.release()
        for t in threads:
            t.join()
    assert order == list(range(12))


def test_a_full_queue_sheds_at_once():
    with Pool(Thing, size=1, max_waiting=0) as pool, pool.acquire():
        started = time.monotonic()
        with pytest.raises(OverloadedError, match="shed"):
            pool.acquire(deadline_s=60)
        assert time.monotonic() - started < 1
        assert pool.stats().shed == 1


def test_a_dropped_lease_is_recovered_and_its_taker_named():
    closed = []
    with Pool(Thing, size=1, close=closed.append, age_alarm_s=0.2) as pool:

        def careless():
            pool.acquire("careless").value.users += 1

        careless()
        gc.collect()
        with pool.acquire(deadline_s=5) as lease:
            assert lease.value.users == 0, "the state of a dropped resource is unknown"
        until(lambda: pool.stats().alarms == 1)
        (alarm,) = pool.alarms()
        assert (alarm.kind, alarm.taker.who, pool.stats().lost) == ("lost", "careless", 1)
        assert any(name == "careless" for _, _, name in alarm.taker.stack)
        assert len(closed) == 1


def test_an_old_lease_raises_one_alarm_with_its_stack_and_stays_valid():
    seen = []
    with Pool(Thing, size=1, age_alarm_s=0.05, on_alarm=seen.append) as pool:
        with pool.acquire("slow") as lease:
            until(lambda: seen)
            time.sleep(0.1)
            assert not lease.value.closed
        assert [a.kind for a in seen] == ["age"]
        assert "test_pool.py" in str(seen[0]) and "slow" in str(seen[0])


def test_lifetime_idle_limit_and_check_replace_a_resource():
    made = []

    def make():
        made.append(Thing())
        return made[-1]

    with Pool(make, size=1, lifetime_s=0.05) as pool:
        first = pool.acquire()
        first.release()
        time.sleep(0.08)
        with pool.acquire() as lease:
            assert lease.value is made[1]
    with Pool(make, size=1, check=lambda t: not t.closed, check_after_s=0) as pool:
        with pool.acquire() as lease:
            lease.value.closed = True
        with pool.acquire() as lease:
            assert not lease.value.closed
    with Pool(make, size=1, idle_s=0.05, age_alarm_s=0.04) as pool:
        pool.acquire().release()
        until(lambda: pool.stats().idle == 0)
        assert pool.stats().closed == 1


def test_a_resource_that_cannot_be_reset_or_made_is_replaced_or_said():
    def stubborn(_):
        raise RuntimeError("broken")

    with Pool(Thing, size=1, reset=stubborn) as pool:
        pool.acquire().release()
        assert (pool.stats().idle, pool.stats().closed) == (0, 1)
        pool.acquire().release()

    def refuse():
        raise ConnectionRefusedError("nobody listens")

    with Pool(refuse, size=1, name="db") as pool:
        for _ in range(3):
            with pytest.raises(LeaseError, match="cannot make") as e:
                pool.acquire(deadline_s=0.1)
            assert "nobody listens" in e.value.got
        assert pool.stats().failed == 3 and pool.stats().leased == 0


def test_a_closed_pool_wakes_its_waiters():
    pool = Pool(Thing, size=1)
    lease, failed = pool.acquire(), []

    def wait():
        try:
            pool.acquire(deadline_s=30)
        except LeaseError as e:
            failed.append(e.what)

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: pool.stats().waiting == 1)
    pool.close()
    thread.join(5)
    assert failed == ["the pool is closed"]
    lease.release()
    assert pool.stats().closed == 1


def test_numbers_are_checked():
    for bad in ({"size": 0}, {"size": 1, "deadline_s": 0}, {"size": 1, "age_alarm_s": -1}):
        with pytest.raises(BadInputError):
            Pool(Thing, **bad)


@pytest.mark.parametrize("seed", range(3))
def test_no_resource_is_ever_shared_whatever_callers_do(seed):
    """Threads acquire, hold, break, drop and time out at random; the invariants hold throughout."""
    pool = Pool(Thing, size=3, deadline_s=0.05, max_waiting=4, lifetime_s=0.02, age_alarm_s=0.05)
    shared, alive, lock = [], set(), threading.Lock()

    def work(k):
        rng = random.Random(seed * 100 + k)
        for _ in range(60):
            try:
                lease = pool.acquire()
            except (OverloadedError, PoolTimeoutError):
                continue
            with lock:
                lease.value.users += 1
                shared.append(lease.value.users)
                alive.add(id(lease.value))
                shared.append(1 if len(alive) <= 3 else 99)
            time.sleep(rng.random() * 0.003)
            with lock:
                lease.value.users -= 1
                alive.discard(id(lease.value))
            fate = rng.random()
            if fate < 0.8:
                lease.release(broken=fate < 0.1)
            del lease

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    gc.collect()
    until(lambda: pool.stats().leased == 0)
    stats = pool.stats()
    assert set(shared) == {1}
    assert stats.lost > 0
    assert stats.made - stats.closed == stats.idle <= 3
    assert stats.granted == len(shared) // 2
    assert len(pool.waits()) == stats.granted + stats.timeouts + stats.shed + stats.failed
    pool.close()
    assert pool.stats().made == pool.stats().closed


FORKED = """
import os, sys
from facelab.serving import Pool
from facelab.core.errors import FacelabError

log, said = [], []
pool = Pool(lambda: "connection", size=2, reset=log.append, close=log.append)
lease = pool.acquire("parent")
pool.acquire("idle").release()
log.clear()
child = os.fork()
if child == 0:
    for call in (lambda: lease.value, lambda: pool.acquire("child", deadline_s=1)):
        try:
            call()
        except FacelabError as e:
            said.append("before this process was forked" in str(e))
    lease.release()
    pool.close()
    del lease
    os._exit(0 if said == [True, True] and not log else 1)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert code == 0, code
assert lease.value == "connection" and pool.stats().leased == 1
lease.release()
pool.close()
assert log == ["connection"] * 3, log  # one reset, two closes
"""


def test_a_forked_process_does_not_touch_its_parents_resources():
    """Two processes on one connection would mix their answers; a reset in the child would end the parent's work."""
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.std


@pytest.mark.parametrize("granted", [False, True])
def test_an_interrupted_wait_loses_no_resource(granted, monkeypatch):
    """Ctrl-C in a notebook while a caller waits: what was granted to it goes to the next one."""
    with Pool(object, size=1, deadline_s=5) as pool:
        held = pool.acquire()
        ready = threading.Event.wait

        def interrupted(event, timeout=None):
            if granted:
                held.release()
                assert ready(event, timeout)
            raise KeyboardInterrupt

        with monkeypatch.context() as m:
            m.setattr(threading.Event, "wait", interrupted)
            with pytest.raises(KeyboardInterrupt):
                pool.acquire()
        held.release()
        assert pool.stats().waiting == 0
        with pool.acquire(deadline_s=1):
            assert pool.stats().leased == 1
