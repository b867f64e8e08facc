"""Issue 22.7: a name proves nothing; the record of trust is stored outside the folders of weights."""

import hashlib
import json
import shutil

import pytest

from facelab import cli
from facelab.core.errors import IntegrityError
from facelab.zoo import _store as zoo_store
from facelab.zoo._catalogue import ModelEntry, load_catalogue
from facelab.zoo.internals import trust


@pytest.fixture
def models(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("FACELAB_MODELS", str(folder))
    monkeypatch.setenv("FACELAB_TRUST", str(tmp_path / "elsewhere" / "trust.jsonl"))
    monkeypatch.delenv("FACELAB_MIRROR", raising=False)
    return folder


def unhashed(**changes):
    return ModelEntry(
        **{
            "name": "nohash",
            "kind": "aux",
            "family": "test",
            "runtime": "onnx",
            "what": "a file",
            "file": "nohash.onnx",
            "hash_note": "nobody published one",
            "licence": "MIT",
            "source": "somewhere",
            **changes,
        }
    )


def test_a_planted_converted_network_is_not_used(models, tmp_path):
    entry = load_catalogue().model("mtcnn-pnet")
    real = zoo_store.locate(entry)
    genuine = real.read_bytes()
    planted = load_catalogue().model("mtcnn-rnet")
    other = zoo_store.locate(planted).read_bytes()
    # a file whose name holds its own hash, as the attacker can compute it
    sha = hashlib.sha256(other).hexdigest()[:16]
    real.unlink()
    fake = real.with_name(".".join([*real.name.split(".")[:-2], sha, "onnx"]))
    fake.write_bytes(other)
    found = zoo_store.locate(entry)
    assert found.read_bytes() == genuine
    assert not fake.exists()


def test_a_converted_network_of_another_checkout_is_built_again(models, tmp_path, monkeypatch):
    entry = load_catalogue().model("mtcnn-onet")
    first = zoo_store.locate(entry)
    stamp = first.stat().st_mtime_ns
    assert zoo_store.locate(entry).stat().st_mtime_ns == stamp
    monkeypatch.setenv("FACELAB_TRUST", str(tmp_path / "another.jsonl"))
    assert zoo_store.locate(entry).stat().st_mtime_ns != stamp


def test_a_file_without_a_published_hash_is_unverified_until_it_is_trusted(models):
    entry = unhashed()
    entry.path.write_bytes(b"\x08\x08weights")
    found = zoo_store.status(entry)
    assert (found.state, found.place) == ("unverified", "store")
    for use in (zoo_store.locate, zoo_store.require, zoo_store.fetch):
        with pytest.raises(IntegrityError, match="unverified") as e:
            use(entry)
        assert "--trust-first-use" in e.value.fix
    said = []
    assert zoo_store.fetch(entry, trust_first_use=True, say=said.append) == entry.path
    assert zoo_store.status(entry).state == "present"
    sha = hashlib.sha256(b"\x08\x08weights").hexdigest()
    assert sha in said[0]
    row = json.loads(trust.record_file().read_text().splitlines()[0])
    assert (row["sha256"], row["name"], row["how"]) == (sha, "nohash", "first use")
    assert row["who"] and row["at"] and row["source"] == str(entry.path)
    assert models not in trust.record_file().parents
    # another content under the same name is not trusted
    entry.path.write_bytes(b"\x08\x08others!")
    assert zoo_store.status(entry).state == "unverified"
    with pytest.raises(IntegrityError):
        zoo_store.require(entry)


def test_a_file_of_that_name_in_a_mirror_is_not_present(models, tmp_path, monkeypatch):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    entry = unhashed()
    (mirror / "nohash.onnx").write_bytes(b"\x08\x08weights")
    monkeypatch.setenv("FACELAB_MIRROR", str(mirror))
    assert zoo_store.status(entry).state == "unverified"


def test_verify_says_unverified(models, monkeypatch, capsys):
    from facelab.commands import assets

    entry = unhashed()
    entry.path.write_bytes(b"\x08\x08weights")
    monkeypatch.setattr(assets, "everything", lambda: [entry])
    assert cli.run(["assets", "verify", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["assets"][0]["state"] == "unverified"
    assert "unverified" in err and "--trust-first-use" in err
    assert cli.run(["assets", "fetch", "nohash", "--trust-first-use"]) == 0
    assert cli.run(["assets", "verify"]) == 0


def test_a_broken_record_trusts_nothing_and_stops_nothing(models):
    entry = unhashed()
    entry.path.write_bytes(b"\x08\x08weights")
    trust.record_file().parent.mkdir()
    trust.record_file().write_text('{"name": "nohash"}\nnot json\n[[[[\n\x00\n')
    assert zoo_store.status(entry).state == "unverified"
    zoo_store.fetch(entry, trust_first_use=True)
    assert zoo_store.status(entry).state == "present"


def test_a_record_that_cannot_be_written_leaves_conversion_working(models, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("FACELAB_TRUST", str(tmp_path / "file" / "trust.jsonl"))
    entry = load_catalogue().model("mtcnn-pnet")
    first = zoo_store.locate(entry).read_bytes()
    assert zoo_store.locate(entry).read_bytes() == first
    shutil.rmtree(models)
