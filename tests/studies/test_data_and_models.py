"""What notebooks 00 and 01 show, on the real photograph with the models that every installation has."""

import numpy as np
import pytest

from facelab import detection
from facelab.report import model_overview, style
from facelab.session._run import Run
from facelab.studies import data_and_models


@pytest.fixture(scope="module")
def image():
    return data_and_models.astronaut()


@pytest.fixture(scope="module")
def found(image):
    return data_and_models.detect_all(image, ["mtcnn", "haar"])


def test_the_photographs_face_is_found_by_bundled_detectors(found):
    assert [h["face found"] for h in data_and_models.hits(found)] == [True, True]


def test_a_box_elsewhere_counts_as_such():
    boxes = np.array([[178, 70, 270, 172], [0, 0, 50, 50]], np.float32)
    rows = data_and_models.hits(
        {
            "two": detection.Detections(boxes=boxes, scores=np.ones(2)),
            "none": detection.Detections(boxes=np.zeros((0, 4)), scores=np.zeros(0)),
        }
    )
    assert [(r["face found"], r["boxes elsewhere"]) for r in rows] == [(True, 1), (False, 0)]


def test_a_face_and_its_mirror_image_are_close_for_an_embedder(image, found):
    face = data_and_models.best_face(found)
    assert len(face) == 1 and face.landmarks.shape == (1, 5, 2)
    (row,) = data_and_models.mirror_similarity(image, face, ["dlib-resnet"])
    assert row["cosine"] > 0.9


def test_costs_come_from_separate_processes_and_are_recorded(tmp_path, image):
    photo = data_and_models.save_png(image, tmp_path / "a.png")
    rows = data_and_models.costs("detector", ["haar"], photo, repeats=4)
    assert rows[0]["memory [MiB]"] > 1 and len(rows[0]["samples"]) == 4
    run = Run("demo", folder=tmp_path / "run", run="r", headless=True)
    data_and_models.record_costs(run, rows)
    assert [(r.case, r.metric, r.unit) for r in run.records] == [
        ("haar", "latency", "ms"),
        ("haar", "memory", "MiB"),
    ]
    assert run.records[0].machine["threads"] == 1
    assert "samples" not in data_and_models.cost_table(rows)


def test_pictures_are_drawn(tmp_path, image, found):
    rows = [
        {"model": n, "P50 [ms]": p, "P90 [ms]": 2 * p, "memory [MiB]": 10 * p}
        for n, p in (("a", 1.0), ("b", 9.0))
    ]
    for k, fig in enumerate(
        (
            model_overview.gallery(image, found),
            model_overview.cost_plot(rows, "Latency"),
            model_overview.presence_plot(data_and_models.catalogue_table()),
        )
    ):
        fig.savefig(tmp_path / f"{k}.png")
        assert (tmp_path / f"{k}.png").stat().st_size > 5000


def test_counts_need_a_mirror_and_say_so(monkeypatch):
    monkeypatch.delenv("FACELAB_MIRROR", raising=False)
    assert data_and_models.exact_counts(["haar"]) is None
    assert "FACELAB_MIRROR" in data_and_models.count_table(None)


def test_counts_of_real_group_photographs(assets, tmp_path, monkeypatch):
    monkeypatch.setenv("FACELAB_MIRROR", str(assets))
    counts = data_and_models.exact_counts(["ultraface-rfb-320"])
    assert len(counts) == 20
    # ASSETS: UltraFace RFB-320 counts 17 of the 20 photographs exactly
    assert abs((counts["ultraface-rfb-320"] == counts["faces"]).sum() - 17) <= 1
    run = Run("demo", folder=tmp_path, run="r", headless=True)
    assert data_and_models.record_counts(run, counts) == "20 photographs, 1 detectors"


def test_series_differ_in_colour_and_marker():
    assert len(set(style.PALETTE)) == len(style.PALETTE) == len(style.MARKERS)
