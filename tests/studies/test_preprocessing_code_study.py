"""The study of notebook 10: programs are timed, their errors are read, and wrong programs do not pass."""

import shutil

import numpy as np
import pytest

from facelab.core.errors import FacelabError
from facelab.preprocess import apply, presets
from facelab.preprocess.emit import Frame
from facelab.studies import emitted_programs, preprocessing_code
from facelab.studies.handwritten_preprocessing import BY_HAND


@pytest.mark.parametrize("name", BY_HAND)
def test_what_is_written_by_hand_is_within_one_level_of_the_reference(name):
    spec = presets.preset(name)
    pixels = preprocessing_code.picture((160, 120), seed=1)
    pixels = pixels[..., ::-1] if spec.input_order == "bgr" else pixels
    face = preprocessing_code.face_of((160, 120))
    frame = Frame.of("frame", pixels, face=face)
    got = BY_HAND[name][1](np.ascontiguousarray(pixels), face)
    assert got.shape == apply(spec, np.ascontiguousarray(pixels), face=face).shape
    off = emitted_programs._off(spec, frame, got) * preprocessing_code._levels(spec)
    assert off <= 1.001


def test_a_measurement_names_programs_errors_and_what_is_missing(monkeypatch):
    real = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda n, **k: None if n in ("go", "node") else real(n, **k)
    )
    if real("gcc") is None:
        pytest.skip("no C compiler")
    found = preprocessing_code.measure(["arcface-r50"], size=(160, 120), repeats=3, budget_s=0.5)
    assert {s.program for s in found.speeds} == {"C", "Python", "ONNX", "OpenCV"}
    assert set(found.missing) == {"Go", "JavaScript"}
    assert preprocessing_code.worst_error(found) == 0
    assert all((s.seconds > 0).all() for s in found.speeds)
    rows = found.rows()
    assert [r["µs per frame"] for r in rows] == sorted(r["µs per frame"] for r in rows)
    assert found.ratio("arcface-r50", "C") == preprocessing_code.ratios(found)["arcface-r50"]


def test_a_program_that_fails_or_prints_nothing_is_an_error(tmp_path):
    with pytest.raises(FacelabError, match="failed"):
        emitted_programs.output_of(["false"], tmp_path)
    with pytest.raises(FacelabError, match="did not print its time"):
        emitted_programs._Clocked(lambda n: ["echo", "nothing"], tmp_path)()


def test_the_figure_shows_every_program():
    from facelab.report.preprocessing_code import speed_figure

    speeds = tuple(
        preprocessing_code.Speed("one", p, np.array([1e-4, 2e-4, 1.5e-4]) * k, float(k == 2))
        for k, p in enumerate(("C", "OpenCV"), 1)
    )
    figure = speed_figure(preprocessing_code.Speeds(speeds))
    words = [t.get_text() for t in figure.axes[0].texts]
    assert any("exact" in w for w in words) and any("1 level off" in w for w in words)


@pytest.mark.parametrize("name", preprocessing_code.SPECS[1:])
def test_the_excerpt_is_the_step_that_makes_a_value(name):
    text = preprocessing_code.excerpt(name)
    assert text.startswith("static ") and " value(" in text and "normalize" in text
    assert text.endswith("}") and text.count("return") == 1
