"""The TensorFlow converter in its own process, run by `facelab/core/job.py`.

The job is {"source": path, "variants": [{"name", "kind"}]}; where a variant needs it, the folder holds
`calibration.npy`. Writes a `.tflite` a variant.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facelab.quantization._rows import stored_rows

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def without_slots(source: Any, folder: Path) -> Path:
    """Return a copy of a SavedModel whose optimizer has no slots; its variables are linked to.

    Keras 2 saves them along (Model Maker does), and TensorFlow with Keras 3 cannot give them back to an optimizer that
    it does not know: '_UserObject' object has no attribute 'add_slot'.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((source / "saved_model.pb").read_bytes())
    for graph in saved.meta_graphs:
        for node in graph.object_graph_def.nodes:
            del node.slot_variables[:]
    copy = folder / "source"
    copy.mkdir()
    (copy / "saved_model.pb").write_bytes(saved.SerializeToString())
    for part in source.iterdir():
        if part.name not in ("saved_model.pb", "fingerprint.pb"):
            (copy / part.name).symlink_to(part)
    return copy


def converters(source: Any, folder: Path) -> Callable[[], Any]:
    """Return a function that makes a fresh converter for the source, a SavedModel or a Keras file."""
    import tensorflow as tf

    if source.is_dir():
        copy = without_slots(source, folder)
        return lambda: tf.lite.TFLiteConverter.from_saved_model(str(copy))
    import keras

    model = keras.models.load_model(source, compile=False)
    return lambda: tf.lite.TFLiteConverter.from_keras_model(model)


def convert(converter: Any, kind: Any, images: Any) -> Any:
    """Return the bytes of one variant."""
    import tensorflow as tf

    if kind == "float32":
        return converter.convert()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    elif kind in ("int8", "uint8"):
        converter.representative_dataset = lambda: ([x[None]] for x in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = getattr(tf, kind)
    elif kind != "dynamic-range":
        raise ValueError(f"no such kind: {kind}")
    return converter.convert()


def work(job: dict[str, Any], folder: Path) -> dict[Any, Any]:
    """Convert every variant."""

    make = converters(Path(job["source"]), folder)
    stored = folder / "calibration.npy"
    images = stored_rows(stored) if stored.is_file() else None
    for variant in job["variants"]:
        (folder / f"{variant['name']}.tflite").write_bytes(convert(make(), variant["kind"], images))
    return {}
