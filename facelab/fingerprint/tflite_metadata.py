"""A `.tflite` file's own account of its preprocessing (TensorFlow Lite Metadata) as a spec.

The metadata are a FlatBuffer (`metadata_schema.fbs` of tensorflow/tflite-support, identifier M001) kept in the model's
buffer named TFLITE_METADATA. The few fields needed are read by their numbers in the schema.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from facelab.core.errors import BadInputError, MissingAssetError
from facelab.preprocess.spec import PreprocessSpec

# field numbers: schema.fbs Model(buffers 4, metadata 6), Metadata(name 0, buffer 1), Buffer(data 0);
# metadata_schema.fbs ModelMetadata(subgraph_metadata 3), SubGraphMetadata(input_tensor_metadata 2),
# TensorMetadata(process_units 5), ProcessUnit(options_type 0, options 1), NormalizationOptions(mean 0, std 1)
NORMALIZATION = 1


class Table:
    """A FlatBuffer table, read with bounds checks. Raises ValueError for offsets outside the data."""

    def __init__(self, data: bytes, at: int):
        self.data, self.at = data, at
        self.vtable = at - self._int("<i", at)
        self.size = self._int("<H", self.vtable)

    def _int(self, fmt: str, at: int) -> int:
        if at < 0 or at + struct.calcsize(fmt) > len(self.data):
            raise ValueError("an offset points outside the file")
        return struct.unpack_from(fmt, self.data, at)[0]

    def _field(self, number: int) -> int:
        """Position of a field, 0 where it is absent."""
        slot = 4 + 2 * number
        offset = self._int("<H", self.vtable + slot) if slot + 2 <= self.size else 0
        return self.at + offset if offset else 0

    def number(self, field: int, fmt: str = "<B") -> int:
        at = self._field(field)
        return self._int(fmt, at) if at else 0

    def _vector(self, field: int) -> tuple[int, int]:
        at = self._field(field)
        if not at:
            return 0, 0
        start = at + self._int("<I", at)
        return start + 4, self._int("<I", start)

    def table(self, field: int) -> Table | None:
        at = self._field(field)
        return Table(self.data, at + self._int("<I", at)) if at else None

    def tables(self, field: int) -> list[Table]:
        start, n = self._vector(field)
        return [Table(self.data, start + 4 * i + self._int("<I", start + 4 * i)) for i in range(min(n, 1 << 16))]

    def blob(self, field: int) -> bytes:
        start, n = self._vector(field)
        return self.data[start : start + n]

    def floats(self, field: int) -> list[float]:
        start, n = self._vector(field)
        return [float(self._int("<f", start + 4 * i)) for i in range(min(n, 16))]


def root(data: bytes) -> Table:
    """Return the root table of a FlatBuffer."""
    if len(data) < 8:
        raise ValueError("too short")
    return Table(data, struct.unpack_from("<I", data)[0])


def normalization(data: bytes) -> tuple[list[float], list[float]] | None:
    """Return (mean, std) of the first input from a model's metadata, None if it states none.

    Raises ValueError for bytes that are no TFLite model.
    """
    if data[4:8] != b"TFL3":
        raise ValueError("the file has no TFLite identifier")
    model = root(data)
    buffers = model.tables(4)
    for entry in model.tables(6):
        if entry.blob(0) == b"TFLITE_METADATA" and (index := entry.number(1, "<I")) < len(buffers):
            return _from_metadata(root(buffers[index].blob(0)))
    return None


def _from_metadata(metadata: Table):
    for graph in metadata.tables(3)[:1]:
        for tensor in graph.tables(2)[:1]:
            for unit in tensor.tables(5):
                options = unit.table(1)
                if unit.number(0) == NORMALIZATION and options is not None:
                    return options.floats(0), options.floats(1)
    return None


def spec_of(path: str | os.PathLike) -> PreprocessSpec:
    """Return the preprocessing a `.tflite` file's metadata and input tensor state, as the TFLite Task Library does it.

    That is: RGB, stretched to the input's size bilinearly without antialias, (x − mean) / std, then quantised where
    the input is integer. Raises BadInputError for a model without normalisation metadata or whose input is no RGB
    picture, MissingAssetError for a missing file.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingAssetError("the model file does not exist", where=path, fix="check the path")
    try:
        found = normalization(path.read_bytes())
    except (ValueError, struct.error) as e:
        raise BadInputError("the file is no TFLite model that can be read", where=path, got=str(e)) from None
    if found is None or not found[0] or not found[1]:
        raise BadInputError(
            "the TFLite model has no normalisation metadata",
            where=path,
            expected="TensorFlow Lite Metadata with NormalizationOptions",
            fix="give --spec with what the model was trained for",
        )
    return PreprocessSpec(path.name, _stages(path, *found))


def _stages(path: Path, mean: list[float], std: list[float]) -> list[dict]:
    from ai_edge_litert.interpreter import Interpreter

    try:
        detail = Interpreter(model_path=str(path)).get_input_details()[0]
    except (ValueError, RuntimeError) as e:
        raise BadInputError("the TFLite model cannot be opened", where=path, got=str(e).splitlines()[0][:160]) from None
    shape = [int(n) for n in detail["shape"]]
    if len(shape) != 4 or shape[0] != 1 or shape[3] not in (1, 3):
        raise BadInputError(
            "the TFLite model's input is no picture", where=path, expected="1 × height × width × 3 or 1", got=str(shape)
        )
    dtype = detail["dtype"].__name__
    gray = (
        [{"op": "color", "from": "rgb", "to": "gray", "weights": "bt601", "rounding": "half_up"}]
        if shape[3] == 1
        else []
    )
    stages = [
        {"op": "decode", "format": "encoded", "order": "rgb", "idct": "accurate", "alpha": "drop"},
        {"op": "orient", "exif": "apply", "transform": "none"},
        *gray,
        {
            "op": "resize",
            "size": [shape[2], shape[1]],
            "mode": "stretch",
            "kernel": "bilinear",
            "antialias": False,
            "pixel_centers": "half",
            "rounding": "half_up",
        },
        {"op": "normalize", "mean": mean[:1] if gray else mean, "scale": std[:1] if gray else std, "units": "0-255"},
        {"op": "layout", "to": "nhwc"},
    ]
    if dtype == "float32":
        return [*stages, {"op": "cast", "dtype": "float32"}]
    scale, zero = detail["quantization"]
    return [
        *stages,
        {
            "op": "quantize",
            "scale": float(scale),
            "zero_point": int(zero),
            "dtype": dtype,
            "rounding": "half_away",
            "saturate": True,
        },
    ]
