"""The degradation matrix, its states, and a service that says in each answer which fallback was active."""

import io
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from facelab.cli import run
from facelab.core import degraded
from facelab.core.errors import BadInputError
from facelab.core.records import Record
from facelab.serving import create_app
from facelab.serving.degradation import load_matrix
from facelab.serving.degradation._matrix import Degradation
from facelab.serving.internals import FaceTasks, Isolation, Limits
from facelab.serving.service._server import running
from facelab.serving.workers._faces import scaled_back, scaled_down
from facelab.serving.workers._restarts import Restarts


@pytest.fixture(scope="module")
def photograph(assets):
    path = assets / "labelled" / "detection" / "deepinsight_t1.jpg"
    return path.read_bytes()


def post(address: str, data: bytes, task: str = "detect") -> tuple[int, dict]:
    request = urllib.request.Request(
        f"{address}/v1/{task}", data, {"Content-Type": "image/jpeg"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as e:
        with e:
            return e.code, json.load(e)


# -- the matrix --------------------------------------------------------------------------------------------------------


def test_the_matrix_states_every_row_whole():
    matrix = load_matrix()
    parts = [r.part for r in matrix.entries]
    assert list(dict.fromkeys(parts)) == ["service", "models", "camera", "index", "feedback"]
    assert len(matrix.rows()) == 20 and matrix.named("overload").limit == 0.5
    with pytest.raises(BadInputError, match="did you mean 'overload'"):
        matrix.named("overlod")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("limit = 0.5", "limit = -1"), "out of range"),
        (("limit = 0.5", 'limit = "x"'), "out of range"),
        (("limit = 0.5", "limit = true"), "out of range"),
        (("limit = 0.5", "limt = 0.5"), "lacks a key"),
        (('name = "overload"', 'name = "workers_down"'), "not the service's"),
        (('name = "overload"', 'name = "other"'), "not the service's"),
        (('lost = "small faces"', 'lost = " "'), "text is missing"),
        (("facelab.degradation/2", "facelab.degradation/1"), "not a degradation matrix"),
    ],
)
def test_a_damaged_matrix_is_refused(change, says, tmp_path):
    from facelab.core.project import package_file

    text = package_file("serving/degradation/matrix.toml").read_text()
    assert change[0] in text
    path = tmp_path / "m.toml"
    path.write_text(text.replace(change[0], change[1]))
    with pytest.raises(BadInputError, match=says):
        load_matrix(path)


def test_the_way_back_needs_calm_for_its_time():
    now = [0.0]
    state = Degradation(clock=lambda: now[0])
    state.trip("overload", "5 requests wait")
    assert state.active() == ("overload",) and degraded.active() == ("overload",)
    now[0] = 1.0
    state.calm("overload")
    now[0] = 2.0
    state.trip("overload")  # calm for one second only: it starts again
    state.calm("overload")
    now[0] = 3.9
    assert state.active() == ("overload",)
    now[0] = 4.1
    assert state.active() == () and degraded.active() == ()
    assert state.events == [
        {"name": "overload", "why": "5 requests wait", "began": 0.0, "seconds": pytest.approx(4.1)}
    ]
    assert state.since(0.0) == ["overload"] and state.since(0.5) == []
    state.trip("workers_down")
    state.trip("worker_restarting")
    assert state.active() == ("worker_restarting", "workers_down")
    state.close()
    assert degraded.active() == ()


def test_records_say_which_fallback_was_active():
    assert Record("r", "s", "c", "m", 1.0).degraded is None
    state = Degradation()
    state.trip("overload")
    try:
        record = Record("r", "s", "c", "m", 1.0)
        assert (
            record.degraded == "overload"
            and '"degraded":"overload"' in record.to_json().replace(": ", ":")
        )
    finally:
        state.close()
    assert "degraded" not in Record("r", "s", "c", "m", 1.0).to_json()


def test_boxes_of_the_smaller_image_are_scaled_back():
    image = np.zeros((101, 203, 3), np.uint8)
    small = scaled_down(image, 0.5)
    h, w = small.shape[:2]
    face = {"box": [0, 0, w, h], "score": 1.0, "landmarks": [[w / 2, h / 2]]}
    (back,) = scaled_back({"faces": [face]}, image, small)["faces"]
    assert back["box"] == pytest.approx([0, 0, 203, 101])
    assert back["landmarks"][0] == pytest.approx([101.5, 50.5])


# -- the service -------------------------------------------------------------------------------------------------------


