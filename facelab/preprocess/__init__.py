"""What is done to an image before a model sees it: the spec, who carries it out, and alignment."""

from facelab.preprocess.backends import BACKENDS
from facelab.preprocess.geometry import Face
from facelab.preprocess.image import read_image
from facelab.preprocess.run import apply, input_to_output, stages
from facelab.preprocess.spec import PreprocessSpec

__all__ = ["BACKENDS", "Face", "PreprocessSpec", "apply", "input_to_output", "read_image", "stages"]
