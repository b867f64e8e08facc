"""MTCNN (Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.detection._base import Detections, Detector, Stopwatch, Timings
from facelab.detection._boxes import nms
from facelab.detection._inputs import bounded
from facelab.detection._neural import check_fraction
from facelab.zoo.runtimes import Model

CELL = 12
BATCH = 256


class Network:
    """One of the three networks, whatever its export: NHWC or NCHW, width and height swapped or not.

    Outputs are distinguished by their channels: 2 (probabilities), 4 (box offsets), 10 (landmarks).
    """

    def __init__(self, model: Model, *, swapped: bool):
        shape = model.inputs[0].shape
        if len(shape) != 4 or 3 not in (shape[1], shape[3]):
            raise BadInputError(
                "the network's input is not an RGB image",
                where=model.path,
                got=model.inputs[0],
                fix="export the network with an input of shape (n, 3, height, width)",
            )
        self.model, self.swapped, self.channels_first = model, swapped, shape[3] != 3
        self.one_by_one = shape[0] == 1

    def __call__(self, batch: np.ndarray) -> dict[int, np.ndarray]:
        """Run (n, height, width, 3) float32; return channels → (n, …, channels), maps as (n, rows, columns, …)."""
        n = 1 if self.one_by_one else BATCH
        parts = [self._run(batch[i : i + n]) for i in range(0, len(batch), n)]
        return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}

    def _run(self, batch: np.ndarray) -> dict[int, np.ndarray]:
        x = batch.swapaxes(1, 2) if self.swapped else batch
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2) if self.channels_first else x)
        out: dict[int, np.ndarray] = {}
        for value in self.model.run(x):
            if value.ndim == 4:
                value = value.transpose(0, 2, 3, 1) if self.channels_first else value
                value = value.swapaxes(1, 2) if self.swapped else value
            if value.shape[-1] not in (2, 4, 10) or not np.isfinite(value).all():
                raise BadInputError(
                    "the network's outputs are not those of mtcnn, or not finite",
                    where=self.model.path,
                    expected="2, 4 or 10 finite channels",
                    got=value.shape,
                    fix="fetch the networks again, or name the model's own family",
                )
            out[value.shape[-1]] = value
        return out


class Mtcnn(Detector):
    """Three stages: proposals on an image pyramid, refinement at 24 pixels, boxes and landmarks at 48.

    `models` are the opened P-, R- and O-Net. Pixels are RGB, (x − 127.5) / 128. `thresholds` are the stages' scores;
    `score_threshold` is another name for the last. Overlaps above `nms_thresholds` are suppressed: within a scale,
    across scales and in the second stage, and (as a share of the smaller box) in the last. Images with a side above
    `max_side` are shrunk first.
    """

    family = "mtcnn"

    def __init__(
        self,
        name: str,
        models: Sequence[Model],
        *,
        thresholds: Sequence[float] = (0.6, 0.7, 0.9),
        nms_thresholds: Sequence[float] = (0.5, 0.7, 0.7),
        score_threshold: float | None = None,
        min_size: float = 20,
        scale_factor: float = 0.709,
        max_side: int = 2048,
        transposed: bool | None = None,
    ):
        super().__init__(name)
        if len(models) != 3:
            raise BadInputError(
                "mtcnn has three networks",
                where=name,
                got=len(models),
                fix="give pnet, rnet and onet, in this order",
            )
        if min_size < CELL or not 0.1 <= scale_factor < 1:
            raise BadInputError(
                "the pyramid is impossible",
                where=name,
                got=f"{min_size} px, factor {scale_factor}",
                expected=f"min_size of at least {CELL} pixels, scale_factor from 0.1 to below 1",
                fix="use the usual values: min_size=20, scale_factor=0.709",
            )
        self.thresholds = tuple(check_fraction("threshold", t, t) for t in thresholds)
        self.score_threshold = check_fraction(
            "score_threshold", score_threshold, self.thresholds[2]
        )
        within, across, last = nms_thresholds
        self.nms_thresholds = within, across, last
        self.min_size, self.scale_factor, self.max_side = (
            float(min_size),
            float(scale_factor),
            max_side,
        )
        # the TFLite exports descend from facenet's port, which feeds images transposed
        self.stages = [
            Network(m, swapped=m.runtime == "litert" if transposed is None else transposed)
            for m in models
        ]
        self._run(np.full((48, 48, 3), 127, np.uint8))

    def _run(self, rgb: np.ndarray) -> Detections:
        watch = Stopwatch()
        small, shrink = bounded(rgb, self.max_side)
        image = (small.astype(np.float32) - np.float32(127.5)) / np.float32(128)
        levels = pyramid(image, self.min_size, self.scale_factor)
        pre = watch.lap()
        boxes, scores = self._propose(levels)
        points = np.zeros((0, 5, 2))
        if len(boxes):
            boxes, scores = self._refine(image, boxes)
        if len(boxes):
            boxes, scores, points = self._finish(image, boxes)
        run = watch.lap()
        boxes, points = boxes / np.tile(shrink, 2), points / np.array(shrink)
        size = (small.shape[1], small.shape[0])
        return Detections(boxes, scores, points, None, size, Timings(pre, run, watch.lap()))

    def _propose(self, levels: list[tuple[float, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
        """P-Net: every 12-pixel cell of every pyramid level; square boxes out."""
        all_boxes: list[np.ndarray] = [np.zeros((0, 4))]
        all_scores: list[np.ndarray] = [np.zeros(0)]
        for scale, level in levels:
            out = self.stages[0](level[None])
            probability = out[2][0, ..., 1]
            rows, columns = np.nonzero(probability > self.thresholds[0])
            corner = np.stack([columns, rows], axis=1) * 2.0
            # the cell covers pixels 1 … 12 counted from one; offsets are fractions of its width
            boxes = np.concatenate([corner + 1, corner + CELL], axis=1) + out[4][
                0, rows, columns
            ] * (CELL - 1)
            keep = nms(
                boxes,
                scores := probability[rows, columns].astype(np.float64),
                self.nms_thresholds[0],
            )
            all_boxes.append(boxes[keep] / scale)
            all_scores.append(scores[keep])
        boxes, scores = np.concatenate(all_boxes), np.concatenate(all_scores)
        keep = nms(boxes, scores, self.nms_thresholds[1])
        return squared(boxes[keep]), scores[keep]

    def _refine(self, image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """R-Net on 24-pixel patches; square boxes out."""
        out = self.stages[1](patches(image, boxes, 24))
        keep = np.flatnonzero(out[2][:, 1] > self.thresholds[1])
        boxes, scores = shifted(boxes[keep], out[4][keep]), out[2][keep, 1].astype(np.float64)
        keep = nms(boxes, scores, self.nms_thresholds[1])
        return squared(boxes[keep]), scores[keep]

    def _finish(
        self, image: np.ndarray, boxes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """O-Net on 48-pixel patches."""
        out = self.stages[2](patches(image, boxes, 48))
        keep = np.flatnonzero(out[2][:, 1] > self.score_threshold)
        boxes, scores = boxes[keep], out[2][keep, 1].astype(np.float64)
        # x of all five points, then y, as fractions of the patch
        points = out[10][keep].reshape(-1, 2, 5).transpose(0, 2, 1)
        points = points * (boxes[:, None, 2:] - boxes[:, None, :2] + 1) + boxes[:, None, :2] - 1
        boxes = shifted(boxes, out[4][keep])
        keep = nms(boxes, scores, self.nms_thresholds[2], over="min")
        return boxes[keep], scores[keep], points[keep]

    def describe(self) -> dict[str, Any]:
        return {
            **super().describe(),
            "thresholds": [*self.thresholds[:2], self.score_threshold],
            "min_size": self.min_size,
        }


def pyramid(image: np.ndarray, min_size: float, factor: float) -> list[tuple[float, np.ndarray]]:
    """Return (scale, image) from the largest level down to the last that holds one 12-pixel cell; area averaging."""
    import cv2

    height, width = image.shape[:2]
    levels: list[tuple[float, np.ndarray]] = []
    scale = CELL / min_size
    while min(height, width) * scale >= CELL:
        size = int(width * scale), int(height * scale)
        levels.append((scale, cv2.resize(image, size, interpolation=cv2.INTER_AREA)))
        scale *= factor
    return levels


def squared(boxes: np.ndarray) -> np.ndarray:
    """Return boxes grown to squares around their centres.

    >>> squared(np.array([[0., 0, 4, 2]])).tolist()
    [[0.0, -1.0, 4.0, 3.0]]
    """
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True, initial=0) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def shifted(boxes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Apply box offsets, which are fractions of the box's side plus one pixel."""
    size = boxes[:, 2:] - boxes[:, :2] + 1
    return boxes + offsets * np.tile(size, (1, 2))


