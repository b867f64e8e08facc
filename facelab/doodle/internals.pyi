from ._classifier import DoodleClassifier, doodle_spec
from ._data import Labelled, read_drawings
from ._evaluate import Evaluation

__all__ = [
    "DoodleClassifier",
    "Evaluation",
    "Labelled",
    "doodle_spec",
    "read_drawings",
]
