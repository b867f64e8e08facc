"""Hot reload: a good bundle takes over without a failed or mixed request, a bad one changes nothing and says why."""

import contextlib
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from facelab.core.errors import CheckFailedError, FacelabError, MissingAssetError
from facelab.deploy import policy as policies
from facelab.serving import ModelSlot, ReleaseStore
from facelab.serving.internals import Trust
from models import bundle, picture, write_model


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two bundles that differ in weights, preprocessing and labels."""
    folder = tmp_path_factory.mktemp("bundles")
    return bundle(folder, "one", seed=1), bundle(folder, "two", seed=2, scale=60.0)


@pytest.fixture
def slot(tmp_path, made):
    with ModelSlot(tmp_path / "store") as slot:
        assert slot.offer(made[0]).accepted
        yield slot


@pytest.fixture
def copy(tmp_path, made):
    """A copy of the second bundle for tests that damage it."""
    return Path(shutil.copytree(made[1], tmp_path / "copy"))


def name(slot):
    return slot.release.manifest.name


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def edit(folder, change):
    """Change the manifest and give it the hash of its files, as somebody with a bundle tool could."""
    from facelab.deploy.manifest import canonical_hash

    path = folder / "manifest.json"
    value = json.loads(path.read_text())
    change(value)
    value["hash"] = canonical_hash(value)
    path.write_text(json.dumps(value))


def promise(folder, file):
    """Make the manifest promise what a file really is."""
    from facelab.core.hashing import sha256_file

    def change(value):
        for entry in value["files"]:
            if entry["path"] == file:
                path = folder / file
                entry |= {"bytes": path.stat().st_size, "sha256": sha256_file(path)}

    edit(folder, change)


def truncated(folder):
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes()[:-100])


def flipped(folder):
    path = folder / "model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def link(folder):
    path = folder / "labels.txt"
    path.unlink()
    path.symlink_to("/etc/hostname")


def no_model(folder):
    (folder / "model.onnx").write_bytes(b"this is not a model at all")
    promise(folder, "model.onnx")


def wrong_shape(folder):
    write_model(folder / "model.onnx", seed=2, classes=4)
    promise(folder, "model.onnx")


def other_weights(folder):
    write_model(folder / "model.onnx", seed=99)
    promise(folder, "model.onnx")


def missing(folder):
    (folder / "preprocess.json").unlink()


def no_manifest(folder):
    (folder / "manifest.json").write_text('{"schema": "facelab.bundle/2", "schema": 1}')


def outside(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"labels.txt"', '"../../outside"'))


def pipe(folder):
    (folder / "labels.txt").unlink()
    os.mkfifo(folder / "labels.txt")


@pytest.mark.parametrize(
    "damage, words",
    [
        (truncated, "model.onnx is not the file"),
        (flipped, "model.onnx is not the file"),
        (link, "not a link"),
        (pipe, "device or a pipe"),
        (no_model, "not a model"),
        (wrong_shape, "outputs are not those"),
        (other_weights, "golden self-test"),
        (missing, "cannot be opened"),
        (no_manifest, "twice"),
        (outside, "inside the bundle"),
    ],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_a_bad_bundle_changes_nothing_and_says_why(slot, copy, damage, words):
    before = slot.store.status()
    damage(copy)
    swap = slot.offer(copy)
    assert not swap.accepted and words in swap.why and "fix:" in swap.why, swap.why
    assert name(slot) == "one"
    after = slot.store.status()
    assert (after.current, after.stack) == (before.current, before.stack)
    assert slot.store.audit.read()[-1]["what"] == "refuse"
    with slot.lease() as release:
        assert release.run(picture()).label.startswith("one-")
    assert not list(slot.store.folder.glob(".new-*"))


@pytest.mark.parametrize(
    "rule, words",
    [
        ("model_mb = 0.001", "too large for the device"),
        ("memory_mb = 1", "would exceed the memory budget"),
    ],
)
def test_a_bundle_over_the_budget_is_refused(tmp_path, made, rule, words):
    policy = policies.parse(f'schema = "facelab.policy/1"\n[device]\n{rule}', "policy")
    with ModelSlot(tmp_path / "store", policy=policy) as slot:
        swap = slot.offer(made[0])
        assert not swap.accepted and words in swap.why
        with pytest.raises(MissingAssetError), slot.lease():
            pass


def test_another_task_is_refused(tmp_path, made):
    with ModelSlot(tmp_path / "store", task="embedding") as slot:
        assert "another task" in slot.offer(made[0]).why


def test_a_swap_takes_model_preprocessing_and_labels_together(slot, made):
    with slot.lease() as old:
        swapped = []
        thread = threading.Thread(target=lambda: swapped.append(slot.offer(made[1])))
        thread.start()
        until(lambda: name(slot) == "two")
        assert old.run(picture()).label.startswith("one-"), "a lease keeps its release"
        with slot.lease() as new:
            assert new.run(picture()).label.startswith("two-")
            assert new.spec.hash != old.spec.hash
    thread.join()
    assert swapped[0].accepted and swapped[0].drain_s > 0
    with pytest.raises(FacelabError, match="closed"):
        old.run(picture())


def test_rollback_withdraws_and_the_store_remembers(slot, made):
    slot.offer(made[1])
    assert slot.rollback("it was late").accepted
    assert name(slot) == "one"
    swap = slot.offer(made[1])
    assert not swap.accepted and "withdrawn" in swap.why and "it was late" in swap.why
    slot.store.promote(swap_hash(made[1]), reason="corrected", again=True)
    assert slot.follow().accepted and name(slot) == "two"
    what = [line["what"] for line in slot.store.audit.read()]
    assert what == ["promote", "promote", "rollback", "refuse", "promote"]


def swap_hash(folder):
    return json.loads((folder / "manifest.json").read_text())["hash"]


def test_there_is_nothing_before_the_first_release(slot):
    swap = slot.rollback()
    assert not swap.accepted and "no earlier release" in swap.why and name(slot) == "one"


def test_a_release_over_the_latency_budget_rolls_itself_back(tmp_path, made):
    text = 'schema = "facelab.policy/1"\n[device]\nlatency_p50_ms = 30'
    with ModelSlot(tmp_path / "store", policy=policies.parse(text, "policy")) as slot:
        slot.offer(made[0])
        slot.offer(made[1])
        for _ in range(20):
            with slot.lease():
                time.sleep(0.035)
        until(lambda: name(slot) == "one")
        assert "P50" in slot.store.status().withdrawn[swap_hash(made[1])]


def test_a_release_that_fails_rolls_itself_back_but_a_bad_image_does_not(slot, made):
    from facelab.core.errors import BadInputError

    slot.offer(made[1])
    for _ in range(10):
        with pytest.raises(BadInputError), slot.lease() as release:
            release.run(b"not an image")
    time.sleep(0.1)
    assert name(slot) == "two"
    for _ in range(3):
        with pytest.raises(RuntimeError), slot.lease():
            raise RuntimeError("the runtime crashed")
    until(lambda: name(slot) == "one")


@pytest.mark.parametrize("way", ["link", "rename", "in place, slowly"])
def test_a_watched_bundle_is_taken_however_it_is_written(tmp_path, made, way):
    here = tmp_path / "live"
    if way == "link":
        here.symlink_to(made[0])
    else:
        shutil.copytree(made[0], here)
    with ModelSlot(tmp_path / "store") as slot:
        assert slot.offer(here).accepted
        slot.watch(here, settle_s=0.15)
        if way == "link":
            (tmp_path / "new").symlink_to(made[1])
            (tmp_path / "new").replace(here)
        elif way == "rename":
            shutil.copytree(made[1], tmp_path / "new")
            here.rename(tmp_path / "old")
            (tmp_path / "new").rename(here)
        else:
            for path in sorted(p for p in made[1].rglob("*") if p.is_file()):
                target = here / path.relative_to(made[1])
                data = path.read_bytes()
                with target.open("wb") as f:
                    f.write(data[: len(data) // 2])
                    f.flush()
                    if path.name in ("model.onnx", "manifest.json"):
                        time.sleep(0.1)
                    f.write(data[len(data) // 2 :])
        until(lambda: len(slot.swaps) > 1)
        assert name(slot) == "two"
        assert [s.accepted for s in slot.swaps] == [True, True], (
            "no half-written bundle was offered"
        )


def test_another_process_promotes_and_rolls_back_through_the_store(slot, made):
    slot.watch()
    other = ReleaseStore(slot.store.folder)
    other.promote(other.admit(made[1]).manifest.hash, reason="by hand")
    until(lambda: name(slot) == "two")
    other.rollback(reason="by hand")
    until(lambda: name(slot) == "one")


@pytest.mark.slow
def test_a_held_node_argument_is_seen(tmp_path):
    """The session's Python object dies, yet its weights stay: `old_gone` is measured in bytes."""
    big = [bundle(tmp_path, f"big{k}", seed=k, mb=6) for k in range(3)]
    with ModelSlot(tmp_path / "store") as slot:
        slot.offer(big[0])
        assert slot.offer(big[1]).old_gone is True
        held = slot.release.model.handle.get_inputs()[0]
        assert slot.offer(big[2]).old_gone is False
        assert held.name == "image"


