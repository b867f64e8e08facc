"""`facelab serve` and `facelab release`: a service swaps when another process promotes, and goes back."""

import contextlib
import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from facelab.cli import run
from models import emotion_bundle


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return [emotion_bundle(folder, name, seed=k) for k, name in enumerate(("old", "new"))]


def command(*words):
    return run([str(w) for w in words])


def answer(capsys, *words):
    code = command(*words, "--json")
    return code, json.loads(capsys.readouterr().out)


def test_promote_status_rollback(tmp_path, bundles, capsys):
    store = tmp_path / "releases"
    code, value = answer(capsys, "release", "promote", bundles[0], "--store", store)
    assert code == 0 and value["current"] and value["task"] == "emotion"
    assert answer(capsys, "release", "promote", bundles[1], "--store", store)[0] == 0
    code, value = answer(capsys, "release", "rollback", "--store", store, "--reason", "too slow")
    assert code == 0
    code, value = answer(capsys, "release", "status", "--store", store)
    assert value["names"][value["current"]] == "old"
    assert list(value["withdrawn"].values()) == ["too slow"]
    assert [c["what"] for c in value["audit"]] == ["promote", "promote", "rollback"]
    code, value = answer(capsys, "release", "promote", bundles[1], "--store", store)
    assert code == 1 and "withdrawn" in value["what"]
    assert command("release", "promote", bundles[1], "--store", store, "--again") == 0
    assert command("release", "status", "--store", store) == 0
    assert "new" in capsys.readouterr().out


def test_verify_says_what_is_wrong(tmp_path, bundles, capsys):
    import shutil

    import minisign

    assert command("release", "verify", bundles[0]) == 0
    bad = shutil.copytree(bundles[0], tmp_path / "bad")
    (bad / "labels.txt").write_text("other\n")
    assert command("release", "verify", bad) == 1
    assert "labels.txt" in capsys.readouterr().err
    assert command("release", "verify", tmp_path / "none") == 2
    pair = minisign.KeyPair.generate()
    key = pair.public_key.to_base64().decode()
    assert command("release", "verify", bundles[0], "--key", key) == 1
    assert "not signed" in capsys.readouterr().err
    good = shutil.copytree(bundles[0], tmp_path / "good")
    data = (good / "manifest.json").read_bytes()
    (good / "manifest.json.minisig").write_bytes(bytes(pair.secret_key.sign(data)))
    assert command("release", "verify", good, "--key", key) == 0
    assert command("release", "verify", good, "--key", "rubbish") == 2
    assert command("release", "status", "--store", tmp_path / "nothing") == 2


def test_a_check_loads_everything_and_stops(bundles, capsys):
    assert command("serve", "--detector", "haar", "--emotion", bundles[0], "--check") == 0
    assert f"ready to serve: detectors haar; emotion {bundles[0]}\n" in capsys.readouterr().err


def test_wrong_options_are_said(bundles, capsys):
    assert command("serve", "--candidate", bundles[1]) == 2
    assert command("serve", "--detector", "../../etc/passwd") == 2
    assert command("serve", "--detector", "haar", "--emotion", "nowhere") == 2
    assert "no store of releases" in capsys.readouterr().err
    assert command("serve", "--detector", "haar", "--host", "203.0.113.7") == 2
    assert "Traceback" not in capsys.readouterr().err


def ask(port, path, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", path, body, {"Content-Type": "image/png"})
        got = connection.getresponse()
        return got.status, json.loads(got.read())


@pytest.mark.slow
def test_a_service_follows_what_another_process_promotes(tmp_path, bundles):
    from facelab.datasets import synthetic

    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(synthetic.scene(3, 0, (320, 240)).image)).save(out, "PNG")
    store = tmp_path / "releases"
    assert command("release", "promote", bundles[0], "--store", store) == 0
    words = ["serve", "--detector", "haar", "--emotion", str(store), "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "facelab.cli", *words], stderr=subprocess.PIPE, text=True
    )
    try:
        port = int(re.search(r":(\d+) is up", process.stderr.readline())[1])
        current = {}
        for name, act in (("old", ()), ("new", ("promote", bundles[1])), ("old", ("rollback",))):
            if act:
                assert command("release", *act, "--store", store) == 0
            wanted, end = (
                json.loads((store / "state.json").read_text())["stack"][-1],
                time.time() + 30,
            )
            while time.time() < end and current.get("release") != wanted:
                status, current = ask(port, "/v1/emotion", out.getvalue())
                assert status == 200
            assert current["release"] == wanted, name
        process.send_signal(signal.SIGINT)
        assert process.wait(20) in (0, 130)
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


TOLD_IN_A_DESTRUCTOR = """
import signal, sys
from facelab.commands import serve
class Told:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
serve._loopback = lambda host: bool(Told())  # the last thing before the server starts
from facelab.cli import main
main(sys.argv[1:])
"""


def test_a_signal_whose_exception_is_lost_ends_the_service_too(tmp_path):
    """Python prints and drops what a destructor raises: the service went on, and ignored further signals."""
    words = ["serve", "--detector", "haar", "--port", "0", "--no-isolate"]
    done = subprocess.run(
        [sys.executable, "-c", TOLD_IN_A_DESTRUCTOR, *words],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Exception ignored" in done.stderr  # else this test shows nothing
    assert done.returncode == 0 and "is up" not in done.stderr


@pytest.mark.parametrize(
    "number, code",
    [(signal.SIGTERM, 0), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],
)
def test_a_service_that_is_told_to_stop_leaves_nothing(tmp_path, bundles, number, code):
    """Service managers send SIGTERM; the copy of the model would stay in the temporary folder."""
    words = ["serve", "--detector", "haar", "--emotion", str(bundles[0]), "--port", "0"]
    (tmp_path / "t").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "facelab.cli", *words, "--no-isolate"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path / "t")},
    )
    with process:
        assert " is up" in process.stderr.readline()
        assert [p.name[:9] for p in (tmp_path / "t").iterdir()] == ["fl-serve-"]
        process.send_signal(number)
        assert "Traceback" not in process.communicate(timeout=60)[1]
    assert process.returncode == code and list((tmp_path / "t").iterdir()) == []
