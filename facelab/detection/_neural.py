"""Detectors that are one network: spec → tensor → session → decode → image pixels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from facelab.core.errors import BadInputError
from facelab.detection._base import Detections, Detector, Stopwatch, Timings
from facelab.detection._inputs import Preparation
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo.runtimes import Model, check_spec

Outputs = Mapping[str, np.ndarray]


class Found(NamedTuple):
    """What a decoder gives, in tensor pixels: boxes (n, 4), scores (n,), landmarks and keypoints (n, k, 2) or None.

    Examples
    --------
    >>> import numpy as np
    >>> found = Found(np.array([[0.0, 0, 4, 4], [1, 1, 3, 3]]), np.array([0.2, 0.9]))
    >>> found.take(found.scores > 0.5).boxes.tolist()
    [[1.0, 1.0, 3.0, 3.0]]
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray | None = None
    keypoints: np.ndarray | None = None

    def take(self, which: np.ndarray) -> Found:
        points, others = (None if v is None else v[which] for v in self[2:])
        return Found(self.boxes[which], self.scores[which], points, others)


class NeuralDetector(Detector):
    """A detector made of one network and a decoder. A family gives `default_spec`, `decode` and its thresholds.

    Parameters
    ----------
    name : str
        The name to report.
    model : Model
        The opened network.
    spec : PreprocessSpec or None
        The preprocessing; None for the family's `default_spec`.
    score_threshold, nms_threshold : float or None
        Least score, and the overlap (IoU) from which the weaker of two boxes is dropped, 0 to 1; None for the family's.
    top_k : int
        Candidates that are kept before suppression.
    max_side : int
        The longer side in pixels to which larger images are shrunk, where the network takes any size.
    strides : sequence of int or None
        Pixels per cell of each output grid; None for the family's.

    Raises
    ------
    BadInputError
        The model's input does not fit the spec, or its outputs are not the family's.

    Examples
    --------
    >>> from facelab.detection._families.ultraface import DETECTOR
    >>> issubclass(DETECTOR, NeuralDetector), DETECTOR.family
    (True, 'ultraface')
    >>> DETECTOR.default_spec("mine", (320, 240), "nchw").stages[0].op
    'decode'
    """

    default_score: ClassVar[float] = 0.5
    default_nms: ClassVar[float] = 0.4
    strides: tuple[int, ...] = (8, 16, 32)

    def __init__(
        self,
        name: str,
        model: Model,
        spec: PreprocessSpec | None = None,
        *,
        score_threshold: float | None = None,
        nms_threshold: float | None = None,
        top_k: int = 5000,
        max_side: int = 4096,
        strides: Sequence[int] | None = None,
    ):
        super().__init__(name)
        self.session = model
        self.strides = tuple(strides or self.strides)
        self.score_threshold = check_fraction(
            "score_threshold", score_threshold, self.default_score
        )
        self.nms_threshold = check_fraction("nms_threshold", nms_threshold, self.default_nms)
        self.top_k = top_k
        layout, size = model_input(model, name)
        self.preparation = Preparation(
            spec or self.default_spec(name, size, layout), max_side=max_side
        )
        check_spec(model, self.preparation.spec)
        self._probe()

    @classmethod
    @abstractmethod
    def default_spec(cls, name: str, size: tuple[int, int] | None, layout: str) -> PreprocessSpec:
        """Return the family's customary preprocessing for a network input of `size` (None where it is free)."""

    @abstractmethod
    def decode(self, outputs: Outputs, size: tuple[int, int]) -> Found:
        """Turn raw outputs into candidates above the threshold, after suppression, in tensor pixels.

        Raises BadInputError where the outputs are not those of the family.
        """

    @property
    def spec(self) -> PreprocessSpec:
        """The preprocessing that is applied."""
        return self.preparation.spec

    def candidates(
        self, boxes: np.ndarray, scores: np.ndarray, landmarks: np.ndarray | None = None
    ) -> Found:
        """Return what `decode` answers, after suppression: boxes (n, 4) xyxy, scores (n,), landmarks (n, 5, 2) or None,
        in pixels of the network's input.
        """
        return self.suppress(
            Found(np.asarray(boxes, float).reshape(-1, 4), np.asarray(scores), landmarks)
        )

    def suppress(self, found: Found) -> Found:
        """Keep candidates that survive plain non-maximum suppression."""
        from facelab.detection._boxes import nms

        return found.take(nms(found.boxes, found.scores, self.nms_threshold, top_k=self.top_k))

    def _outputs(self, tensor: np.ndarray) -> Outputs:
        return dict(
            zip((o.name for o in self.session.outputs), self.session.run(tensor), strict=True)
        )

    def _run(self, rgb: np.ndarray) -> Detections:
        watch = Stopwatch()
        tensor, where = self.preparation(rgb)
        pre = watch.lap()
        outputs = self._outputs(tensor)
        run = watch.lap()
        self._check_finite(outputs)
        found = self.decode(outputs, where.size)
        landmarks = None if found.landmarks is None else where.points_to_image(found.landmarks)
        keypoints = None if found.keypoints is None else where.points_to_image(found.keypoints)
        boxes = where.boxes_to_image(found.boxes)
        return Detections(
            boxes, found.scores, landmarks, keypoints, where.size, Timings(pre, run, watch.lap())
        )

    def _check_finite(self, outputs: Outputs) -> None:
        for key, value in outputs.items():
            # a sum is not finite when any term is not; it needs no temporary the size of the output
            if value.dtype.kind == "f" and not np.isfinite(value.sum(dtype=np.float64)):
                raise BadInputError(
                    "the model put out numbers that are not finite",
                    where=f"{self.name}: {key}",
                    got=f"{int((~np.isfinite(value)).sum())} of {value.size} values",
                    fix="check the preprocessing spec against the model; run `facelab assets verify`",
                )

    def _probe(self) -> None:
        """Run once on a gray picture: a model that cannot run, or is another family's, is refused at loading."""
        size = self.preparation.fixed_size or (64, 64)
        tensor, where = self.preparation(np.full((size[1], size[0], 3), 127, np.uint8))
        outputs = self._outputs(tensor)
        self._learn(outputs, where.size)
        self._check_finite(outputs)
        self.decode(outputs, where.size)

    def _learn(self, outputs: Outputs, size: tuple[int, int]) -> None:
        """Look at the probe's outputs, for families whose exports come in several layouts."""

    def describe(self) -> dict[str, Any]:
        return {
            **super().describe(),
            "nms_threshold": self.nms_threshold,
            "input_size": self.preparation.fixed_size,
            "spec": self.spec.hash,
        }

    def decoding(self) -> dict[str, Any]:
        """Return how the raw outputs become boxes, in words and numbers, for anyone who decodes in another language.

        Boxes are in pixels of the tensor; `to the picture` undoes the resize and padding of the preprocessing.
        """
        return {
            "schema": "facelab.decoding/1",
            "family": self.family,
            "strides": list(self.strides),
            "score_threshold": self.score_threshold,
            "nms_threshold": self.nms_threshold,
            "candidates": self.top_k,
            **self._decoding(),
            "to the picture": "x of the picture = (x − the left padding) / (resized width / picture width), y alike: "
            "what the resize and pad stages of the preprocessing did, undone",
        }

    def _decoding(self) -> dict[str, Any]:
        """Return the family's own rules; families from outside may leave them out."""
        return {}

    def wrong(self, outputs: Outputs, expected: str) -> BadInputError:
        """Return the error for outputs that are not the family's."""
        got = ", ".join(f"{k} {tuple(v.shape)}" for k, v in outputs.items())
        return BadInputError(
            f"the model's outputs are not those of {self.family}",
            where=self.name,
            expected=expected,
            got=got[:300],
            fix="choose the model's own family, or the right file",
        )


