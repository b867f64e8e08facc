"""The live heart: what the kernel keeps, and the thread that follows a camera or a video."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import numpy as np
import traitlets

from facelab.core.errors import BadInputError, FacelabError
from facelab.feedback._scores import largest_face
from facelab.feedback._smoothing import Smoother
from facelab.feedback.heart import HeartSettings

if TYPE_CHECKING:
    from facelab.detection import Detector
    from facelab.emotion import EmotionClassifier

MOST_PER_S = 15.0
"""Messages to the browser per second at most: it draws 60 frames in between by itself."""
SETTLE_S = 5.0
"""Seconds for which moved sliders are fed to the smoother."""


class LiveHeart(anywidget.AnyWidget):
    """A beating heart with controls; made by `live_heart`."""

    _esm = Path(__file__).with_name("heart.js")
    settings = traitlets.Dict().tag(sync=True)
    sources = traitlets.List().tag(sync=True)
    labels = traitlets.List().tag(sync=True)
    source = traitlets.Unicode("slider").tag(sync=True)
    emotion = traitlets.Unicode("", allow_none=True).tag(sync=True)
    scores = traitlets.Dict().tag(sync=True)
    sliders = traitlets.Dict().tag(sync=True)
    problem = traitlets.Unicode("").tag(sync=True)
    sent_at_ms = traitlets.Float(0.0).tag(sync=True)
    stats = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        classifier: EmotionClassifier | None,
        detector: Detector | None,
        *,
        start: str,
        camera: str,
        video: str | None,
        smooth: Smoother,
        settings: HeartSettings,
    ) -> None:
        self._classifier, self._detector = classifier, detector
        self._names = {"camera": camera, "video": video}
        self._smooth, self._stop = smooth, threading.Event()
        self._thread: threading.Thread | None = None
        self._row: np.ndarray | None = None
        self._feed_until = 0.0
        able = classifier is not None and detector is not None
        offered = ["slider", *(["camera"] if able else []), *(["video"] if able and video else [])]
        super().__init__(
            settings=settings.to_dict(), sources=offered, labels=list(smooth.labels), source=start
        )
        self._follow()

    # ------------------------------------------------------------ controls
    @traitlets.observe("source")
    def _changed_source(self, change: Any) -> None:
        if hasattr(self, "_stop") and change["old"] != change["new"] and self.comm is not None:
            self._follow()

    @traitlets.observe("sliders")
    def _changed_sliders(self, change: Any) -> None:
        if self.source != "slider" or not change["new"]:
            return
        row = np.array([max(0.0, float(change["new"].get(k, 0.0))) for k in self._smooth.labels])
        self._row = row / row.sum() if row.sum() > 0 else None
        self._feed_until = time.monotonic() + SETTLE_S
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._feed, args=(self._stop,), daemon=True)
            self._thread.start()

    def _feed(self, stop: threading.Event) -> None:
        """Show the sliders' values again and again, as a camera would, until the smoother has followed them."""
        while not stop.is_set() and time.monotonic() < self._feed_until:
            self.show(time.monotonic(), self._row, time.time())
            stop.wait(1.0 / MOST_PER_S)

    def show(self, time_s: float, scores: np.ndarray | None, taken_at: float) -> None:
        """Smooth the scores of one frame, and send what they come to.

        Parameters
        ----------
        time_s
            Seconds of the frame's clock.
        scores
            (labels,) probabilities, or None without a face.
        taken_at
            When the frame was taken, in seconds of `time.time()`: the browser reports the time from then to drawing.
        """
        found = self._smooth.update(time_s, scores)
        with self.hold_sync():
            self.emotion = found.label or ""
            if found.scores is not None:
                self.scores = dict(zip(self._smooth.labels, map(float, found.scores)))
            self.sent_at_ms = taken_at * 1000.0

    # ------------------------------------------------------------ camera and video
    def _follow(self) -> None:
        """Stop following the old source, and follow the one that is chosen."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(10.0)
        self._stop = threading.Event()
        self._smooth.reset()
        self.problem = ""
        if self.source != "slider":
            self._thread = threading.Thread(
                target=self._run, args=(self._stop, self.source), daemon=True
            )
            self._thread.start()

    def _run(self, stop: threading.Event, source: str) -> None:
        from facelab.camera import open_source
        from facelab.camera.internals import NoFrameError, SourceEndedError

        name = self._names[source]
        options: dict[str, Any] = {}
        if source == "video":
            options["paced"] = True
        try:
            while not stop.is_set():
                with open_source(name, **options) as opened:
                    try:
                        while not stop.is_set():
                            self._one(opened.read_newest(timeout_s=1.0))
                    except SourceEndedError:
                        self._smooth.reset()  # the video starts again
                    except NoFrameError:
                        self.problem = "no frame came for a second"
        except FacelabError as e:
            self.problem = str(e).splitlines()[0] + (f": {e.fix}" if e.fix else "")
            self.emotion = ""
        except (
            Exception
        ) as e:  # a camera's or a model's library: the heart must not stop without a word
            self.problem = f"the source stopped: {type(e).__name__}: {e}"[:300]
            self.emotion = ""

    def _one(self, frame: Any) -> None:
        began = time.monotonic()
        taken_at = time.time() - frame.age_s
        with frame:
            try:
                row = largest_face(frame.image("RGB"), self._detector, self._classifier)  # type: ignore[arg-type]
                self.show(frame.time_s, row, taken_at)
                said = ""
            except BadInputError as e:  # one frame with broken scores: the next may be good
                self.show(frame.time_s, None, taken_at)
                said = f"a frame was left out: {e.what}"
        if self.problem != said:
            self.problem = said
        self._stop.wait(max(0.0, 1.0 / MOST_PER_S - (time.monotonic() - began)))

    def close(self) -> None:
        """End the thread, and the widget."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10.0)
        super().close()