def patches(image: np.ndarray, boxes: np.ndarray, side: int) -> np.ndarray:
    """Cut boxes out bilinearly, corners on corners: (n, side, side, 3) float32; beyond the image lies 0 (mid-gray)."""
    height, width = image.shape[:2]
    # as tf.image.crop_and_resize samples: box edges relative to the image's size, times size − 1
    steps = np.linspace(0, 1, side)
    x = (boxes[:, [0]] + (boxes[:, [2]] - boxes[:, [0]]) * steps) * ((width - 1) / width)
    y = (boxes[:, [1]] + (boxes[:, [3]] - boxes[:, [1]]) * steps) * ((height - 1) / height)
    inside = (
        ((x >= 0) & (x <= width - 1))[:, None, :] & ((y >= 0) & (y <= height - 1))[:, :, None]
    )[..., None]
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    x0, y0 = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = (
        (x - x0)[:, None, :, None].astype(np.float32),
        (y - y0)[:, :, None, None].astype(np.float32),
    )

    def at(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return image[rows[:, :, None], columns[:, None, :]]

    top = at(y0, x0) * (1 - fx) + at(y0, x1) * fx
    bottom = at(y1, x0) * (1 - fx) + at(y1, x1) * fx
    return np.where(inside, top * (1 - fy) + bottom * fy, np.float32(0)).astype(np.float32)


DETECTOR = Mtcnn
