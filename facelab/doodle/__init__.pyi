from ._canvas import canvas
from ._classifier import DoodleClassifier, load
from ._data import read_drawings, read_folder
from ._evaluate import evaluate
from ._ink import ink
from ._train import Settings, train

__all__ = [
    "DoodleClassifier",
    "Settings",
    "canvas",
    "evaluate",
    "ink",
    "load",
    "read_drawings",
    "read_folder",
    "train",
]
