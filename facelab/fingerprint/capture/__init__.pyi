from ._adapters import capture_target, load_pipeline
from ._capture import as_array, capture_pipeline, capture_spec
from ._feed import feed_words
from ._hooks import stage, tap
from ._tensors import import_tensors, read_tensor

__all__ = [
    "as_array",
    "capture_pipeline",
    "capture_spec",
    "capture_target",
    "feed_words",
    "import_tensors",
    "load_pipeline",
    "read_tensor",
    "stage",
    "tap",
]
