"""Files are found in order, verified before use, and downloaded whole or not at all."""

import bz2
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from facelab.core.errors import BadInputError, IntegrityError, MissingAssetError
from facelab.core.hashing import sha256_bytes
from facelab.zoo import _store as zoo_store
from facelab.zoo._assets import PackageFile
from facelab.zoo._catalogue import load_catalogue
from facelab.zoo._registry import DataEntry, unpack
from facelab.zoo._store import fetch, locate, require, status
from facelab.zoo.internals import mirror as zoo_mirror

# -- where a file is looked for -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layout",
    ["{sha}", "{sha}.onnx", "sha256/{sha}", "{sha2}/{sha}", "thing.onnx", "thing", "manifest"],
)
def test_a_mirror_folder_serves_by_sha256_by_name_and_by_manifest(
    layout, store, entry, content, tmp_path, monkeypatch, files_in
):
    asset = entry()
    mirror = tmp_path / "mirror"
    name = layout.format(sha=asset.sha256, sha2=asset.sha256[:2])
    name = "deep/down/other name.bin" if layout == "manifest" else name
    path = mirror / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    if layout == "manifest":
        (mirror / "MANIFEST.csv").write_text(
            f"path,sha256,bytes\n{name},{asset.sha256},{len(content)}\n"
        )
    assert locate(asset) is None
    monkeypatch.setenv("FACELAB_MIRROR", str(mirror))
    assert locate(asset) == path == fetch(asset)
    assert files_in(store) == []  # used in place


def test_the_store_comes_before_the_package_and_the_mirror(
    store, entry, content, tmp_path, monkeypatch
):
    (tmp_path / "carrier").mkdir()
    (tmp_path / "carrier" / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (tmp_path / "carrier" / "w.bin").write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    asset = entry(package=PackageFile(distribution="carrier", module="carrier", path="w.bin"))
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / asset.sha256).write_bytes(content)
    monkeypatch.setenv("FACELAB_MIRROR", str(mirror))
    assert status(asset).place == "package"
    (tmp_path / "carrier" / "w.bin").write_bytes(b"another version")
    assert status(asset).place == "mirror"
    store.mkdir()
    asset.path.write_bytes(content)
    assert status(asset).place == "store"


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-LFS pointer"),
        (b"\n\n<!DOCTYPE html>\n<html>", "web page"),
        (b"MODEL_BINARY\n", "plain text"),
        (b"<?xml version='1.0'?><Error/>", "XML"),
        (bytes(range(256)), "truncated"),
        (bytes(range(256)) * 4097, "too large"),
        (bytes(reversed(range(256))) * 4096, "not the promised one"),
    ],
)
def test_a_bad_file_in_the_store_is_refused_and_removed(bad, says, store, entry, content):
    asset = entry()
    store.mkdir()
    asset.path.write_bytes(bad)
    with pytest.raises(IntegrityError, match=says) as e:
        locate(asset)
    assert not asset.path.exists()
    assert "facelab assets fetch thing" in e.value.fix and e.value.expected and e.value.got
    assert locate(asset) is None  # removed: now simply absent
    asset.path.write_bytes(bad)
    assert status(asset).state == "bad"


def test_a_bad_file_of_a_mirror_is_refused_but_not_touched(
    store, entry, content, tmp_path, monkeypatch
):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "thing.onnx").write_bytes(content[:-5])
    monkeypatch.setenv("FACELAB_MIRROR", str(mirror))
    with pytest.raises(IntegrityError, match="truncated"):
        fetch(entry())
    assert (mirror / "thing.onnx").exists() and not entry().path.exists()
    (mirror / entry().sha256).write_bytes(content)  # a good one beside it wins
    assert locate(entry()) == mirror / entry().sha256


def test_a_mirror_that_is_not_a_folder_or_lists_nonsense_is_said(
    store, entry, tmp_path, monkeypatch
):
    monkeypatch.setenv("FACELAB_MIRROR", str(tmp_path / "nowhere"))
    with pytest.raises(BadInputError, match="FACELAB_MIRROR names no folder"):
        locate(entry())
    mirror = tmp_path / "m"
    mirror.mkdir()
    monkeypatch.setenv("FACELAB_MIRROR", str(mirror))
    (mirror / "MANIFEST.csv").write_text("file,hash\n")
    with pytest.raises(BadInputError, match="no path and sha256"):
        locate(entry())
    (mirror / "MANIFEST.csv").write_text(f"path,sha256\n../../etc/passwd,{entry().sha256}\n")
    os.utime(mirror / "MANIFEST.csv", ns=(1, 1))
    with pytest.raises(BadInputError, match="outside the mirror"):
        locate(entry())


