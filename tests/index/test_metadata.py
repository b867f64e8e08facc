"""One contract for SQLite and etcd; lost answers are settled and never guessed."""

import contextlib
import socket
import threading
import time

import pytest

from facelab.core.errors import BadInputError, IntegrityError, UnsupportedError
from facelab.index import Collection, open_metadata
from facelab.index.internals import Outcome, Swap, local_etcd
from facelab.index.metadata._contract import Metadata
from facelab.index.metadata._etcd import EtcdMetadata, never_left
from facelab.index.metadata._settle import UnreachableError, UnsettledError, settle
from facelab.index.metadata._sqlite import SqliteMetadata
from facelab.studies import index_histories


@pytest.fixture(scope="module")  # a server that waits takes a share of the processor
def etcd():
    from shutil import which

    if which("etcd") is None:
        pytest.skip("Debian's etcd-server is not installed")
    with local_etcd(1) as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "etcd"])
def meta(request, tmp_path):
    if request.param == "sqlite":
        yield SqliteMetadata(tmp_path / "m.sqlite")
        return
    cluster = request.getfixturevalue("etcd")
    with contextlib.closing(
        EtcdMetadata(cluster.endpoints, prefix=f"test/{tmp_path.name}")
    ) as opened:
        yield opened


def test_a_swap_names_the_version_that_it_replaces(meta):
    assert meta.get("a/0") is None
    first = meta.swap("a/0", None, b"one")
    assert first.outcome is Outcome.DONE
    assert meta.get("a/0").value == b"one" and meta.get("a/0").version == first.version
    again = meta.swap("a/0", None, b"two")
    assert again.outcome is Outcome.NOT_DONE and again.compared
    wrong = meta.swap("a/0", first.version + 7, b"two")
    assert wrong.outcome is Outcome.NOT_DONE and wrong.compared
    second = meta.swap("a/0", first.version, b"two")
    assert second.outcome is Outcome.DONE and second.version > first.version
    assert meta.get("a/0").value == b"two"


def test_a_value_that_comes_back_is_not_the_old_one(meta):
    old = meta.swap("k", None, b"A").version
    between = meta.swap("k", old, b"B").version
    meta.swap("k", between, b"A")
    assert meta.swap("k", old, b"C").outcome is Outcome.NOT_DONE  # comparing values would say done


def test_keys_are_listed_by_prefix_and_are_independent(meta):
    for key in ("b/1", "a/1", "a/0", "ab"):
        assert meta.swap(key, None, key.encode()).outcome is Outcome.DONE
    assert meta.keys() == ["a/0", "a/1", "ab", "b/1"]
    assert meta.keys("a/") == ["a/0", "a/1"]
    assert meta.get("a/1").value == b"a/1"


def test_empty_and_binary_values_come_back(meta):
    for i, value in enumerate((b"", bytes(range(256)), b"\0")):
        meta.swap(f"k{i}", None, value)
        assert meta.get(f"k{i}").value == value


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "a b", "ä", "a/../b", "x" * 65, None])
def test_bad_keys_and_values_are_refused(meta, key):
    with pytest.raises(BadInputError):
        meta.swap(key, None, b"")
    with pytest.raises(BadInputError):
        meta.get(key)
    with pytest.raises(BadInputError):
        meta.swap("a", None, bytes((1 << 20) + 1))


