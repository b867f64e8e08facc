"""Capture: run a pipeline in any form on the probes, or take in the tensors that a program wrote."""

import lazy_loader as _lazy

__getattr__, __dir__, _ = _lazy.attach(
    __name__,
    submod_attrs={
        "_adapters": ["capture_target", "load_pipeline"],
        "_capture": ["as_array", "capture_pipeline", "capture_spec"],
        "_feed": ["feed_words"],
        "_hooks": ["stage", "tap"],
        "_tensors": ["import_tensors", "read_tensor"],
    },
)
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
