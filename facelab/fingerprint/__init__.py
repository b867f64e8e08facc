"""Preprocessing fingerprints: capture what a pipeline does to a set of probes, compare two, and name the cause.

>>> from facelab.fingerprint import stage, tap      # stage hooks for a pipeline, one line each
"""

from facelab.fingerprint.hooks import stage, tap

__all__ = ["capture_pipeline", "capture_spec", "import_tensors", "load", "stage", "tap"]


def __getattr__(name: str):
    # a pipeline that only imports the hooks should not pay for the rest
    from importlib import import_module

    homes = {
        "capture_pipeline": "capture",
        "capture_spec": "capture",
        "import_tensors": "tensors",
        "load": "schema",
    }
    if name in homes:
        return getattr(import_module(f"facelab.fingerprint.{homes[name]}"), name)
    raise AttributeError(f"module 'facelab.fingerprint' has no attribute {name!r}")
