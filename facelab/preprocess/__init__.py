"""What is done to an image before a model sees it: the spec, who carries it out, and alignment.

The names below are imported when they are first used: the spec's models cost a tenth of a second, which
`facelab fingerprint compare` does without.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facelab.preprocess.backends import BACKENDS
    from facelab.preprocess.geometry import Face
    from facelab.preprocess.image import read_image
    from facelab.preprocess.run import apply, input_to_output, stages
    from facelab.preprocess.spec import PreprocessSpec

__all__ = ["BACKENDS", "Face", "PreprocessSpec", "apply", "input_to_output", "read_image", "stages"]
_HOMES = {
    "BACKENDS": "backends",
    "Face": "geometry",
    "PreprocessSpec": "spec",
    "apply": "run",
    "input_to_output": "run",
    "read_image": "image",
    "stages": "run",
}


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