def check_fraction(name: str, value: float | None, default: float) -> float:
    """Return `value` or the default. Raises BadInputError unless it is in 0…1."""
    value = default if value is None else value
    if not 0 <= value <= 1:
        raise BadInputError(
            f"{name} is out of range",
            expected="0 … 1",
            got=value,
            fix="leave it out for the model's own",
        )
    return float(value)


def model_input(model: Model, name: str) -> tuple[str, tuple[int, int] | None]:
    """Return the layout (`nchw` or `nhwc`) and the fixed (width, height), or None, of a model's image input.

    Parameters
    ----------
    model : Model
        An opened model.
    name : str
        The name for messages.

    Returns
    -------
    tuple[str, tuple[int, int] or None]
        The layout (`nchw` or `nhwc`) and the fixed (width, height), or None, of a model's
        image input.

    Raises
    ------
    BadInputError
        The input does not have four axes.
    """
    shape = model.inputs[0].shape
    if len(shape) != 4:
        raise BadInputError(
            "the model's input is not an image",
            where=name,
            expected="4 axes",
            got=f"{list(shape)}",
            fix="export the model with an input of shape (1, 3, height, width) or (1, height, width, 3)",
        )
    layout = "nhwc" if shape[3] in (1, 3) and shape[1] not in (1, 3) else "nchw"
    height, width = (shape[1], shape[2]) if layout == "nhwc" else (shape[2], shape[3])
    return layout, (width, height) if width and height and min(width, height) > 0 else None


def levels(outputs: Outputs, widths: tuple[int, ...]) -> list[dict[int, list[np.ndarray]]]:
    """Sort the outputs of an anchor-based head into levels, finest stride first.

    `widths` are the allowed sizes of the last axis. Returns one dict a level: width → arrays (rows, width), in the
    model's order. Levels are distinguished by their number of rows, so neither names nor a batch axis matter.
    Returns an empty list where an output has a different width.
    """
    by_rows: dict[int, dict[int, list[np.ndarray]]] = {}
    for value in outputs.values():
        width = value.shape[-1] if value.ndim >= 2 else 0
        if width not in widths:
            return []
        flat = value.reshape(-1, width)
        by_rows.setdefault(len(flat), {}).setdefault(width, []).append(flat)
    return [by_rows[rows] for rows in sorted(by_rows, reverse=True)]
