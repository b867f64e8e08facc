"""`facelab camera`: exit codes, one JSON document, and errors without a traceback."""

import json

import pytest

from facelab.cli import run


def call(capsys, *words):
    """Run a command; return its exit code, stdout and stderr."""
    code = run(["camera", *words])
    out = capsys.readouterr()
    assert "Traceback" not in out.err
    return code, out.out, out.err


def test_probe_says_what_was_promised_and_what_came(capsys):
    code, out, _ = call(
        capsys, "probe", "fake:vivid", "--size", "640x480", "--rate", "25", "--json"
    )
    found = json.loads(out)
    assert code == 0
    assert found["contract"]["format"] == "YUYV"
    assert found["rates"]["colour"] == pytest.approx(25, rel=0.01)
    assert found["device"]["driver"] == "vivid"
    assert found["ledger"]["balanced"]
    assert any(c["name"] == "Brightness" for c in found["controls"])


def test_a_downgrade_is_an_error_until_it_is_allowed(capsys):
    code, out, err = call(capsys, "probe", "fake:vivid", "--size", "640x480", "--rate", "30")
    assert (code, out) == (2, "")
    assert "another rate" in err
    code, out, _ = call(
        capsys, "probe", "fake:vivid", "--size", "640x480", "--rate", "30", "--allow", "rate"
    )
    assert code == 0
    assert "asked 30, got 25 (allowed)" in out


def test_list_answers_with_or_without_cameras(capsys):
    code, out, _ = call(capsys, "list", "--json")
    assert code == 0
    assert isinstance(json.loads(out)["cameras"], list)


def test_record_then_probe_the_recording(capsys, tmp_path):
    folder = str(tmp_path / "r")
    code, out, _ = call(
        capsys, "record", "rendered:size=48", "--out", folder, "--seconds", "1", "--json"
    )
    assert code == 0
    assert json.loads(out)["frames"]["colour"] == 30
    code, out, _ = call(capsys, "probe", folder)
    assert code == 0
    assert "30 frames/s (promised 30)" in out
    code, _, err = call(capsys, "record", "rendered:size=48", "--out", folder, "--frames", "1")
    assert code == 2
    assert "replace" in err


def test_bench_prints_figures_and_a_choice(capsys):
    code, out, _ = call(capsys, "bench", "--size", "64x48", "--repeats", "5", "--json")
    cases = json.loads(out)["cases"]
    assert code == 0
    assert {c["format"] for c in cases} == {"YUYV", "MJPG"}
    assert all(c["cpu_s"] >= 0 and c["wire_s"] > 0 for c in cases)
    code, out, _ = call(capsys, "bench", "--size", "64x48", "--repeats", "5")
    assert "choose YUYV by opencv" in out


def test_probe_says_what_the_scheduler_granted(capsys):
    words = ("probe", "rendered:pixels=0,paced=1", "--nice", "5", "--cpu", "4000", "--json")
    code, out, _ = call(capsys, *words)
    schedule = json.loads(out)["schedule"]
    assert code == 0
    assert schedule["nice"] == 5
    assert list(schedule["refused"]) == ["cpu"]
    _, out, _ = call(capsys, *words[:-1])
    assert "refused: cpu" in out


@pytest.mark.parametrize(
    "words",
    [
        ("probe", "nothing-here"),
        ("probe", "/dev/video97"),
        ("probe", "rendered:", "--format", "ABCD"),
        ("probe", "rendered:", "--size", "10"),
        ("probe", "rendered:", "--rate", "nan"),
        ("record", "rendered:", "--out", "x"),
        ("bench", "--bus", "usb4"),
        ("bench", "--size", "0x0"),
    ],
)
def test_wrong_usage_is_exit_code_2(capsys, words):
    code, out, err = call(capsys, *words)
    assert code == 2
    assert out == ""
    assert err