def test_one_of_many_threads_wins_each_version(meta):
    for turn in range(5):
        found = meta.get("race")
        version = None if found is None else found.version
        outcomes = []

        def race(i, version=version, turn=turn, outcomes=outcomes):
            outcomes.append(meta.swap("race", version, f"{turn} {i}".encode()).outcome)

        threads = [threading.Thread(target=race, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert outcomes.count(Outcome.DONE) == 1


class Lossy(Metadata):
    """A store whose answers are lost, as scripted: "applied", "never", or "late" (applied by the next request)."""

    name, late = "lossy", True

    def __init__(self, inner, script):
        self.inner, self.script, self.waiting, self.reads = inner, list(script), None, 0

    def keys(self, prefix=""):
        return self.inner.keys(prefix)

    def get(self, key):
        self.reads += 1
        return self.inner.get(key)

    def swap(self, key, expected, value):
        if self.waiting is not None:
            waiting, self.waiting = self.waiting, None
            self.inner.swap(*waiting)
        how = self.script.pop(0) if self.script else "answered"
        if how == "answered":
            return self.inner.swap(key, expected, value)
        if how == "refused":
            return Swap(Outcome.NOT_DONE, reason="connection refused")
        if how == "applied":
            self.inner.swap(key, expected, value)
        if how == "late":
            self.waiting = key, expected, value
        if how == "overwritten":
            version = self.inner.swap(key, expected, value).version
            self.inner.swap(key, version, b"another")
        return Swap(Outcome.UNKNOWN, reason="cut")


@pytest.mark.parametrize(
    "script",
    [
        ["applied"],
        ["never"],
        ["late"],
        ["applied", "never", "never"],
        ["refused", "applied", "refused"],
        ["late", "late", "applied"],
        ["refused", "refused"],
        [],
    ],
)
def test_a_lost_answer_is_settled_and_the_value_is_written_once(tmp_path, script):
    inner = SqliteMetadata(tmp_path / "m.sqlite")
    first = inner.swap("k", None, b"before").version
    swap = settle(Lossy(inner, script), "k", first, b"ours", pause_s=0.001)
    assert swap.outcome is Outcome.DONE
    assert inner.get("k").value == b"ours" and inner.get("k").version == swap.version
    assert swap.version == first + 1  # a second write would have taken another revision


def test_a_swap_that_lost_the_race_is_not_done_without_doubt(tmp_path):
    inner = SqliteMetadata(tmp_path / "m.sqlite")
    first = inner.swap("k", None, b"before").version
    inner.swap("k", first, b"another")
    assert settle(Lossy(inner, []), "k", first, b"ours").outcome is Outcome.NOT_DONE


def test_what_cannot_be_known_is_said(tmp_path):
    inner = SqliteMetadata(tmp_path / "m.sqlite")
    first = inner.swap("k", None, b"before").version
    with pytest.raises(UnsettledError, match="unknown"):
        settle(Lossy(inner, ["overwritten"]), "k", first, b"ours", pause_s=0.001)
    with pytest.raises(UnsettledError):
        settle(Lossy(inner, ["never"] * 999), "k", first, b"x", deadline_s=0.05, pause_s=0.01)
    never = settle(Lossy(inner, ["refused"] * 999), "k", 1, b"x", deadline_s=0.05, pause_s=0.01)
    assert never.outcome is Outcome.NOT_DONE and not never.compared


@pytest.mark.parametrize("script", [["applied"], ["never"], ["late"]])
def test_a_collection_publishes_through_lost_answers(tmp_path, script):
    import numpy as np

    meta = Lossy(SqliteMetadata(tmp_path / "m.sqlite"), [])
    with Collection.create(tmp_path / "c", dimension=2, metadata=meta) as c:
        c.add(np.ones((1, 2), np.float32), ["a"])
        meta.script = list(script)
        assert c.flush() == 2
        c.add(np.full((1, 2), 2, np.float32), ["b"])
    with Collection.open(tmp_path / "c", metadata=meta, write=False) as c:
        assert sorted(e.id for e in c.items()) == ["a", "b"]


def test_a_swap_of_a_dead_writer_that_arrives_late_changes_nothing(tmp_path):
    """The request was under way when its writer died; the next writer has removed the files that it names."""
    import numpy as np

    meta = Lossy(SqliteMetadata(tmp_path / "m.sqlite"), [])
    c = Collection.create(tmp_path / "c", dimension=2, metadata=meta)
    c.add(np.ones((1, 2), np.float32), ["a"])
    meta.script = ["late"]

    def die(step):
        if step == "metadata.swap":
            raise KeyboardInterrupt

    request = {}

    def grab(key, expected, value):
        request["late"] = key, expected, value
        raise KeyboardInterrupt

    ordinary = meta.swap
    meta.swap = grab
    with pytest.raises(KeyboardInterrupt):
        c.flush()
    c.close()
    meta.swap = ordinary
    meta.script = []
    with Collection.open(tmp_path / "c", metadata=meta) as c:
        late = meta.inner.swap(*request["late"])  # it arrives only now
        assert late.outcome is Outcome.NOT_DONE
        c.add(np.full((1, 2), 2, np.float32), ["b"])
        c.flush()
    with Collection.open(tmp_path / "c", metadata=meta) as c:
        assert sorted(e.id for e in c.items()) == ["a", "b"]


class Proxy:
    """A TCP proxy that cuts the connection before an answer, once."""

    def __init__(self, port):
        self.to, self.cut = port, False
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.server.accept()
                threading.Thread(target=self._pair, args=(client,), daemon=True).start()

    def _pair(self, client):
        server = socket.create_connection(("127.0.0.1", self.to))
        threading.Thread(target=self._copy, args=(client, server, False), daemon=True).start()
        self._copy(server, client, True)

    def _copy(self, source, target, answers):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if answers and self.cut:
                    self.cut = False
                    break
                target.sendall(data)
            for s in (source, target):
                s.shutdown(socket.SHUT_RDWR)
        for s in (source, target):
            s.close()


def test_etcd_answers_that_are_cut_are_unknown_and_refused_connections_are_not_done(etcd):
    proxy = Proxy(etcd.clients[0])
    meta = EtcdMetadata([f"http://127.0.0.1:{proxy.port}"], prefix="cut", timeout_s=3)
    first = meta.swap("k", None, b"one")
    assert first.outcome is Outcome.DONE
    proxy.cut = True
    lost = meta.swap("k", first.version, b"two")
    assert lost.outcome is Outcome.UNKNOWN
    assert meta.get("k").value == b"two"  # it took place
    proxy.cut = True
    assert settle(meta, "k", meta.get("k").version, b"three").outcome in (Outcome.DONE,)
    proxy.cut = True
    before = meta.swap("k", None, b"never")
    assert before.outcome is Outcome.UNKNOWN  # it did not, which nobody can know
    meta.close()
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    dead = EtcdMetadata([f"http://127.0.0.1:{port}"], timeout_s=1)
    refused = dead.swap("k", None, b"x")
    assert refused.outcome is Outcome.NOT_DONE and not refused.compared
    with pytest.raises(UnreachableError, match="no etcd"):
        dead.get("k")
    # a cut that happens while a refused connection is being handled is still unknown
    proxy.cut = True
    meta = EtcdMetadata([f"http://127.0.0.1:{proxy.port}"], prefix="cut", timeout_s=3)
    try:
        dead._clients[0].transaction({})
    except Exception as e:
        assert never_left(e)
        inside = meta.swap("k", None, b"never")
    assert inside.outcome is Outcome.UNKNOWN
    dead.close()
    meta.close()
    proxy.server.close()


def test_a_paused_server_is_a_lost_answer(etcd):
    meta = EtcdMetadata(etcd.endpoints, prefix="paused", timeout_s=0.5)
    first = meta.swap("k", None, b"one").version
    etcd.pause(0, stop=True)
    lost = meta.swap("k", first, b"two")
    etcd.pause(0, stop=False)
    assert lost.outcome is Outcome.UNKNOWN
    time.sleep(0.3)
    etcd.ready(0)
    # the gateway may have cancelled it or not: no reading of the error could tell
    assert meta.get("k").value in (b"one", b"two")
    assert settle(meta, "k", first, b"two").outcome is Outcome.DONE
    meta.close()


def test_a_collection_on_etcd_is_read_and_taken_over(etcd, tmp_path):
    import numpy as np

    meta = EtcdMetadata(etcd.endpoints, prefix=f"c/{tmp_path.name}")
    with Collection.create(tmp_path / "c", dimension=2, metadata=meta) as c:
        c.add(np.eye(2, dtype=np.float32), ["a", "b"])
        c.flush()
        c.delete(["a"])
    with Collection.open(tmp_path / "c", metadata=meta) as c:
        assert [e.id for e in c.items()] == ["b"] and c.status().metadata == "etcd"
    with pytest.raises(IntegrityError, match="know nothing"):
        Collection.open(tmp_path / "c")
    with pytest.raises(Exception, match=r"another writer|another version"):
        Collection.create(tmp_path / "d" / "c", dimension=2, metadata=meta)
    meta.close()


def test_sqlite_survives_what_is_not_a_database(tmp_path):
    path = tmp_path / "m.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(IntegrityError, match="damaged"):
        SqliteMetadata(path).get("k")
    with pytest.raises(IntegrityError, match="damaged"):
        SqliteMetadata(path).swap("k", None, b"")


def test_addresses(tmp_path):
    assert open_metadata(f"sqlite:{tmp_path / 'm'}").name == "sqlite"
    for bad in ("", "sqlite", "sqlite:", "redis:x", "etcd:"):
        with pytest.raises(BadInputError):
            open_metadata(bad)
    for bad in ("etcd:ftp://x", "etcd:http://x:99999", "etcd:http://"):
        with pytest.raises(BadInputError):
            open_metadata(bad)


@pytest.mark.parametrize("planted", ["stale", "blind"])
def test_planted_mistakes_on_sqlite_are_found(planted):
    found = index_histories.sqlite_history(
        operations=400, faults=0, keys=2, planted=planted, limit_s=60
    )
    assert found.linearizable is False, found.text()


def test_sqlite_under_kills_is_linearizable():
    found = index_histories.sqlite_history(operations=400, faults=2, limit_s=100)
    assert found.linearizable is True and found.faults == 2 and found.operations >= 400


def test_sqlite_on_a_full_disk_is_linearizable():
    found = index_histories.sqlite_history(
        operations=200, faults=1, limit_s=60, keys=2, file_limit=20_000
    )
    assert found.linearizable is True


@pytest.mark.slow
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("planted", ["none", "blind", "retry"])
def test_etcd_under_kills(etcd, members, planted):
    found = index_histories.etcd_history(
        members=members, operations=5000 if planted == "none" else 1500, planted=planted
    )
    assert found.linearizable is (planted == "none"), found.text()
    assert found.faults == 4


@pytest.mark.slow
@pytest.mark.parametrize("allowed", [True, False])
def test_reads_of_one_member_that_lags_are_found(etcd, monkeypatch, allowed):
    if not allowed:  # stops in place of cuts: a stale read comes about in most runs, not in each
        from facelab.index.metadata import _namespaces

        monkeypatch.setattr(_namespaces.os, "geteuid", lambda: 1000)
    found = index_histories.stale_history(operations=2000)
    assert found.linearizable is False, found.text()


@pytest.mark.slow
def test_members_that_are_cut_from_their_peers(etcd):
    try:
        found = index_histories.etcd_history(members=3, operations=3000, fault="cut")
    except UnsupportedError as e:
        pytest.skip(f"{e.what}: {e.got}")
    assert found.linearizable is True and found.faults == 4, found.text()
