"""The store of releases under faults: two services, a full or read-only disk, files swapped while they are read."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from test_slot import flipped, until

from facelab.core.errors import FacelabError, IntegrityError
from facelab.serving import ModelSlot, ReleaseStore
from facelab.serving.internals import Trust
from facelab.serving.releases import _snapshot, _store
from models import bundle, picture


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three bundles with different weights."""
    folder = tmp_path_factory.mktemp("bundles")
    return [bundle(folder, name, seed=k) for k, name in enumerate(("one", "two", "three"), 1)]


@pytest.fixture(scope="module")
def keys():
    import minisign

    return minisign.KeyPair.generate()


def fail(slot, times=3):
    """Requests that a release fails, as often as its watch takes."""
    for _ in range(times):
        with pytest.raises(RuntimeError), slot.lease():
            raise RuntimeError("the model answers nonsense")


def sign(folder, pair):
    data = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json.minisig").write_bytes(bytes(pair.secret_key.sign(data)))


class TestTwoServices:
    """Both follow one store, and both see the new release fail."""

    def test_the_second_one_does_not_withdraw_what_the_first_went_back_to(self, made, tmp_path):
        with ModelSlot(tmp_path / "s") as one, ModelSlot(tmp_path / "s") as two:
            for folder in made:
                assert one.offer(folder).accepted and two.follow().accepted
            names = one.store.status().stack
            fail(one)
            until(lambda: one.release.hash == names[1])
            fail(two)
            until(lambda: two.release.hash == names[1])
            status = one.store.status()
            assert status.stack == names[:2] and set(status.withdrawn) == {names[2]}
            assert [line["what"] for line in one.store.audit.read()].count("rollback") == 1

    def test_a_release_that_came_meanwhile_is_not_withdrawn_for_the_one_before(
        self, made, tmp_path
    ):
        with ModelSlot(tmp_path / "s") as one:
            other = ReleaseStore(tmp_path / "s")
            assert one.offer(made[0]).accepted and one.offer(made[1]).accepted
            bad = one.release.hash
            good = other.admit(made[2]).manifest.hash
            other.promote(good, reason="corrected")
            fail(one)
            until(lambda: one.release.hash == good)
            status = other.status()
            assert status.current == good and set(status.withdrawn) == {bad}
            assert bad not in status.stack, "nobody goes back to it"

    def test_promotions_and_rollbacks_of_two_processes_keep_the_state_whole(self, made, tmp_path):
        store = ReleaseStore(tmp_path / "s")
        names = [store.admit(folder).manifest.hash for folder in made]
        program = """
import sys
from facelab.core.errors import FacelabError
from facelab.serving import ReleaseStore
store, names = ReleaseStore(sys.argv[1]), sys.argv[2:]
for k in range(30):
    store.promote(names[k % len(names)], reason="race", again=True)
    if k % 3 == 2:
        try:
            store.rollback(reason="race")
        except FacelabError as e:
            assert "no earlier release" in e.what, e
"""
        command = [sys.executable, "-c", program, tmp_path / "s", *names]
        runs = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        assert [run.communicate(timeout=300)[1] for run in runs] == ["", ""]
        current = None
        for line in store.audit.read():
            assert line["before"] == current, "each change says what it found"
            current = line["after"]
        assert store.current() == current and len(set(store.status().stack)) <= 3