def test_requests_under_swaps_never_fail_and_never_mix(slot, made):
    """Each answer's numbers are those that its own release gives for the picture, bit for bit."""
    pictures = [picture(k) for k in range(4)]
    truth = {}
    for folder in made:
        with ModelSlot() as alone:
            alone.offer(folder)
            truth[alone.release.hash] = [alone.release.run(p) for p in pictures]
    stop, answers, errors = threading.Event(), [], []

    def ask(k):
        while not stop.is_set():
            try:
                with slot.lease() as release:
                    answers.append((k, release.run(pictures[k])))
            except Exception as e:
                errors.append(e)
            time.sleep(0.002)

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for k in range(8):
        assert slot.offer(made[(k + 1) % 2]).accepted
    stop.set()
    for t in threads:
        t.join()
    assert not errors
    for k, got in answers:
        want = truth[got.release][k]
        assert got.label == want.label
        np.testing.assert_array_equal(got.arrays[0], want.arrays[0])
    assert {a.release for _, a in answers} == set(truth)


def test_no_thread_of_the_service_is_nice(tmp_path, made):
    """A nice thread holds the interpreter's lock while it waits for a core, and a runtime's threads inherit it."""
    with ModelSlot(tmp_path / "store", threads=2) as slot:
        slot.offer(made[0])
        nice = [
            int((task / "stat").read_text().rpartition(")")[2].split()[16])
            for task in Path("/proc/self/task").iterdir()
        ]
        assert max(nice) <= os.getpriority(os.PRIO_PROCESS, 0)


