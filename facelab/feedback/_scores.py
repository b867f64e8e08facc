"""Emotion scores of the largest face of each frame of any source: what a smoother is fed."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.result import Result
from facelab.feedback._smoothing import Smoother

if TYPE_CHECKING:
    from facelab.camera import Frame
    from facelab.camera.internals import Source
    from facelab.detection import Detector
    from facelab.emotion import EmotionClassifier


@dataclass(frozen=True)
class EmotionScores(Result):
    """Scores of one face over time.

    Parameters
    ----------
    times_s
        (n,) float64 seconds of one clock, from 0.
    scores
        (n, labels) float64 probabilities; rows of NaN are frames without a face.
    labels
        The emotions, in the order of the scores.
    source
        Where they come from.
    truth
        The emotion of each frame where it is known, else None.
    """

    times_s: np.ndarray
    scores: np.ndarray
    labels: tuple[str, ...]
    source: str
    truth: tuple[str, ...] | None = None

    @property
    def seconds(self) -> float:
        """From the first to the last frame."""
        return float(self.times_s[-1] - self.times_s[0]) if len(self.times_s) else 0.0

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per frame: its time and a probability for each emotion."""
        return [
            {"time_s": float(t), **dict(zip(self.labels, map(float, row)))}
            for t, row in zip(self.times_s, self.scores)
        ]


@dataclass(frozen=True)
class Followed(Result):
    """What a smoother made of scores.

    Parameters
    ----------
    scores
        What it was fed.
    shown
        The label to show at each frame, or None.
    smoother
        Its name.
    changes
        How often the label changed.
    changes_per_minute
        The same per minute of the sequence.
    """

    scores: EmotionScores
    shown: tuple[str | None, ...]
    smoother: str
    changes: int
    changes_per_minute: float

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per label: when it was shown first, and for how long."""
        times, out = self.scores.times_s, []
        starts = [k for k in range(len(self.shown)) if k == 0 or self.shown[k] != self.shown[k - 1]]
        for k, then in zip(starts, [*starts[1:], len(times) - 1]):
            seconds = float(times[then] - times[k])
            out.append({"from_s": float(times[k]), "shown": self.shown[k], "seconds": seconds})
        return out


def follow(scores: EmotionScores, smooth: Smoother) -> Followed:
    """Run a smoother, which is emptied first, over scores.

    Parameters
    ----------
    scores
        Of one face over time.
    smooth
        Made for the same labels.

    Returns
    -------
    Followed
        The label at each frame, and how often it changed. Labels that come and go with the face count too.

    Examples
    --------
    >>> import numpy as np
    >>> from facelab.feedback import smoother
    >>> seen = EmotionScores(np.arange(4) / 10, np.tile([0.9, 0.1], (4, 1)), ("joy", "anger"), "example")
    >>> followed = follow(seen, smoother(seen.labels))
    >>> followed.shown, followed.changes
    (('joy', 'joy', 'joy', 'joy'), 0)
    """
    smooth.reset()
    shown, _ = smooth.run(scores.times_s, scores.scores)
    changes = sum(a != b for a, b in itertools.pairwise(shown))
    minutes = max(scores.seconds / 60.0, 1e-9)
    return Followed(scores, tuple(shown), smooth.name, changes, changes / minutes)


def largest_face(
    image: np.ndarray, detector: Detector, classifier: EmotionClassifier
) -> np.ndarray | None:
    """Return (labels,) float64 probabilities of the largest face of an RGB uint8 image, or None without a face."""
    boxes = detector.detect(image).boxes
    if not len(boxes):
        return None
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    row = classifier.classify(image, boxes[[int(areas.argmax())]])[0].astype(float)
    if not np.isfinite(row).all() or row.max() <= 0:
        raise BadInputError(
            "the classifier's scores are not probabilities",
            got=", ".join(f"{v:g}" for v in row),
            fix="check the image and the model's preprocessing",
        )
    row = np.clip(row, 0.0, None)
    return row / row.sum()


def score_frames(
    frames: Source | Iterable[Frame],
    detector: Detector,
    classifier: EmotionClassifier,
    *,
    most: int | None = None,
) -> Iterator[tuple[float, np.ndarray | None]]:
    """Yield (seconds of the frame's clock, probabilities or None) for the colour frames of a source."""
    done = 0
    for frame in frames:
        with frame:
            if frame.stream == "depth":
                continue
            if most is not None and done >= most:
                return
            done += 1
            yield frame.time_s, largest_face(frame.image("RGB"), detector, classifier)


def score_source(
    source: str | os.PathLike[str],
    classifier: EmotionClassifier,
    detector: Detector,
    *,
    most: int | None = None,
) -> EmotionScores:
    """Return the emotion scores of the largest face of each frame.

    Parameters
    ----------
    source
        A camera, a video, a folder of images, or a recording, as for `facelab.camera.open_source`.
    classifier
        Of `facelab.emotion.load`.
    detector
        Of `facelab.detection.load`.
    most
        Frames to read at most; None reads to the end, so that a camera never ends.

    Returns
    -------
    EmotionScores
        Times from 0 on.

    Raises
    ------
    BadInputError
        The source has no frames.
    """
    from facelab.camera import open_source

    with open_source(os.fspath(source)) as opened:
        found = list(score_frames(opened, detector, classifier, most=most))
    if not found:
        raise BadInputError(
            "the source has no colour frames", where=source, fix="check that it plays"
        )
    return make_scores(found, classifier.classes, os.fspath(source))


def make_scores(
    found: Sequence[tuple[float, np.ndarray | None]], labels: Sequence[str], source: str
) -> EmotionScores:
    """Return scores from (seconds, probabilities or None) of each frame; times count from the first frame."""
    nobody = np.full(len(labels), np.nan)
    rows = np.array([nobody if row is None else row for _, row in found])
    times = np.array([t for t, _ in found], float)
    return EmotionScores(times - times[0], rows, tuple(labels), source)