def test_a_killed_worker_costs_no_request_and_the_answer_is_the_same(photograph):
    with Isolation(["haar"], restarts=Restarts(first_s=0.0)) as isolation:
        app = create_app(isolation.make, degradation=isolation.degradation)
        with running(app) as address:
            status, before = post(address, photograph)
            assert status == 200 and before["degraded"] == [] and len(before["faces"]) >= 4
            worker = isolation._made[0]
            for _ in range(3):
                os.kill(worker._worker.pid, signal.SIGKILL)
                status, after = post(address, photograph)
                assert status == 200 and after["faces"] == before["faces"]
                assert set(after["degraded"]) <= {"worker_restarting"}
            report = isolation.report()
    assert report.silent == 0 and report.answered == 4 and sum(report.causes.values()) >= 3


def test_an_answer_that_waited_for_a_restart_says_so(photograph):
    with Isolation(["haar"], restarts=Restarts(first_s=0.0), spare=False) as isolation:
        app = create_app(isolation.make, degradation=isolation.degradation)
        with running(app) as address:
            assert post(address, photograph)[1]["degraded"] == []
            os.kill(isolation._made[0]._worker.pid, signal.SIGKILL)
            assert post(address, photograph)[1]["degraded"] == ["worker_restarting"]
            assert post(address, photograph)[1]["degraded"] == []


def test_without_workers_detect_has_a_fallback_and_says_so(photograph):
    rule = Restarts(budget=1, window_s=4.0, first_s=0.0)
    with Isolation(["haar"], restarts=rule, spare=False) as isolation:
        app = create_app(isolation.make, degradation=isolation.degradation)
        with running(app) as address:
            assert post(address, photograph)[0] == 200
            worker = isolation._made[0]
            while isolation.gate.pause() is not None:  # the budget of a bad minute
                pass
            os.kill(worker._worker.pid, signal.SIGKILL)
            status, value = post(address, photograph)
            assert status == 200 and value["degraded"] == ["workers_down"]
            assert value["detector"] == "haar" and len(value["faces"]) >= 3
            status, refused = post(address, photograph, "embed")
            assert status == 503 and "no worker can be started" in refused["error"]
            time.sleep(4.2)
            status, value = post(address, photograph)
            assert status == 200 and value["degraded"] == [] and "detector" not in value
            with urllib.request.urlopen(f"{address}/metrics", timeout=20) as page:
                text = page.read().decode()
            assert 'facelab_degraded{fallback="workers_down"} 0.0' in text
            assert 'facelab_inputs_total{outcome="refused"} 2.0' in text
            assert "facelab_worker_faults_total{cause=" in text


def test_under_overload_detectors_see_half_and_boxes_fit_the_whole(photograph):
    with Isolation(["haar"], spare=False) as isolation:
        tasks = isolation.make()
        limits = Limits()
        whole = tasks.answer("detect", [photograph], limits, {})
        isolation.degradation.trip("overload", "test")
        small = tasks.answer("detect", [photograph], limits, {})
        assert len(small["faces"]) >= 3
        a = np.array([f["box"] for f in whole["faces"]])
        b = np.array([f["box"] for f in small["faces"]])
        centres = [(x[:, :2] + x[:, 2:]) / 2 for x in (a, b)]
        near = np.hypot(*(centres[0][:, None] - centres[1][None]).transpose(2, 0, 1)).min(axis=0)
        assert (near < 25).mean() > 0.7


def test_a_service_that_ends_under_overload_leaves_no_fallback_behind():
    """Records that this process writes later would otherwise be marked as degraded."""
    app = create_app(lambda: FaceTasks({}, {}))
    with running(app):
        app.state.service.degradation.trip("overload", "it ends like this")
        assert degraded.active() == ("overload",)
    assert degraded.active() == ()


def test_a_hostile_image_is_refused_before_a_worker_sees_it(photograph):
    with Isolation(["haar"], spare=False) as isolation:
        tasks = isolation.make()
        out = io.BytesIO()
        Image.new("RGB", (5000, 5000)).save(out, "PNG")
        for data, status in (
            (photograph[:-5000], 400),
            (b"<html>", 415),
            (out.getvalue(), 413),
        ):
            with pytest.raises(Exception) as e:
                tasks.answer("detect", [data], Limits(), {})
            assert e.value.status == status
        assert isolation.report().asked == 0


def test_commands_show_and_prove(capsys):
    assert run(["recovery", "show", "--json"]) == 0
    assert [r["name"] for r in json.loads(capsys.readouterr().out)][1] == "workers_down"
    assert run(["recovery", "prove", "--faults", "4", "--frames", "6", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["held"] and value["report"]["silent"] == 0
    assert run(["recovery", "prove", "--faults", "9", "--frames", "6"]) == 2
    assert run(["recovery", "show", "--matrix", "no.toml"]) == 2
