"""What every detector gives and takes, whatever it is made of."""

from __future__ import annotations

import base64
import dataclasses
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from facelab.core import html_table
from facelab.core.errors import BadInputError
from facelab.core.png import encode_png
from facelab.core.templates import render
from facelab.detection._images import as_rgb
from facelab.preprocess.align import MIRRORED

if TYPE_CHECKING:
    from jaxtyping import Float32, Shaped, UInt8


@dataclasses.dataclass(frozen=True)
class Timings:
    """Seconds spent before, in and after the network of one call.

    Examples
    --------
    >>> Timings(0.5, 2.0, 0.25).total
    2.75
    """

    pre: float
    run: float
    post: float

    @property
    def total(self) -> float:
        """Seconds of the whole call."""
        return self.pre + self.run + self.post


@dataclasses.dataclass(frozen=True)
class Detections:
    """The faces of one image, best score first. A notebook shows the image with the boxes while it is in memory.

    Attributes
    ----------
    boxes : ndarray
        (n, 4) float32 `xyxy` pixels of the given image, not clipped to it: a face that is cut off reaches beyond.
    scores : ndarray
        (n,) float32 in the detector's own units: probabilities, except for Haar and dlib.
    landmarks : ndarray or None
        (n, 5, 2) float32 pixels: left eye, right eye, nose, left and right mouth corner, left as seen in the image.
    keypoints : ndarray or None
        (n, k, 2) float32 pixels: other points under the detector's own names, such as BlazeFace's six.
    input_size : tuple of int or None
        (width, height) of the tensor that the network saw.
    timings : Timings or None
        Seconds of this call.

    Examples
    --------
    >>> import numpy as np
    >>> found = Detections([[2, 3, 12, 15], [0, 0, 4, 4]], [0.9, 0.4])
    >>> len(found), found.boxes.dtype.name, found.above(0.5).boxes.tolist()
    (2, 'float32', [[2.0, 3.0, 12.0, 15.0]])
    """

    boxes: Float32[np.ndarray, "n 4"]
    scores: Float32[np.ndarray, " n"]
    landmarks: Float32[np.ndarray, "n 5 2"] | None = None
    keypoints: Float32[np.ndarray, "n k 2"] | None = None
    input_size: tuple[int, int] | None = None
    timings: Timings | None = dataclasses.field(default=None, compare=False)
    image: ClassVar[Callable[[], np.ndarray | None] | None] = None
    """A weak reference to the image that was given; no field, since it is neither stored nor compared."""

    def __getstate__(self) -> dict[str, Any]:
        # another process does not have the picture
        return {k: v for k, v in self.__dict__.items() if k != "image"}

    def __post_init__(self) -> None:
        n = len(self.scores)
        set_ = object.__setattr__
        set_(self, "boxes", np.asarray(self.boxes, dtype=np.float32).reshape(n, 4))
        set_(self, "scores", np.asarray(self.scores, dtype=np.float32).reshape(n))
        for name in ("landmarks", "keypoints"):
            if (value := getattr(self, name)) is not None:
                value = np.asarray(value, dtype=np.float32)
                points = value.size // (2 * n) if n else value.shape[1] if value.ndim == 3 else 5
                set_(self, name, value.reshape(n, points, 2))

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Iterate over faces: `box`, `score` and, where known, `landmarks` or `keypoints`."""
        return iter(self.to_dict()["faces"])

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one face, as iteration gives it."""
        return self.to_dict()["faces"][index]

    def take(self, which: np.ndarray) -> Detections:
        """Return the detections that an index array or a mask selects, in its order."""
        points = {
            k: None if (v := getattr(self, k)) is None else v[which]
            for k in ("landmarks", "keypoints")
        }
        return dataclasses.replace(
            self, boxes=self.boxes[which], scores=self.scores[which], **points
        )

    def above(self, score: float) -> Detections:
        """Return the detections whose score is at least `score`."""
        return self.take(self.scores >= score)

    def mirrored(self, width: int) -> Detections:
        """Return the same faces in the mirrored image.

        Other keypoints are left out: their names, and which of them are pairs, differ between detectors.

        Parameters
        ----------
        width : int
            The width of the image in pixels.

        Returns
        -------
        Detections
            Boxes and landmarks with left and right exchanged.

        Examples
        --------
        >>> Detections([[2, 3, 12, 15]], [0.9]).mirrored(20).boxes.tolist()
        [[8.0, 3.0, 18.0, 15.0]]
        """
        boxes = self.boxes.copy()
        boxes[:, [0, 2]] = width - self.boxes[:, [2, 0]]
        points = self.landmarks
        if points is not None:
            points = points[:, list(MIRRORED)]
            points[..., 0] = width - 1 - points[..., 0]  # centres of pixels are at whole numbers
        return dataclasses.replace(self, boxes=boxes, landmarks=points, keypoints=None)

    def _repr_html_(self) -> str:
        rows = [
            [k, float(s), *map(float, box)]
            for k, (s, box) in enumerate(zip(self.scores, self.boxes))
        ]
        took = f", {self.timings.total * 1e3:.1f} ms" if self.timings else ""
        return self._picture() + html_table.table(
            ["", "score", "x1 [px]", "y1 [px]", "x2 [px]", "y2 [px]"],
            rows,
            caption=f"{len(self)} face{'s' * (len(self) != 1)}{took}",
        )

    def _picture(self) -> str:
        """Return the picture with its boxes as HTML, or nothing where it is gone."""
        image = self.image() if self.image is not None else None
        if image is None:
            return ""
        from facelab.detection._pictures import FOUND, drawn

        boxed = drawn(as_rgb(image), self.boxes, [FOUND] * len(self), longest=640)
        data = base64.b64encode(encode_png(boxed)).decode("ascii")
        alt = f"picture with {len(self)} boxes"
        return render("core/templates/image.html.j2", alt=alt, kind="png", data=data)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON: `faces`, each with `box`, `score` and, where known, `landmarks` or `keypoints`."""
        faces: list[dict[str, Any]] = []
        for k in range(len(self)):
            face: dict[str, Any] = {"box": self.boxes[k].tolist(), "score": float(self.scores[k])}
            points = {name: getattr(self, name) for name in ("landmarks", "keypoints")}
            face |= {name: v[k].tolist() for name, v in points.items() if v is not None}
            faces.append(face)
        return {"faces": faces}


class Detector(ABC):
    """A face detector: an RGB image in, `Detections` out. A subclass implements `_run`, which gets a checked image.

    Attributes
    ----------
    name : str
        The name in the catalogue, or of the file.
    family : str
        The family that decodes the outputs.
    has_landmarks : bool
        Whether faces come with five landmarks.
    score_threshold : float
        Least score of a face, in the detector's own units.

    Examples
    --------
    >>> from facelab import detection
    >>> import numpy as np
    >>> detector = detection.load("haar")
    >>> isinstance(detector, Detector), detector.has_landmarks
    (True, False)
    >>> len(detector.detect(np.zeros((120, 160, 3), np.uint8)))
    0
    """

    family: ClassVar[str]
    has_landmarks: bool = True
    score_threshold: float

    def __init__(self, name: str):
        self.name = name

    @abstractmethod
    def _run(self, rgb: UInt8[np.ndarray, "h w 3"]) -> Detections:
        """Detect faces on a checked, contiguous uint8 RGB image."""

    def detect(self, image: Shaped[np.ndarray, "h w *channels"]) -> Detections:
        """Find the faces of an RGB uint8 image (height, width, 3), best score first.

        Gray, RGBA and 16-bit arrays are converted (see `facelab.detection._images.as_rgb`). Raises BadInputError for
        an empty array, floats, or another shape.
        """
        found = self._run(as_rgb(image))
        finite = np.isfinite(found.scores) & np.isfinite(found.boxes).all(axis=1)
        if not finite.all():
            raise BadInputError(
                "the model put out numbers that are not finite",
                where=self.name,
                expected="finite boxes and scores",
                got=f"{int((~finite).sum())} bad of {len(finite)}",
                fix="check the preprocessing spec against the model; run `facelab assets verify`",
            )
        found = found.take(np.argsort(-found.scores, kind="stable"))
        object.__setattr__(found, "image", weakref.ref(image))
        return found

    def describe(self) -> dict[str, Any]:
        """Return what a report says about this detector."""
        return {
            "name": self.name,
            "family": self.family,
            "score_threshold": self.score_threshold,
            "landmarks": self.has_landmarks,
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Stopwatch:
    """Split seconds: `lap()` returns what passed since the last one.

    Examples
    --------
    >>> watch = Stopwatch()
    >>> watch.lap() >= 0, watch.lap() >= 0
    (True, True)
    """

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        self._last, passed = now, now - self._last
        return passed
