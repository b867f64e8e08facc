"""TFLite model metadata: name, normalisation and labels inside the `.tflite` file, written without tflite-support.

The layout is Google's `metadata_schema.fbs` (file identifier M001): a flatbuffer in the model's buffer named
TFLITE_METADATA, and the label file in a zip archive behind the model's bytes. It can hold mean and standard deviation
and nothing else of the preprocessing, which is why facelab's spec travels beside it. The isolated kernel of
tflite-model-maker reads these files back in a test.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import encode
from flatbuffers import number_types as n
from flatbuffers.table import Table

from facelab.core.errors import BadInputError
from facelab.core.files import read_model, write_bytes

NAME, IDENTIFIER = "TFLITE_METADATA", b"M001"
LABELS = "labels.txt"
_RGB, _IMAGE, _FEATURE, _NORMALIZATION, _VALUE_LABELS = 1, 2, 1, 1, 3


def write_metadata(
    path: str | os.PathLike[str],
    *,
    name: str,
    description: str,
    size: tuple[int, int],
    mean: float,
    std: float,
    labels: Sequence[str],
) -> Path:
    """Add metadata and labels to an image classifier's `.tflite`, atomically.

    `size` is (width, height); `mean` and `std` are in units of 0…255 and describe a float32 input. Raises
    BadInputError for a file that is not a TFLite model.
    """
    path = Path(path)
    data = _model_bytes(path)
    model = _with_buffer(data, _metadata(name, description, size, mean, std, labels))
    write_bytes(path, model)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(LABELS), "\n".join(labels) + "\n")
    return path


def add_signature(path: str | os.PathLike[str], key: str = "serving_default") -> Path:
    """Give a `.tflite` without signatures one over its first graph's inputs and outputs; others stay as they are.

    TensorFlow 2.13's converter, which Model Maker uses, writes none, and ai-edge-quantizer calibrates by signature.
    Metadata and label files are kept. Raises BadInputError for a file that is not a TFLite model.
    """
    path = Path(path)
    data = read_model(path)
    model = signed(data, key, where=path)
    if model is data:
        return path
    files: dict[str, bytes] = {}
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    write_bytes(path, model)
    for name, content in files.items():
        with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


def signed(data: bytes, key: str = "serving_default", *, where: object = None) -> bytes:
    """Return a `.tflite`'s bytes with a signature over its first graph; `data` itself where it has one.

    Files appended to the model (labels) are not in the new bytes. Raises BadInputError for what is not a TFLite model.
    """
    from ai_edge_litert import schema_py_generated as schema

    if data[4:8] != b"TFL3":
        raise BadInputError(
            "the file is not a TFLite model",
            where=where,
            expected="identifier TFL3",
            got=data[4:8],
            fix="name a .tflite file",
        )
    model = _opened(schema, data)
    if model.signatureDefs:
        return data
    graph: Any = next(iter(model.subgraphs or ()), None)
    if graph is None or graph.inputs is None or graph.outputs is None:
        raise BadInputError(
            "the TFLite model has no graph with inputs and outputs",
            where=where,
            fix="convert the model again",
        )
    signature: Any = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = key, 0
    signature.inputs = [_named(schema, graph, i) for i in graph.inputs]
    signature.outputs = [_named(schema, graph, i) for i in graph.outputs]
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(len(data) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _opened(schema: Any, data: bytes) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))


def _named(schema: Any, graph: Any, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = graph.tensors[index].name, int(index)
    return entry


def _model_bytes(path: Path) -> bytes:
    """Return a `.tflite` file's bytes. Raises BadInputError for another kind of file."""
    data = read_model(path)
    if data[4:8] != b"TFL3":
        raise BadInputError(
            "the file is not a TFLite model",
            where=path,
            expected="identifier TFL3",
            got=data[4:8],
            fix="name a .tflite file",
        )
    return data


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return {"name", "description", "mean", "std", "size", "labels"} of a `.tflite`, or None where it has none.

    `mean` and `std` are lists; `size` and `labels` are None where the file does not say.
    """
    from ai_edge_litert import schema_py_generated as schema

    path = Path(path)
    data = _model_bytes(path)
    model = schema.Model.GetRootAs(data, 0)
    for k in range(model.MetadataLength()):
        entry = model.Metadata(k)
        if entry is None or entry.Name() != NAME.encode():
            continue
        buffer = model.Buffers(entry.Buffer())
        if buffer is None or not buffer.DataLength():
            return None
        return _parsed(np.asarray(buffer.DataAsNumpy()).tobytes()) | {"labels": _labels(path)}
    return None


def _labels(path: Path) -> list[str] | None:
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        for entry in archive.namelist():
            if entry.endswith(".txt"):
                lines = archive.read(entry).decode("utf-8-sig", "replace").split("\n")
                return [line.strip() for line in lines if line.strip()]
    return None


def _with_buffer(data: bytes, metadata: bytes) -> bytes:
    from ai_edge_litert import schema_py_generated as schema

    model = _opened(schema, data)
    held: list[Any] = model.metadata or []
    buffers: list[Any] = model.buffers or []
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(metadata, dtype=np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = NAME, len(buffers)
    model.buffers = [*buffers, buffer]
    model.metadata = [*(m for m in held if m.name not in (NAME, NAME.encode())), entry]
    builder = flatbuffers.Builder(len(data) + len(metadata) + 1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _Writer:
    """Builds tables from (slot, kind, value) triples, in the order that flatbuffers wants: children first."""

    def __init__(self):
        self.builder = flatbuffers.Builder(1024)

    def text(self, value: str) -> int:
        return self.builder.CreateString(value)

    def floats(self, values: Sequence[float]) -> int:
        return self.builder.CreateNumpyVector(np.asarray(values, dtype=np.float32))

    def tables(self, offsets: Sequence[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return self.builder.EndVector()

    def table(self, slots: int, *fields: tuple[int, str, int]) -> int:
        b = self.builder
        put = {
            "ref": b.PrependUOffsetTRelativeSlot,
            "i8": b.PrependInt8Slot,
            "u8": b.PrependUint8Slot,
            "u32": b.PrependUint32Slot,
        }
        b.StartObject(slots)
        for slot, kind, value in fields:
            put[kind](slot, value, 0)
        return b.EndObject()


def _metadata(
    name: str, description: str, size: tuple[int, int], mean: Any, std: Any, labels: Any
) -> bytes:
    w = _Writer()
    image = w.table(
        2, (0, "i8", _RGB), (1, "ref", w.table(2, (0, "u32", size[0]), (1, "u32", size[1])))
    )
    content = w.table(3, (0, "u8", _IMAGE), (1, "ref", image))
    options = w.table(2, (0, "ref", w.floats([mean])), (1, "ref", w.floats([std])))
    unit = w.table(2, (0, "u8", _NORMALIZATION), (1, "ref", options))
    low, high = (0 - mean) / std, (255 - mean) / std
    source = w.table(
        7,
        (0, "ref", w.text("image")),
        (1, "ref", w.text("The face, preprocessed by the spec beside it")),
        (3, "ref", content),
        (4, "ref", w.tables([unit])),
        (5, "ref", w.table(2, (0, "ref", w.floats([high])), (1, "ref", w.floats([low])))),
    )
    file = w.table(
        5,
        (0, "ref", w.text(LABELS)),
        (1, "ref", w.text(f"{len(labels)} classes, one per line")),
        (2, "i8", _VALUE_LABELS),
    )
    features = w.table(3, (0, "u8", _FEATURE), (1, "ref", w.table(0)))
    target = w.table(
        7,
        (0, "ref", w.text("probability")),
        (1, "ref", w.text("Probabilities of the labels")),
        (3, "ref", features),
        (5, "ref", w.table(2, (0, "ref", w.floats([1.0])), (1, "ref", w.floats([0.0])))),
        (6, "ref", w.tables([file])),
    )
    graph = w.table(10, (2, "ref", w.tables([source])), (3, "ref", w.tables([target])))
    root = w.table(
        8,
        (0, "ref", w.text(name)),
        (1, "ref", w.text(description)),
        (2, "ref", w.text("v1")),
        (3, "ref", w.tables([graph])),
        (7, "ref", w.text("1.0.0")),
    )
    w.builder.Finish(root, IDENTIFIER)
    return bytes(w.builder.Output())


class _Reader:
    """Follows slots of a flatbuffer table; anything absent is None."""

    def __init__(self, buffer: bytes, position: int | None = None):
        self.table = Table(
            buffer,
            encode.Get(n.UOffsetTFlags.packer_type, buffer, 0) if position is None else position,
        )

    def _at(self, slot: int) -> int | None:
        offset = self.table.Offset(4 + 2 * slot)
        return offset + self.table.Pos if offset else None

    def ref(self, slot: int) -> _Reader | None:
        at = self._at(slot)
        return None if at is None else _Reader(self.table.Bytes, self.table.Indirect(at))

    def text(self, slot: int) -> str | None:
        at = self._at(slot)
        return None if at is None else self.table.String(at).decode("utf-8", "replace")

    def number(self, slot: int, kind: type[n.Flags]) -> int:
        at = self._at(slot)
        return 0 if at is None else self.table.Get(kind, at)

    def first(self, slot: int) -> _Reader | None:
        offset = self.table.Offset(4 + 2 * slot)
        if not offset or not self.table.VectorLen(offset):
            return None
        return _Reader(self.table.Bytes, self.table.Indirect(self.table.Vector(offset)))

    def floats(self, slot: int) -> list[float]:
        offset = self.table.Offset(4 + 2 * slot)
        return [] if not offset else self.table.GetVectorAsNumpy(n.Float32Flags, offset).tolist()


def _parsed(raw: bytes) -> dict[str, Any]:
    root = _Reader(raw)
    out: dict[str, Any] = {
        "name": root.text(0),
        "description": root.text(1),
        "mean": [],
        "std": [],
        "size": None,
    }
    graph = root.first(3)
    source = graph.first(2) if graph else None
    if source is None:
        return out
    unit = source.first(4)
    if unit and unit.number(0, n.Uint8Flags) == _NORMALIZATION and (options := unit.ref(1)):
        out["mean"], out["std"] = options.floats(0), options.floats(1)
    content = source.ref(3)
    image = content.ref(1) if content and content.number(0, n.Uint8Flags) == _IMAGE else None
    if image and (size := image.ref(1)):
        out["size"] = (size.number(0, n.Uint32Flags), size.number(1, n.Uint32Flags))
    return out
