from ._classifier import doodle_spec
from ._data import Labelled
from ._evaluate import Evaluation

__all__ = [
    "Evaluation",
    "Labelled",
    "doodle_spec",
]
