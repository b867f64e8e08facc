"""ONNX models that keep their weights in other files: gather everything into one."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from facelab.core.errors import BadInputError, UnsupportedError

MOST = (2 << 30) - (1 << 20)
"""What a protobuf can hold, less a little for the graph."""


def embedded(path: Path) -> bytes | None:
    """Return an ONNX model's bytes with its external weights inside, or None where it has none.

    Raises BadInputError for a weight file that is missing or not below the model's folder, UnsupportedError for more
    than one file can hold.
    """
    import onnx
    from onnx.external_data_helper import (
        _get_all_tensors,
        load_external_data_for_model,
        uses_external_data,
    )

    model = onnx.load(str(path), load_external_data=False)
    places = {
        entry.value
        for tensor in _get_all_tensors(model)
        if uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    if not places:
        return None
    total = path.stat().st_size + sum(_size(path, place) for place in places)
    if total > MOST:
        raise UnsupportedError(
            "the model and its weights are too large for one file",
            where=path,
            expected=f"at most {MOST} bytes",
            got=f"{total} bytes",
            fix="quantise the model, or choose a smaller one",
        )
    try:
        load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as e:
        raise BadInputError(
            "the model's weights cannot be read",
            where=path,
            got=str(e)[:160],
            fix="export the model into one file",
        ) from None
    return model.SerializeToString(deterministic=True)


def _size(path: Path, place: str) -> int:
    parts = PurePosixPath(place).parts
    file = path.parent / place
    if place.startswith("/") or ".." in parts or "\\" in place or not file.is_file():
        raise BadInputError(
            "a file of the model's weights is missing, or not beside it",
            where=path,
            expected="weights below the model's folder",
            got=place[:120],
            fix="copy the weights there, or export the model into one file",
        )
    return file.stat().st_size
