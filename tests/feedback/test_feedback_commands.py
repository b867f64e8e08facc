"""`facelab feedback …` as people call it."""

import json
import sys

import pytest

from facelab.cli import run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def call(capsys, *words):
    code = run(["feedback", *map(str, words)])
    out = capsys.readouterr()
    assert "Traceback" not in out.err
    return code, out.out, out.err


def test_the_settings_can_be_written_edited_and_checked(capsys, tmp_path):
    path = tmp_path / "my.toml"
    assert call(capsys, "settings", "--out", path)[0] == 0
    assert call(capsys, "heart", "--emotion", "joy", "--settings", path)[0] == 0
    path.write_text(path.read_text().replace("frequency_hz = 2.0", "frequency_hz = 5.0"))
    code, _, err = call(capsys, "heart", "--settings", path)
    assert code == 1 and "flashes too often" in err and "anger" in err


def test_the_literal_anger_is_refused_with_exit_code_one(capsys, tmp_path):
    out = tmp_path / "anger.svg"
    code, _, err = call(capsys, "heart", "--emotion", "anger", "--literal", "--out", out)
    assert code == 1 and "4 general" in err and not out.exists()


def test_json_is_one_document(capsys, tmp_path):
    code, text, _ = call(capsys, "heart", "--emotion", "joy", "--out", tmp_path / "j.svg", "--json")
    assert code == 0 and json.loads(text)["general"] <= 3 and (tmp_path / "j.svg").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("heart", "--emotion", "rage"),
        ("heart", "--literal"),
        ("heart", "--settings", "missing.toml"),
        ("follow", "missing.mp4", "--classifier", "mini-xception-107", "--smoother", "emaa"),
    ],
)
def test_mistakes_are_exit_code_two(capsys, words, mirror):
    code, _, err = call(capsys, *words)
    assert code == 2 and "fix:" in err


def test_a_real_clip_is_followed(capsys, mirror, tmp_path):
    clip = mirror / "images" / "video" / "justinshenk_test.mp4"
    words = (clip, "--classifier", "mini-xception-107", "--frames", 30, "--threads", 1, "--json")
    code, text, err = call(capsys, "follow", *words, "--out", tmp_path / "h.svg")
    assert code == 0, err
    value = json.loads(text)
    assert value["shown"][0]["shown"] == "joy" and (tmp_path / "h.svg").exists()
    plain = json.loads(call(capsys, "follow", *words, "--smoother", "argmax")[1])
    assert value["changes"] < plain["changes"]


def test_help_needs_no_heavy_module(capsys):
    before = set(sys.modules)
    assert call(capsys, "--help")[0] == 0
    assert not {"cv2", "tensorflow", "control"} & (set(sys.modules) - before)


def test_play_prints_the_account_and_a_failing_driver_is_exit_code_one(capsys):
    code, text, _ = call(capsys, "play", "--emotion", "anger", "--seconds", 0.5, "--json")
    value = json.loads(text)
    assert code == 0 and value["ledgers"]["led"]["played"] >= 1 and value["errors"] == []
    words = ("--emotion", "anger", "--seconds", 0.6, "--motor", "recording:fails=1")
    code, text, _ = call(capsys, "play", *words)
    assert code == 1 and "fails as planned" in text


@pytest.mark.parametrize(
    "words", [(), ("--emotion", "joy", "x.json"), ("x.json",), ("--emotion", "joy", "--led", "lum")]
)
def test_play_needs_one_program_and_known_drivers(capsys, words):
    code, _, err = call(capsys, "play", *words)
    assert code == 2 and "fix:" in err


def test_beat_prints_what_each_formula_says(capsys):
    code, text, _ = call(capsys, "beat", "--celsius", 60, "--fps", 30, "--json")
    assert code == 0
    assert json.loads(text)["interval_ms"] == {
        "printed": 120.0,
        "coded": 120.0,
        "described": 280.0,
        "corrected": 280.0,
    }