# -- downloads ------------------------------------------------------------------------------------------------------


def test_a_good_download_is_kept_and_not_repeated(web, store, entry, content, files_in):
    asset = entry(f"{web.base}/good/thing.onnx")
    assert fetch(asset) == asset.path and asset.path.read_bytes() == content
    assert fetch(asset) == locate(asset) == asset.path
    assert web.requests == ["/good/thing.onnx"] and files_in(store) == ["thing.onnx"]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("short", "broke off"),
        ("cut", "truncated"),
        ("long", "too large"),
        ("corrupt", "not the promised one"),
        ("html", "web page"),
        ("lfs", "git-LFS pointer"),
        ("empty", "empty file"),
    ],
)
def test_a_bad_download_is_refused_and_leaves_nothing(kind, says, web, store, entry, files_in):
    asset = entry(f"{web.base}/{kind}/thing.onnx")
    with pytest.raises(IntegrityError, match=says) as e:
        fetch(asset)
    assert files_in(store) == [] and web.base in e.value.where and e.value.exit_code == 2


def test_a_bad_download_does_not_replace_a_good_file_nor_a_bad_file_survive(
    web, store, entry, content
):
    asset = entry(f"{web.base}/good/thing.onnx")
    store.mkdir()
    asset.path.write_bytes(content[:100])
    said = []
    assert fetch(asset, say=said.append).read_bytes() == content
    assert any("truncated" in s and "removed" in s for s in said)


def test_a_transfer_that_breaks_once_is_tried_again(web, store, entry, content):
    assert fetch(entry(f"{web.base}/flaky/x")).read_bytes() == content
    assert web.requests == ["/flaky/x"] * 2


@pytest.mark.parametrize("kind", ["404", "500"])
def test_a_server_without_the_file_is_named(kind, web, store, entry, files_in):
    with pytest.raises(MissingAssetError) as e:
        fetch(entry(f"{web.base}/{kind}/thing.onnx"))
    text = str(e.value)
    assert "thing is not on this machine" in text and f"HTTP {kind}" in text
    assert (
        "facelab assets fetch thing" in text and "FACELAB_MIRROR" in text and files_in(store) == []
    )


def test_offline_and_missing_says_which_file_from_where_and_the_command(store, entry):
    url = "http://127.0.0.1:9/thing.onnx"  # the discard port: nothing listens
    with pytest.raises(MissingAssetError) as e:
        fetch(entry(url))
    assert (
        e.value.where == url
        and str(entry().path) in e.value.expected
        and "1048576 bytes" in e.value.expected
    )
    assert "facelab assets fetch thing" in e.value.fix
    with pytest.raises(MissingAssetError, match="not on this machine"):
        require(entry(url))


def test_a_bad_file_and_no_network_is_a_missing_file_not_a_truncated_one(store, entry, content):
    asset = entry("http://127.0.0.1:9/thing.onnx")
    store.mkdir()
    asset.path.write_bytes(content[:9])
    said = []
    with pytest.raises(MissingAssetError, match="not on this machine"):
        fetch(asset, say=said.append)
    assert "truncated" in said[0] and not asset.path.exists()


