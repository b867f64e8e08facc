from ._canvas import canvas
from ._classifier import load
from ._data import read_folder
from ._evaluate import evaluate
from ._ink import ink
from ._train import Settings, train

__all__ = [
    "Settings",
    "canvas",
    "evaluate",
    "ink",
    "load",
    "read_folder",
    "train",
]
