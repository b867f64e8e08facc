"""The live heart's kernel side: sliders, sources, problems, and settings that flash (the browser's side: tests/lab)."""

import dataclasses
import threading
import time

import pytest

from facelab import feedback
from facelab.core.errors import BadInputError, CheckFailedError
from facelab.feedback import heart

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def widget():
    made = feedback.live_heart()
    yield made
    made.close()


def wait(what, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_sliders_are_fed_until_the_smoother_has_followed(widget):
    widget.sliders = {"anger": 90, "neutral": 5, "joy": 5}
    wait(lambda: widget.emotion == "anger")
    assert widget.scores["anger"] == pytest.approx(0.9)
    assert abs(widget.sent_at_ms / 1000 - time.time()) < 10
    seen = []
    widget.observe(lambda change: seen.append(change["new"]["joy"]), "scores")
    widget.sliders = {"anger": 0, "neutral": 0, "joy": 100}
    wait(lambda: widget.emotion == "joy")
    assert min(seen) < 0.5  # the mean went there; it did not jump


def test_sliders_that_are_all_zero_are_nobody(widget):
    widget.sliders = {"anger": 90, "neutral": 5, "joy": 5}
    wait(lambda: widget.emotion == "anger")
    widget.sliders = {"anger": 0, "neutral": 0, "joy": 0, "unknown": 7}
    wait(lambda: widget.emotion == "")
    assert widget.problem == ""


def test_without_a_classifier_there_are_only_sliders(widget):
    assert widget.sources == ["slider"]
    with pytest.raises(BadInputError, match="classifier and a detector"):
        feedback.live_heart(source="camera")
    with pytest.raises(BadInputError, match="no such source"):
        feedback.live_heart(source="film")


def test_settings_that_flash_are_refused():
    own = heart.load_settings()
    fast = dataclasses.replace(own.styles["anger"], frequency_hz=6.0)
    with pytest.raises(CheckFailedError, match="flashes too often"):
        feedback.live_heart(settings=dataclasses.replace(own, styles={**own.styles, "anger": fast}))


@pytest.fixture(scope="module")
def models(mirror):
    from facelab import detection, emotion

    return emotion.load("mini-xception-107", threads=1), detection.load("yunet-n", threads=1)


def test_a_clip_is_followed_in_a_thread_that_ends(models, mirror):
    clip = str(mirror / "images" / "video" / "justinshenk_test.mp4")
    before = threading.active_count()
    made = feedback.live_heart(*models, source="video", video=clip)
    assert made.sources == ["slider", "camera", "video"]
    wait(lambda: made.emotion == "joy")
    assert made.scores["joy"] > 0.3 and made.problem == ""
    made.close()
    wait(lambda: threading.active_count() <= before)


def test_a_camera_that_is_not_there_is_a_problem_in_the_widget_and_not_a_crash(models):
    made = feedback.live_heart(*models, source="camera", camera="/dev/video987")
    wait(lambda: made.problem != "")
    assert made.emotion == ""
    made.close()


class Shown:
    """A frame, as the widget uses it."""

    time_s, age_s = 0.0, 0.0

    def __init__(self, time_s):
        self.time_s = time_s

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def image(self, colour):
        import numpy as np

        return np.zeros((8, 8, 3), np.uint8)


class OneBox:
    def detect(self, image):
        import numpy as np

        class Found:
            boxes = np.array([[0.0, 0.0, 8.0, 8.0]])

        return Found()


@pytest.mark.parametrize("bad", [[float("nan"), 0.5, 0.5], [0.0, 0.0, 0.0], [float("inf"), 0, 0]])
def test_a_frame_with_broken_scores_is_left_out_and_the_next_one_is_shown(bad):
    import numpy as np

    class Scores:
        classes = ("anger", "joy", "neutral")
        rows = iter([[0.1, 0.8, 0.1], bad, [0.1, 0.8, 0.1]])

        def classify(self, image, boxes):
            return np.array([next(self.rows)])

    made = feedback.live_heart(Scores(), OneBox())
    try:
        made._one(Shown(0.0))
        assert made.emotion == "joy" and made.problem == ""
        made._one(Shown(0.1))
        assert made.emotion == "joy" and "left out" in made.problem
        made._one(Shown(0.2))
        assert made.emotion == "joy" and made.problem == ""
    finally:
        made.close()


def test_a_library_that_raises_is_a_problem_in_the_widget(monkeypatch):
    class Broken:
        classes = ("anger", "joy")

    def opened(name, **options):
        raise RuntimeError("the driver went away")

    made = feedback.live_heart(Broken(), OneBox())
    monkeypatch.setattr("facelab.camera.open_source", opened)
    made._run(threading.Event(), "camera")
    assert "RuntimeError: the driver went away" in made.problem and made.emotion == ""
    made.close()
