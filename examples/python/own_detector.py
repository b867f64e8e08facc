"""A detector family in one file: a map of faces' centres and a map of their radii.

It fits OpenSeeFace's detection network (outputs `output` and `maxpool`); another family differs in `decode`.
Try it: facelab eval detector --model my.onnx --family own_detector.py:HeatMap --images photos
"""

import numpy as np

from facelab.detection import NeuralDetector
from facelab.preprocess import PreprocessSpec


class HeatMap(NeuralDetector):
    """A face is where the map of centres has a peak above the threshold."""

    family = "heat-map"
    has_landmarks = False
    default_score, default_nms = 0.6, 0.4

    @classmethod
    def default_spec(cls, name, size, layout):
        """Return the preprocessing of a model that has no spec beside it; `size` is (width, height)."""
        stages = [
            {"op": "decode", "format": "encoded", "order": "rgb", "idct": "accurate", "alpha": "drop"},
            {"op": "orient", "exif": "apply", "transform": "none"},
            {"op": "resize", "size": list(size or (224, 224)), "mode": "stretch", "kernel": "bilinear",
             "antialias": False, "pixel_centers": "half", "rounding": "half_up"},
            {"op": "normalize", "mean": [0.485, 0.456, 0.406], "scale": [0.229, 0.224, 0.225], "units": "0-1"},
            {"op": "layout", "to": layout},
            {"op": "cast", "dtype": "float32"},
        ]  # fmt: skip
        return PreprocessSpec(name, stages)

    def decode(self, outputs, size):
        """Return boxes in pixels of the network's input, whose size is (width, height)."""
        if set(outputs) != {"output", "maxpool"}:
            raise self.wrong(outputs, "output and maxpool, (1, 2, height, width) each")
        (centre, radius), (peak, _) = outputs["output"][0], outputs["maxpool"][0]
        y, x = np.nonzero((centre == peak) & (centre > self.score_threshold))
        step = np.array(size) / centre.shape[::-1]
        reach = radius[y, x] * size[0] / 2
        cx, cy = x * step[0], y * step[1]
        boxes = np.stack([cx - reach, cy - reach, cx + reach, cy + reach], axis=1)
        return self.candidates(boxes, centre[y, x])


DETECTOR = HeatMap
