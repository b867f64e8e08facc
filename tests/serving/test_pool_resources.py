"""One contract for sessions, PostgreSQL connections and Valkey clients, on the real things."""

import gc
import time

import numpy as np
import pytest

from facelab.serving import postgres_connections
from facelab.serving.internals import onnx_sessions, valkey_clients


@pytest.fixture
def model(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    shape = [1, 4]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(made, tmp_path / "double.onnx")
    return tmp_path / "double.onnx"


def session(request):
    x = np.ones((1, 4), np.float32)
    return onnx_sessions(request.getfixturevalue("model"), size=2), lambda m: m.run(x)[0][0, 0]


def connection(request):
    pool = postgres_connections(request.getfixturevalue("postgres"), size=2)
    return pool, lambda c: c.execute("select 2").fetchone()[0]


def client(request):
    pool = valkey_clients(request.getfixturevalue("valkey"), size=2)
    return pool, lambda c: c.incrby(f"key-{time.monotonic_ns()}", 2)


@pytest.fixture(params=[session, connection, client], ids=["sessions", "PostgreSQL", "Valkey"])
def kind(request):
    pool, work = request.param(request)
    yield pool, work
    pool.close()


def test_the_contract(kind):
    pool, work = kind
    for _ in range(5):
        with pool.acquire() as a, pool.acquire() as b:
            assert a.value is not b.value
            assert work(a.value) == work(b.value) == 2
    assert pool.stats().made == 2
    pool.acquire("careless")
    gc.collect()
    with pool.acquire(deadline_s=5) as a, pool.acquire(deadline_s=5) as b:
        assert work(a.value) == work(b.value) == 2
    assert pool.stats().lost == 1


@pytest.mark.parametrize("options", [{}, {"check_after_s": 0}])
def test_a_connection_that_the_server_ended_while_it_rested_is_replaced(postgres, options):
    """As all are by a restart; no call may fail for it, however short the rest was."""
    with postgres_connections(postgres, size=1, **options) as pool:
        with pool.acquire() as lease:
            pid = lease.value.info.backend_pid
        with postgres_connections(postgres, size=1) as other, other.acquire() as lease:
            lease.value.execute("select pg_terminate_backend(%s)", [pid])
        time.sleep(0.1)
        with pool.acquire() as lease:
            assert lease.value.execute("select 1").fetchone() == (1,)
            assert lease.value.info.backend_pid != pid


def test_a_lease_that_the_server_ended_fails_alone(postgres):
    """A server that is restarted while a lease is held: that call fails, and its successor has a new connection."""
    import psycopg

    with postgres_connections(postgres, size=1) as pool:
        with pool.acquire() as lease, postgres_connections(postgres, size=1) as other:
            with other.acquire() as killer:
                pid = lease.value.info.backend_pid
                killer.value.execute("select pg_terminate_backend(%s)", [pid])
            with pytest.raises(psycopg.OperationalError):
                for _ in range(100):
                    lease.value.execute("select 1")
                    time.sleep(0.02)
        for _ in range(3):
            with pool.acquire() as lease:
                assert lease.value.execute("select 1").fetchone() == (1,)
        assert pool.stats().made == 2 and pool.stats().failed == 0


def test_a_transaction_left_open_does_not_reach_the_next_caller(postgres):
    with postgres_connections(postgres, size=1) as pool:
        with pool.acquire() as lease:
            lease.value.execute("create temporary table left_open (n int)")
        with pool.acquire() as lease:
            found = lease.value.execute("select to_regclass('left_open')").fetchone()
            assert found == (None,)


def test_a_server_that_is_not_there_is_said():
    from facelab.serving.pools._lease import LeaseError

    with (
        postgres_connections("host=/nonexistent user=x", size=1) as pool,
        pytest.raises(LeaseError, match="cannot make"),
    ):
        pool.acquire()
