"""Keras models (.keras, .h5, .hdf5) on Keras 3; imports TensorFlow when a model is opened, not before."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.zoo.integrity import refuse_impostor
from facelab.zoo.runtimes.base import Model, TensorInfo, first_line, thread_count


class KerasModel(Model):
    """A Keras model in inference mode; `handle` is the `keras.Model`."""

    runtime = "keras"

    def _compute(self, feed: dict[str, np.ndarray]):
        arrays = [feed[i.name] for i in self.inputs]
        # old HDF5 files take a list of one, newer models the array itself; Keras 3 warns where the structure differs
        bare = len(arrays) == 1 and not isinstance(
            getattr(self.handle, "_inputs_struct", None), (list, tuple)
        )
        out = self.handle(arrays[0] if bare else arrays, training=False)
        return [np.asarray(o) for o in (out if isinstance(out, (list, tuple)) else [out])]


def open_keras(path: Path, *, threads: int | None = None) -> KerasModel:
    """Open a Keras file, without its training configuration. Raises IntegrityError, BadInputError, UnsupportedError.

    The thread count is TensorFlow's and counts for the whole process: it is set by the first model.
    """
    refuse_impostor(path)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import keras
        import tensorflow as tf
    except ImportError as e:
        raise UnsupportedError(
            "TensorFlow cannot be imported, so Keras models cannot be opened",
            where=path,
            got=first_line(e),
            fix="make setup",
        ) from e
    n = thread_count(threads)
    # TensorFlow refuses after its first operation; the earlier setting then stays
    try:
        tf.config.threading.set_intra_op_parallelism_threads(n)
    except RuntimeError:
        n = tf.config.threading.get_intra_op_parallelism_threads() or n
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as e:
        raise BadInputError(
            "Keras refuses the model",
            where=path,
            got=first_line(e),
            fix="the file may be truncated, or need layers that this Keras does not have",
        ) from e
    return KerasModel(
        path, model, [_info(t) for t in model.inputs], [_info(t) for t in model.outputs], n
    )


def _info(tensor) -> TensorInfo:
    name = tensor.name.split(":")[0]
    return TensorInfo(
        name, tuple(None if n is None else int(n) for n in tensor.shape), str(tensor.dtype)
    )
