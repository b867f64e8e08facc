"""The SSD of AIZOOTech/FaceMaskDetection: faces with a mask (class 0) and without (class 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facelab.detection._boxes import GREEDY, from_offsets, grid
from facelab.detection._inputs import detector_spec
from facelab.detection._neural import Found, NeuralDetector, Outputs
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo.runtimes import Model

FEATURE_MAPS = (33, 17, 9, 5, 3)
SIZES = ((0.04, 0.056), (0.08, 0.11), (0.16, 0.22), (0.32, 0.45), (0.64, 0.72))
RATIOS = (1.0, 0.62, 0.42)


class SsdMask(NeuralDetector):
    """Anchors on square maps: two sizes of the first ratio, then the first size in the other ratios; no landmarks."""

    family = "ssd-mask"
    has_landmarks = False
    default_score, default_nms = 0.5, 0.4

    def __init__(
        self,
        name: str,
        model: Model,
        spec: PreprocessSpec | None = None,
        *,
        feature_maps: Sequence[int] = FEATURE_MAPS,
        anchor_sizes: Sequence[Sequence[float]] = SIZES,
        anchor_ratios: Sequence[float] = RATIOS,
        variances: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
        **options: Any,
    ):
        self.anchors = anchors(feature_maps, anchor_sizes, anchor_ratios)
        self.variances = (variances[0], variances[-1])
        super().__init__(name, model, spec, **options)

    @classmethod
    def default_spec(cls, name: str, size: tuple[int, int] | None, layout: str) -> PreprocessSpec:
        """RGB / 255, stretched to the input."""
        return detector_spec(
            name, size=size or (260, 260), fit="stretch", scale=[255], layout=layout
        )

    def _decoding(self) -> dict[str, Any]:
        return {
            "outputs": "boxes (n, 4) and classes (n, 2): with a mask, without",
            "anchors": [
                [float(v) for v in row] for row in self.anchors[:: max(len(self.anchors) // 8, 1)]
            ],
            "anchors_rule": "maps of 33, 17, 9, 5 and 3 cells per side (of a 260 input); a cell has two sizes in the "
            "first ratio, then the first size in the others; rows above are a sample, cx cy w h relative",
            "variances": list(self.variances),
            "score": "the larger column, kept from score_threshold on",
            "box": "centre = anchor centre + box[0:2] · variances[0] · anchor size; size = anchor size · exp(box[2:4] "
            "· variances[1]); times the tensor's width and height",
            "suppression": GREEDY,
        }

    def decode(self, outputs: Outputs, size: tuple[int, int]) -> Found:
        flat = {v.shape[-1]: v.reshape(-1, v.shape[-1]) for v in outputs.values() if v.ndim >= 2}
        n = len(self.anchors)
        if len(outputs) != 2 or set(flat) != {2, 4} or len(flat[2]) != n or len(flat[4]) != n:
            raise self.wrong(outputs, f"boxes ({n}, 4) and classes ({n}, 2)")
        best = flat[2].max(axis=1)
        keep = np.flatnonzero(best >= self.score_threshold)
        boxes = from_offsets(flat[4][keep], self.anchors[keep], self.variances)
        return self.suppress(Found(boxes * np.tile(size, 2), best[keep]))


def anchors(
    maps: Sequence[int], sizes: Sequence[Sequence[float]], ratios: Sequence[float]
) -> np.ndarray:
    """Return anchors (n, 4) as `cx cy w h`, relative to the input, map by map and cell by cell."""
    out: list[np.ndarray] = []
    for side, pair in zip(maps, sizes, strict=True):
        shapes = [(s * ratios[0] ** 0.5, s / ratios[0] ** 0.5) for s in pair]
        shapes += [(pair[0] * r**0.5, pair[0] / r**0.5) for r in ratios[1:]]
        centres = (grid(side, side, len(shapes)) + 0.5) / side
        out.append(np.concatenate([centres, np.tile(np.array(shapes), (side * side, 1))], axis=1))
    return np.concatenate(out).astype(np.float64)


DETECTOR = SsdMask
