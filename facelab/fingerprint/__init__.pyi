from .capture._adapters import capture_target
from .capture._capture import capture_pipeline, capture_spec
from .capture._hooks import stage, tap
from .capture._tensors import import_tensors
from .diagnosis._compare import compare
from .diagnosis._comparison import Comparison
from .document._schema import Fingerprint, load

__all__ = [
    "Comparison",
    "Fingerprint",
    "capture_pipeline",
    "capture_spec",
    "capture_target",
    "compare",
    "import_tensors",
    "load",
    "stage",
    "tap",
]
