"""Open the live heart; the widget library is imported here, where it is needed."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.feedback._smoothing import Smoother, smoother
from facelab.feedback.heart import HeartSettings, HeartStyle, check_settings, load_settings

if TYPE_CHECKING:
    from facelab.detection import Detector
    from facelab.emotion import EmotionClassifier
    from facelab.feedback.widget._live import LiveHeart

SOURCES = ("slider", "camera", "video")


def live_heart(
    classifier: EmotionClassifier | None = None,
    detector: Detector | None = None,
    *,
    source: str = "slider",
    camera: str = "/dev/video0",
    video: str | None = None,
    smooth: Smoother | None = None,
    settings: HeartSettings | None = None,
) -> LiveHeart:
    """Return a widget: a beating heart, the scores beside it, and a choice of what it follows.

    The browser draws each frame; the kernel sends an emotion and scores at most 15 times per second. Where the browser
    asks for reduced motion, the heart keeps its size and only its colour changes.

    Parameters
    ----------
    classifier, detector
        For camera and video; without them there are only sliders.
    source
        What to follow at first: `slider`, `camera` or `video`.
    camera
        As for `facelab.camera.open_source`.
    video
        A file; it is played again and again.
    smooth
        The smoother; by default `ema`, made for the classifier's labels, or for the emotions of the settings.
    settings
        The heart's; facelab's own by default.

    Returns
    -------
    LiveHeart
        Display it as the last line of a cell; `close()` ends its thread.

    Raises
    ------
    CheckFailedError
        The settings make the heart flash more than three times in a second.
    UnsupportedError
        anywidget is not installed.
    BadInputError
        A setting is out of range.

    Examples
    --------
    >>> heart = live_heart()
    >>> heart.source
    'slider'
    >>> heart.close()
    """
    settings = settings or load_settings()
    _check_once(json.dumps(settings.to_dict(), sort_keys=True))
    if source not in SOURCES:
        raise BadInputError(
            "there is no such source",
            where="source",
            expected=", ".join(SOURCES),
            got=source,
            fix="name one of these",
        )
    if source != "slider" and (classifier is None or detector is None):
        raise BadInputError(
            "camera and video need a classifier and a detector",
            where="source",
            got=source,
            fix="give both: facelab.emotion.load(...), facelab.detection.load(...)",
        )
    labels: Any = smooth.labels if smooth else classifier.classes if classifier else settings.styles
    try:
        from facelab.feedback.widget._live import LiveHeart
    except ImportError as e:
        raise UnsupportedError(
            "the live heart needs anywidget", got=e, fix="install facelab[notebooks]"
        ) from None
    return LiveHeart(
        classifier,
        detector,
        start=source,
        camera=camera,
        video=video,
        smooth=smooth or smoother(tuple(labels)),
        settings=settings,
    )


@functools.lru_cache(maxsize=16)
def _check_once(document: str) -> None:
    """Check settings on rendered frames; the same ones only once per process."""
    fields = json.loads(document)
    styles = {name: HeartStyle(**style) for name, style in fields.pop("styles").items()}
    check_settings(HeartSettings(styles, **fields))
