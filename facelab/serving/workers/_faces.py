"""The faces' work in a worker: decode what came, detect or embed, answer in plain values."""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.core import degraded
from facelab.detection import load as load_detector
from facelab.embedding import load as load_embedder
from facelab.serving.service._limits import Limits, checked_image
from facelab.serving.service._tasks import FaceTasks

LAST_SIDE = 640
"""Longest side in pixels that the last detector sees."""


class Faces:
    """Made in the worker by names, so that no model crosses a process."""

    def __init__(self, detectors: list[str], embedders: list[str], pixels: int) -> None:
        self.limits = Limits(pixels=pixels)
        self.tasks = FaceTasks(
            {name: load_detector(name, threads=1) for name in detectors},
            {name: load_embedder(name, threads=1) for name in embedders},
        )

    def __call__(self, task: str, data: bytes, options: dict[str, Any]) -> dict[str, Any]:
        """Answer `detect`, `embed` or `verify` for the images in `data`, whose sizes the options give."""
        sizes, shrink = options.pop("sizes"), options.pop("shrink")
        images, at = [], 0
        for size in sizes:
            images.append(checked_image(data[at : at + size], self.limits))
            at += size
        smaller = [scaled_down(i, 0.5) if shrink else i for i in images]
        answer = getattr(self.tasks, task)(*smaller, **options)
        answer = scaled_back(answer, images[0], smaller[0]) if shrink else answer
        return {**answer, "degraded": list(degraded.active())}  # of this process: its models


def scaled_down(image: np.ndarray, scale: float) -> np.ndarray:
    """Return an image at a share of its width and height; the image itself from 1 on."""
    import cv2

    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def last_resort(tasks: FaceTasks, image: np.ndarray) -> dict[str, Any]:
    """Return the faces that the last detector finds on at most 640 pixels: it is slow on large images."""
    smaller = scaled_down(image, LAST_SIDE / max(image.shape[:2]))
    return scaled_back(tasks.detect(smaller), image, smaller)


def scaled_back(answer: dict[str, Any], image: np.ndarray, smaller: np.ndarray) -> dict[str, Any]:
    """Return an answer for the smaller image in the pixels of the large one."""
    across, down = image.shape[1] / smaller.shape[1], image.shape[0] / smaller.shape[0]
    faces = []
    for face in answer.get("faces", []):
        scaled = dict(face)
        x1, y1, x2, y2 = face["box"]
        scaled["box"] = [x1 * across, y1 * down, x2 * across, y2 * down]
        for name in ("landmarks", "keypoints"):
            if name in face:
                scaled[name] = [[x * across, y * down] for x, y in face[name]]
        faces.append(scaled)
    return {**answer, "faces": faces} if "faces" in answer else answer