def test_a_store_that_cannot_be_written_is_said(web, tmp_path, entry, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FACELAB_MODELS", str(tmp_path / "file" / "models"))
    with pytest.raises(BadInputError, match="cannot be written") as e:
        fetch(entry(f"{web.base}/good/x"))
    assert "FACELAB_MODELS" in e.value.fix and web.requests == []
    with pytest.raises(BadInputError, match="cannot be written"):
        locate(load_catalogue().model("mtcnn-pnet"))


@pytest.mark.parametrize("layout", ["sha256", "name", "manifest"])
def test_a_mirror_address_serves_by_sha256_name_and_manifest(
    layout, web, store, entry, content, monkeypatch
):
    asset = entry("http://127.0.0.1:9/unreachable")
    name = {"sha256": asset.sha256, "name": "thing.onnx", "manifest": "deep/a b.bin"}[layout]
    web.files[f"/{layout}/" + name.replace(" ", "%20")] = content
    if layout == "manifest":
        web.files["/manifest/MANIFEST.csv"] = f"path,sha256\n{name},{asset.sha256}\n".encode()
    monkeypatch.setenv("FACELAB_MIRROR", f"{web.base}/{layout}/")
    assert locate(asset) is None  # looking alone asks no server
    assert fetch(asset) == asset.path and asset.path.read_bytes() == content


def test_a_mirror_address_with_a_bad_copy_falls_through_to_the_official_address(
    web, store, entry, content, monkeypatch
):
    web.files["/badmirror/thing.onnx"] = content[:99]
    monkeypatch.setenv("FACELAB_MIRROR", f"{web.base}/badmirror")
    said = []
    assert fetch(entry(f"{web.base}/good/x"), say=said.append).read_bytes() == content
    assert any("truncated" in s for s in said)


def test_a_file_without_a_published_hash_needs_trust(web, store, entry, content):
    asset = entry(f"{web.base}/good/x", sha256="", bytes=None, hash_note="nobody says")
    with pytest.raises(MissingAssetError, match="nobody published a hash") as e:
        fetch(asset)
    assert (
        "--trust-first-use" in e.value.fix and "nobody says" in e.value.got and web.requests == []
    )
    said = []
    assert fetch(asset, trust_first_use=True, say=said.append).read_bytes() == content
    assert any(sha256_bytes(content) in s for s in said)
    with pytest.raises(IntegrityError, match="web page"):
        fetch(
            entry(
                f"{web.base}/html/x",
                name="t2",
                file="t2.onnx",
                sha256="",
                bytes=None,
                hash_note="n",
            ),
            trust_first_use=True,
        )


# -- archives -------------------------------------------------------------------------------------------------------


def archive_of(kind: str, member: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as z:
            z.writestr(member, content)
    elif kind == "tar.gz":
        with tarfile.open(fileobj=buffer, mode="w:gz") as t:
            info = tarfile.TarInfo(member)
            info.size = len(content)
            t.addfile(info, io.BytesIO(content))
    else:
        return bz2.compress(content)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "bz2"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_member_of_an_archive_is_extracted_and_verified(
    kind, nested, web, store, entry, content, files_in
):
    data = archive_of(kind, "pack/w.onnx" if nested else "w.onnx", content)
    web.files[f"/a/pack.{kind}"] = data
    asset = entry().model_copy(
        update={
            "url": f"{web.base}/a/pack.{kind}",
            "member": "w.onnx",
            "archive_bytes": len(data),
            "archive_sha256": sha256_bytes(data),
        }
    )
    assert fetch(asset).read_bytes() == content and files_in(store) == ["thing.onnx"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"archive_sha256": "0" * 64}, "archive's content"),
        ({"archive_bytes": 7}, "too large"),
        ({"member": "other.onnx"}, "does not hold"),
        ({"sha256": "0" * 64}, "not the promised one"),
    ],
)
def test_a_wrong_archive_is_refused_and_leaves_nothing(
    change, says, web, store, entry, content, files_in
):
    web.files["/a/pack.zip"] = archive_of("zip", "w.onnx", content)
    asset = entry().model_copy(
        update={"url": f"{web.base}/a/pack.zip", "member": "w.onnx"} | change
    )
    with pytest.raises(IntegrityError, match=says):
        fetch(asset)
    assert files_in(store) == []
    web.files["/a/pack.zip"] = web.files["/a/pack.zip"][:500]
    with pytest.raises(IntegrityError):
        fetch(asset.model_copy(update={"archive_sha256": "", "archive_bytes": None}))
    assert files_in(store) == []


