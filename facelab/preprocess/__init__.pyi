from .backends import BACKENDS
from .geometry import Face
from .image import read_image
from .ops import DECODE_RGB
from .run import apply, input_to_output, stages
from .spec import PreprocessSpec

__all__ = [
    "BACKENDS",
    "DECODE_RGB",
    "Face",
    "PreprocessSpec",
    "apply",
    "input_to_output",
    "read_image",
    "stages",
]
