from ._api import Faces, generate, recipe, sample, vary
from ._workers import available_cores, parallel
from .camera._filters import bilinear_sample
from .geometry._expression import ACTION_UNITS, EMOTIONS, THREE_CLASSES
from .geometry._identity import Identity, draw_identity
from .output._writer import make_request, write_set
from .tasks._liveness import sense_depth
from .tasks._make import make
from .tasks._pairs import base_pairs
from .tasks._recipe import FACTORS, Occluder, Recipe, Sample, Spread, change
from .tasks._scenes import Scene, SceneFace, scene
from .tasks._sets import HARD_FACTORS, SETS, SPLITS

__all__ = [
    "ACTION_UNITS",
    "EMOTIONS",
    "FACTORS",
    "HARD_FACTORS",
    "SETS",
    "SPLITS",
    "THREE_CLASSES",
    "Faces",
    "Identity",
    "Occluder",
    "Recipe",
    "Sample",
    "Scene",
    "SceneFace",
    "Spread",
    "available_cores",
    "base_pairs",
    "bilinear_sample",
    "change",
    "draw_identity",
    "generate",
    "make",
    "make_request",
    "parallel",
    "recipe",
    "sample",
    "scene",
    "sense_depth",
    "vary",
    "write_set",
]
