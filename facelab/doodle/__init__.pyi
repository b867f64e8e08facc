from ._canvas import canvas
from ._classifier import CLASSES, DoodleClassifier, doodle_spec, load
from ._data import Labelled, read_drawing, read_drawings, read_folder
from ._evaluate import Evaluation, evaluate
from ._ink import SIDE, ink
from ._train import Settings, Trained, default_folder, train

__all__ = [
    "CLASSES",
    "SIDE",
    "DoodleClassifier",
    "Evaluation",
    "Labelled",
    "Settings",
    "Trained",
    "canvas",
    "default_folder",
    "doodle_spec",
    "evaluate",
    "ink",
    "load",
    "read_drawing",
    "read_drawings",
    "read_folder",
    "train",
]