def data_entry(**changes):
    fields = {
        "name": "set",
        "dataset": "d",
        "task": "faces",
        "what": "w",
        "file": "set.zip",
        "sha256": "0" * 64,
        "licence": "MIT",
        "source": "s",
        "unpack": "set",
    }
    return DataEntry(**(fields | changes))


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_data_archive_is_unpacked_once_and_whole(kind, store, tmp_path):
    archive = tmp_path / f"a.{kind}"
    archive.write_bytes(archive_of(kind, "in/x.txt", b"hello"))
    folder = unpack(data_entry(), archive)
    assert (folder / "in" / "x.txt").read_bytes() == b"hello"
    archive.write_bytes(b"broken now")
    assert unpack(data_entry(), archive) == folder


@pytest.mark.parametrize("data", [archive_of("zip", "../evil.txt", b"x"), b"PK no zip"])
def test_an_archive_that_leaves_its_folder_or_is_broken_is_refused(data, store, tmp_path):
    archive = tmp_path / "a.zip"
    archive.write_bytes(data)
    with pytest.raises(IntegrityError, match="cannot be unpacked"):
        unpack(data_entry(), archive)
    assert not list(tmp_path.rglob("evil.txt")) and list((tmp_path / "data").iterdir()) == []


# -- two at once, interrupted ---------------------------------------------------------------------------------------


def test_two_fetches_at_once_download_once(web, store, entry, content, files_in):
    asset = entry(f"{web.base}/good/thing.onnx")
    results = []
    threads = [threading.Thread(target=lambda: results.append(fetch(asset))) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(20)
    assert results == [asset.path] * 4 and web.requests == ["/good/thing.onnx"]
    assert files_in(store) == ["thing.onnx"] and asset.path.read_bytes() == content


HERE = Path(__file__).parent
FOLDERS = [str(HERE), str(HERE.parent / "support")]
LISTENING = """
import signal, sys
# what a shell starts in the background ignores Ctrl-C, and so do its children
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path[:0] = {tests!r}
from conftest import make_entry
"""
FETCHER = (
    LISTENING
    + """from facelab.zoo._store import fetch
fetch(make_entry({url!r}))
"""
)


@pytest.mark.parametrize(("sig", "swept"), [(signal.SIGINT, True), (signal.SIGKILL, False)])
def test_an_interrupted_download_leaves_nothing_that_counts(
    sig, swept, web, store, entry, content, files_in
):
    code = FETCHER.format(tests=FOLDERS, url=f"{web.base}/stall/thing.onnx")
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        assert web.stalled.wait(30)
        child.send_signal(sig)
        assert child.wait(30) != 0
    finally:
        child.kill()
        child.wait()
        web.released.set()
    assert not entry().path.exists() and locate(entry()) is None
    assert (files_in(store) == []) == swept  # a killed process cannot tidy up ...
    assert fetch(entry(f"{web.base}/good/thing.onnx")).read_bytes() == content
    assert files_in(store) == ["thing.onnx"]  # ... so the next fetch does


CALLER = (
    LISTENING
    + """from facelab import cli
from facelab.commands import assets
assets.everything = lambda: [make_entry({url!r})]
sys.exit(cli.run(["assets", "fetch", "thing"]))
"""
)


def test_control_c_on_the_command_line_ends_with_130_and_leaves_nothing(web, store, files_in):
    code = CALLER.format(tests=FOLDERS, url=f"{web.base}/stall/thing.onnx")
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    try:
        assert web.stalled.wait(30)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait()
    assert (
        child.returncode == 130
        and "interrupted" in err
        and "Traceback" not in err
        and files_in(store) == []
    )


def test_module_path_imports_nothing():
    assert zoo_store.module_path("face_recognition_models") is not None
    assert "face_recognition_models" not in sys.modules
    assert zoo_store.module_path("no_such_module_here") is None


def test_labelled_photographs_are_in_a_mirror_that_is_a_folder(tmp_path, monkeypatch):
    (tmp_path / "labelled").mkdir()
    (tmp_path / "labelled" / "emotion.csv").write_text("path,label\n")
    for value, found in (
        (None, False),
        ("", False),
        ("https://example.org/mirror", False),
        (str(tmp_path), True),
    ):
        monkeypatch.delenv("FACELAB_MIRROR", raising=False)
        if value is not None:
            monkeypatch.setenv("FACELAB_MIRROR", value)
        assert (zoo_mirror.labelled("emotion.csv") is not None) == found
    assert zoo_mirror.labelled("detection.csv") is None