class TestFiles:
    """Files change while they are read."""

    def test_the_signature_that_was_checked_is_the_one_that_is_kept(
        self, made, tmp_path, keys, monkeypatch
    ):
        """Swapped after the check, it would make the store refuse a good bundle ever after."""
        folder = Path(shutil.copytree(made[0], tmp_path / "b"))
        sign(folder, keys)
        good = (folder / "manifest.json.minisig").read_bytes()
        copy = _snapshot._copy

        def swapped(*args):
            (folder / "manifest.json.minisig").write_bytes(b"untrusted comment: x\nnonsense\n")
            copy(*args)

        trust = Trust([keys.public_key.to_base64().decode()], unsigned="refuse")
        store = ReleaseStore(tmp_path / "s", trust=trust)
        with monkeypatch.context() as m:
            m.setattr(_snapshot, "_copy", swapped)
            name = store.admit(folder).manifest.hash
        assert store.manifest(name).hash == name
        (store.home(name) / "manifest.json.minisig").write_bytes(b"rotten")
        with pytest.raises(IntegrityError):
            store.manifest(name)
        (folder / "manifest.json.minisig").write_bytes(good)
        store.admit(folder)
        assert store.manifest(name).hash == name, "offered again, it is whole again"

    @pytest.mark.parametrize("what", ["model", "golden"])
    def test_a_copy_that_rotted_is_made_anew_when_its_bundle_is_offered_again(
        self, made, tmp_path, what
    ):
        with ModelSlot(tmp_path / "s") as slot:
            for folder in made[:2]:
                assert slot.offer(folder).accepted
            old = slot.store.status().previous
            if what == "model":
                flipped(slot.store.home(old))
            else:
                for file in (slot.store.home(old) / "golden" / "outputs").iterdir():
                    file.write_bytes(b"rotten")
            assert not slot.rollback().accepted
            assert slot.offer(made[0]).accepted and slot.release.hash == old
            assert [p.name for p in (tmp_path / "s").glob(".new-*")] == []

    def test_a_link_that_turns_to_another_bundle_meanwhile_mixes_nothing(
        self, made, tmp_path, monkeypatch
    ):
        (tmp_path / "releases").mkdir()
        for folder in made[:2]:
            shutil.copytree(folder, tmp_path / "releases" / folder.name)
        link = tmp_path / "current"
        link.symlink_to(tmp_path / "releases")
        copy, turned = _snapshot._copy, []

        def turn(root, entry, into):
            if not turned:  # the folder itself is replaced, as a link above it could be
                turned.append((tmp_path / "releases" / "one").rename(tmp_path / "away"))
                (tmp_path / "releases" / "two").rename(tmp_path / "releases" / "one")
            copy(root, entry, into)

        monkeypatch.setattr(_snapshot, "_copy", turn)
        store = ReleaseStore(tmp_path / "s")
        with pytest.raises(IntegrityError, match="is not the file that the manifest promises"):
            store.admit(link / "one")
        assert list((tmp_path / "s" / "releases").iterdir()) == []

    def test_a_manifest_with_the_hash_of_another_bundle_is_refused(self, made, tmp_path):
        store = ReleaseStore(tmp_path / "s")
        real = store.admit(made[0]).manifest.hash
        before = {p.name: p.read_bytes() for p in store.home(real).iterdir() if p.is_file()}
        forged = Path(shutil.copytree(made[1], tmp_path / "forged"))
        text = (forged / "manifest.json").read_text()
        own = store.admit(made[1]).manifest.hash
        (forged / "manifest.json").write_text(text.replace(own, real))
        with pytest.raises(FacelabError, match=r"manifest"):
            store.admit(forged)
        after = {p.name: p.read_bytes() for p in store.home(real).iterdir() if p.is_file()}
        assert before == after

    def test_a_clock_that_jumps_costs_a_release_that_waits_at_most_a_second_offer(
        self, made, tmp_path, monkeypatch
    ):
        """A board without a battery starts in 1970 and learns the year later."""
        with ModelSlot(tmp_path / "s") as slot:
            assert slot.offer(made[0]).accepted
            waits = slot.store.admit(made[1]).manifest.hash
            with monkeypatch.context() as m:
                m.setattr(_store.time, "time", lambda: 4e9)
                assert slot.offer(made[2]).accepted
            assert not slot.store.home(waits).exists()
            with pytest.raises(FacelabError, match="cannot be opened"):
                slot.store.promote(waits, reason="test")
            assert slot.offer(made[1]).accepted and slot.release.hash == waits


class TestDisk:
    """The disk takes no change."""

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
    def test_a_failing_release_goes_even_so(self, made, tmp_path, monkeypatch, code):
        with ModelSlot(tmp_path / "s") as slot:
            assert slot.offer(made[0]).accepted and slot.offer(made[1]).accepted
            good, bad = slot.store.status().stack

            def full(*_, **__):
                raise OSError(code, os.strerror(code))

            with monkeypatch.context() as m:
                m.setattr(_store, "write_json", full)
                m.setattr(type(slot.store.audit), "append", full)
                fail(slot)
                until(lambda: slot.release.hash == good)
                assert slot.store.current() == bad, "the disk still says so"
                assert not slot.offer(made[2]).accepted and slot.release.hash == good
            with slot.lease() as release:
                assert release.run(picture()).release == good
            assert slot.offer(made[2]).accepted, "once there is room"

    def test_a_full_audit_stops_no_change_and_is_written_later(self, made, tmp_path, monkeypatch):
        with ModelSlot(tmp_path / "s") as slot:
            assert slot.offer(made[0]).accepted
            audit = type(slot.store.audit)

            def full(*_, **__):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            with monkeypatch.context() as m:
                m.setattr(audit, "append", full)
                assert slot.offer(made[1]).accepted and slot.rollback("bad").accepted
            assert [line["what"] for line in slot.store.audit.read()] == ["promote"]
            assert slot.offer(made[2]).accepted
            found = [line["what"] for line in slot.store.audit.read()]
            assert found == ["promote", "promote", "rollback", "promote"]
            assert slot.store.audit.read()[2]["reason"] == "bad"
