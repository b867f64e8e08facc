"""MiniFASNet V2 and V1SE (minivision-ai/Silent-Face-Anti-Spoofing): 80 pixels, BGR 0 to 255, a wide crop."""

from __future__ import annotations

import numpy as np

from facelab.liveness._network import NetworkLiveness
from facelab.liveness._presentation import Look
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo.runtimes import Model


class MiniFASNet(NetworkLiveness):
    """Three classes (print, live, replay). The crop window is moved into the picture where it fits, as the authors do.

    Parameters
    ----------
    name, model, spec
        As for `NetworkLiveness`.
    real_class : int
        The column of live faces.
    crop_scale : float
        Side of the window in sides of the face's box; the same as in the spec's crop.
    """

    family = "minifasnet"
    classes = 3

    def __init__(
        self,
        name: str,
        model: Model,
        spec: PreprocessSpec | None = None,
        *,
        real_class: int = 1,
        crop_scale: float = 2.7,
    ):
        self.crop_scale = float(crop_scale)
        super().__init__(name, model, spec, real_class=real_class)

    def _face(self, look: Look) -> np.ndarray:
        h, w = look.colour.shape[:2]
        size = look.box[2:] - look.box[:2]
        window = size * min(self.crop_scale, (h - 1) / size[1], (w - 1) / size[0])
        centre = (look.box[:2] + look.box[2:]) / 2
        corner = np.clip(centre - window / 2, 0, np.maximum(0, np.array([w, h]) - window))
        centre, half = corner + window / 2, window / self.crop_scale / 2
        return np.concatenate([centre - half, centre + half])


LIVENESS = MiniFASNet