@pytest.fixture(scope="module")
def keys():
    import minisign

    return minisign.KeyPair.generate(), minisign.KeyPair.generate()


class TestSignatures:
    @staticmethod
    def sign(folder, pair, beside=False):
        data = (folder / "manifest.json").read_bytes()
        signature = bytes(pair.secret_key.sign(data, trusted_comment="release 7"))
        at = folder.with_name(folder.name + ".minisig") if beside else None
        (at or folder / "manifest.json.minisig").write_bytes(signature)

    @staticmethod
    def trust(pair, **options):
        return Trust([pair.public_key.to_base64().decode()], **options)

    @pytest.mark.parametrize("beside", [False, True])
    def test_a_signed_bundle_is_taken_and_its_signer_kept(self, tmp_path, copy, keys, beside):
        self.sign(copy, keys[0], beside)
        store = ReleaseStore(tmp_path / "store", trust=self.trust(keys[0], unsigned="refuse"))
        with ModelSlot(store) as slot:
            assert slot.offer(copy).accepted
            assert slot.release.signer == "signed: release 7"

    def test_unsigned_wrong_and_foreign_signatures_are_refused(self, tmp_path, copy, keys):
        store = ReleaseStore(tmp_path / "store", trust=self.trust(keys[0], unsigned="refuse"))
        with pytest.raises(FacelabError, match="not signed"):
            store.admit(copy)
        self.sign(copy, keys[1])
        with pytest.raises(FacelabError, match="signature does not hold"):
            store.admit(copy)
        self.sign(copy, keys[0])
        edit(copy, lambda value: value.update(name="renamed"))
        with pytest.raises(FacelabError, match="signature does not hold"):
            store.admit(copy)
        (copy / "manifest.json.minisig").write_bytes(b"\xff\xfe rubbish")
        with pytest.raises(FacelabError, match="signature does not hold"):
            store.admit(copy)

    def test_a_wrong_signature_is_refused_even_where_unsigned_is_allowed(
        self, tmp_path, copy, keys
    ):
        self.sign(copy, keys[1])
        with pytest.raises(FacelabError, match="signature does not hold"):
            ReleaseStore(tmp_path / "store", trust=self.trust(keys[0])).admit(copy)

    def test_a_store_that_others_filled_is_held_to_the_trust_of_the_one_who_loads(
        self, tmp_path, copy, keys
    ):
        """Promoted where unsigned is allowed, or by a key that was withdrawn since: the service loads neither."""
        allows = ReleaseStore(tmp_path / "store")
        name = allows.admit(copy).manifest.hash
        allows.promote(name, reason="a test")
        strict = ReleaseStore(tmp_path / "store", trust=self.trust(keys[0], unsigned="refuse"))
        with ModelSlot(strict) as slot:
            swap = slot.follow()
            assert not swap.accepted and "not signed" in swap.why and slot.release is None
            self.sign(copy, keys[0])
            assert slot.offer(copy).accepted and slot.release.hash == name
        other = ReleaseStore(tmp_path / "store", trust=self.trust(keys[1], unsigned="refuse"))
        with ModelSlot(other) as slot:
            swap = slot.follow()
            assert not swap.accepted and "signature does not hold" in swap.why
        with ModelSlot(strict) as slot:
            assert slot.follow().accepted

    def test_nobody_goes_back_to_a_release_that_is_not_trusted(self, tmp_path, copy, made, keys):
        allows = ReleaseStore(tmp_path / "store")
        first = allows.admit(copy).manifest.hash
        allows.promote(first, reason="a test")
        second = tmp_path / "second"
        shutil.copytree(made[0], second)
        self.sign(second, keys[0])
        strict = ReleaseStore(tmp_path / "store", trust=self.trust(keys[0], unsigned="refuse"))
        with ModelSlot(strict) as slot:
            assert slot.offer(second).accepted
            swap = slot.rollback()
            assert not swap.accepted and "not signed" in swap.why
            assert strict.current() == slot.release.hash

    def test_a_key_that_cannot_be_read_is_said(self):
        with pytest.raises(FacelabError, match="public key cannot be read"):
            Trust(["no key"])


