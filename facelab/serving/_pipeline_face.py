"""The face pipeline: preprocess, detect, align, embed, match, decide; and rendered frames to run it on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.serving._pipeline import FrameLike, Pipeline, PipelineStage

WIDTH = 320
"""Longest side in pixels that the detector sees."""


@dataclass(frozen=True, slots=True, eq=False)
class RenderedFrame:
    """A picture (height, width, 3) uint8 RGB, its number, and when it was due (`perf_counter_ns`; 0: unpaced)."""

    array: np.ndarray = field(repr=False)
    sequence: int
    due_ns: int = 0

    def image(self, colour: str = "RGB") -> np.ndarray:
        """Return the pixels in RGB or BGR order."""
        return self.array if colour == "RGB" else self.array[..., ::-1]

    def release(self) -> None:
        """Do nothing: the pictures belong to the source."""


class RenderedFrames:
    """A paced source of pictures in memory, repeated in order.

    Parameters
    ----------
    pictures : sequence of ndarray, each (height, width, 3) uint8 RGB
    fps : float or None
        Frames per second; frame k is due k / fps seconds after the first one. None delivers at once.
    count : int or None
        Frames in all; None never ends.

    Raises
    ------
    BadInputError
        No picture was given, or one has a different shape.
    """

    def __init__(
        self, pictures: Sequence[np.ndarray], *, fps: float | None = None, count: int | None = None
    ) -> None:
        bad = [p.shape for p in pictures if p.ndim != 3 or p.shape[2] != 3 or p.dtype != np.uint8]
        if not pictures or bad or (fps is not None and not fps > 0):
            raise BadInputError(
                "rendered frames need RGB pictures and a positive rate",
                expected="(height, width, 3) uint8 each, fps > 0",
                got=bad[0] if bad else f"{len(pictures)} pictures, fps {fps}",
                fix="give at least one picture",
            )
        self.pictures, self.count = list(pictures), count
        self._period = None if fps is None else 1e9 / fps
        self._first, self._number = 0, 0

    @classmethod
    def of_scenes(
        cls, n: int = 4, *, size: tuple[int, int] = (320, 240), seed: int = 7, **options: Any
    ) -> RenderedFrames:
        """Return a source of `n` rendered scenes of one to three faces each; `options` are those of the class."""
        from facelab.datasets import synthetic

        pictures, k = [], 0
        while len(pictures) < n:
            scene = synthetic.scene(seed, k, size)
            k += 1
            if 1 <= len(scene.faces) <= 3:
                pictures.append(np.ascontiguousarray(scene.image))
        return cls(pictures, **options)

    def read(self) -> RenderedFrame | None:
        """Wait until the next frame is due and return it, or None at the end."""
        number = self._number
        if self.count is not None and number >= self.count:
            return None
        self._number += 1
        picture = self.pictures[number % len(self.pictures)]
        if self._period is None:
            return RenderedFrame(picture, number)
        now = time.perf_counter_ns()
        if not number:
            self._first = now
        due = self._first + int(number * self._period)
        if due > now:
            time.sleep((due - now) / 1e9)
        return RenderedFrame(picture, number, due)


@dataclass(frozen=True)
class Faces:
    """What travels from stage to stage: the working picture, faces found, crops, embeddings, the nearest rows."""

    image: np.ndarray = field(repr=False)
    scale: float
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    landmarks: np.ndarray | None = None
    crops: np.ndarray | None = field(default=None, repr=False)
    embeddings: np.ndarray | None = field(default=None, repr=False)
    ids: np.ndarray | None = None
    distances: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class Decision:
    """What the pipeline decides about one frame: boxes (n, 4) in pixels of the frame, and a gallery row or -1 each."""

    boxes: np.ndarray
    rows: np.ndarray
    distances: np.ndarray


def face_pipeline(
    detector: Any,
    embedder: Any,
    gallery: np.ndarray,
    *,
    threshold: float = 0.5,
    width: int = WIDTH,
    keep: int | None = None,
) -> Pipeline:
    """Return the pipeline preprocess, detect, align, embed, match, decide.

    Parameters
    ----------
    detector : facelab.detection.Detector
        With five landmarks.
    embedder : facelab.embedding.Embedder
        One that takes aligned crops.
    gallery : ndarray, (m, d) float32
        Normalised embeddings of known people.
    threshold : float
        Largest cosine distance that counts as the same person.
    width : int
        Longest side in pixels that the detector sees; larger frames are shrunk.
    keep : int or None
        See `Pipeline`.

    Returns
    -------
    Pipeline
        The pipeline preprocess, detect, align, embed, match, decide.

    Raises
    ------
    BadInputError
        The detector has no landmarks, or the gallery does not fit the embedder.
    """
    gallery = np.ascontiguousarray(gallery, np.float32)
    if not detector.has_landmarks or gallery.ndim != 2 or gallery.shape[1] != embedder.dim:
        raise BadInputError(
            "the parts of the pipeline do not fit",
            expected=f"a detector with landmarks, and a gallery of (m, {embedder.dim})",
            got=f"{detector.name} {'with' if detector.has_landmarks else 'without'} landmarks, "
            f"gallery {gallery.shape}",
            fix="choose a detector with five landmarks, and embed the gallery with this embedder",
        )
    parts = _Parts(detector, embedder, gallery, threshold, width)
    stages = [
        PipelineStage("preprocess", parts.preprocess),
        PipelineStage("detect", parts.detect, work=_pixels),
        PipelineStage("align", parts.align, work=len),
        PipelineStage("embed", parts.embed, work=len),
        PipelineStage("match", parts.match, work=len),
        PipelineStage("decide", parts.decide, pure=False),
    ]
    return Pipeline(stages) if keep is None else Pipeline(stages, keep=keep)


def _pixels(value: Faces) -> int:
    return value.image.shape[0] * value.image.shape[1]


class _Parts:
    """The stages' functions, with what they need."""

    def __init__(
        self, detector: Any, embedder: Any, gallery: np.ndarray, threshold: float, width: int
    ) -> None:
        from facelab.matching import Matcher

        self.detector, self.embedder = detector, embedder
        self.matcher = Matcher(gallery, metric="cosine", threads=1)
        self.threshold, self.width = threshold, width
        for n in (1, 4, 32):  # compiles the kernels now and not within a frame
            self.matcher.search(np.resize(gallery, (n, gallery.shape[1])), 1)

    def preprocess(self, frame: FrameLike) -> Faces:
        import cv2

        image = np.ascontiguousarray(frame.image("RGB"))
        height, width = image.shape[:2]
        scale = min(1.0, self.width / max(height, width))
        if scale < 1:
            size = (round(width * scale), round(height * scale))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return Faces(image, scale)

    def detect(self, faces: Faces) -> Faces:
        found = self.detector.detect(faces.image)
        return Faces(faces.image, faces.scale, found.boxes, found.landmarks)

    def align(self, faces: Faces) -> Faces:
        from facelab.preprocess.align import align_opencv

        side = self.embedder.input_size[0]
        points = faces.landmarks if faces.landmarks is not None else np.zeros((0, 5, 2))
        crops = [align_opencv(faces.image, p, side) for p in points]
        return Faces(
            faces.image,
            faces.scale,
            faces.boxes,
            faces.landmarks,
            np.stack(crops) if crops else None,
        )

    def embed(self, faces: Faces) -> Faces:
        if faces.crops is None:
            return faces
        rows = [self.embedder.embed(crop)[0] for crop in faces.crops]
        return Faces(
            faces.image, faces.scale, faces.boxes, faces.landmarks, faces.crops, np.stack(rows)
        )

    def match(self, faces: Faces) -> Faces:
        if faces.embeddings is None:
            return faces
        found = self.matcher.search(faces.embeddings, 1)
        return Faces(
            faces.image,
            faces.scale,
            faces.boxes,
            faces.landmarks,
            faces.crops,
            faces.embeddings,
            found.ids[:, 0],
            found.distances[:, 0],
        )

    def decide(self, faces: Faces) -> Decision:
        if faces.ids is None or faces.distances is None:
            none = np.zeros(0, np.int64)
            return Decision(np.zeros((0, 4), np.float32), none, np.zeros(0, np.float32))
        rows = np.where(faces.distances <= self.threshold, faces.ids, -1)
        return Decision(faces.boxes / faces.scale, rows, faces.distances)
