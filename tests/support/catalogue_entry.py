"""An entry of the catalogue for a small file."""

from facelab.zoo._catalogue import ModelEntry


def model_entry(**changes) -> ModelEntry:
    """Return the entry of a file `thing.onnx` of 1000 bytes, with `changes`."""
    fields = {
        "name": "thing",
        "kind": "aux",
        "family": "test",
        "runtime": "onnx",
        "what": "a test file",
        "file": "thing.onnx",
        "sha256": "0" * 64,
        "bytes": 1000,
        "licence": "MIT",
        "source": "here",
    }
    return ModelEntry(**(fields | changes))
