from . import emit, presets
from ._run import apply, input_to_output
from .image import read_image
from .spec import PreprocessSpec

__all__ = [
    "PreprocessSpec",
    "apply",
    "emit",
    "input_to_output",
    "presets",
    "read_image",
]