def test_a_rotten_disk_is_seen_before_the_load(slot, made):
    slot.offer(made[1])
    home = slot.store.home(swap_hash(made[0]))
    flipped(home)
    with pytest.raises(FacelabError, match=r"model.onnx is not the file"):
        slot.store.rollback(reason="test")


def test_an_edited_audit_is_seen_and_a_cut_line_is_dropped(slot, made):
    audit = slot.store.audit
    slot.offer(made[1])
    whole = audit.path.read_bytes()
    audit.path.write_bytes(whole + b'{"half')
    assert len(audit.read()) == 2
    audit.append("note")
    assert [line["what"] for line in audit.read()] == ["promote", "promote", "note"]
    audit.path.write_bytes(whole.replace(b'"promote"', b'"rollout"', 1))
    with pytest.raises(FacelabError, match="edited"):
        audit.read()


def test_an_append_reads_the_end_of_the_audit_only(tmp_path):
    """A swap appends a line: a long audit must not cost it time, and a line may be longer than a block."""
    from facelab.serving._audit import BLOCK, Audit

    audit = Audit(tmp_path / "audit.jsonl")
    for n in (5, BLOCK - 1, BLOCK, 3 * BLOCK, 7):
        audit.append("note", reason="x" * n)
    for _ in range(300):
        audit.append("promote", reason="x" * 200)
    assert len(audit.read()) == 305
    read = []

    class Watched(type(tmp_path)):
        @contextlib.contextmanager
        def open(self, mode):
            with open(self, mode) as f:  # noqa: PTH123
                real = f.read
                watched = SimpleNamespace(
                    seek=f.seek, write=f.write, flush=f.flush, fileno=f.fileno
                )
                watched.read = lambda n: (read.append(n), real(n))[1]
                yield watched

    audit.path = Watched(audit.path)
    audit.append("note")
    assert sum(read) <= 2 * BLOCK
    assert len(Audit(tmp_path / "audit.jsonl").read()) == 306


def test_withdrawn_needs_again(slot, made):
    slot.offer(made[1])
    slot.rollback("bad")
    with pytest.raises(CheckFailedError, match="withdrawn"):
        slot.store.promote(slot.store.admit(made[1]).manifest.hash, reason="x")
