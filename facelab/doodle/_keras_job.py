"""One training of the drawing network, run by `facelab/core/job.py` in its own process.

The job is {"seed", "epochs", "batch", "learning_rate", "widths"}; the folder holds `train.npz` and `validation.npz`
(images uint8 (n, 28, 28), labels int64). Writes a float32 and an INT8 `.tflite`; the INT8 one is calibrated on
training pictures.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ["KERAS_BACKEND"] = "tensorflow"

CALIBRATION = 200


def network(widths: Any, seed: int) -> Any:
    """Return the network: three convolutions that halve the picture, and one dense layer."""
    import keras

    layers = [keras.Input((28, 28, 1), batch_size=None, name="ink")]
    for k, width in enumerate(widths):
        stride = 2 if k < 2 else 1
        layers += [
            keras.layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
        ]
    layers += [
        keras.layers.MaxPooling2D(2),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.3, seed=seed),
        keras.layers.Dense(2, activation="softmax", name="class"),
    ]
    return keras.Sequential(layers)


def moved(images: np.ndarray, rng: Any) -> np.ndarray:
    """Return the pictures shifted by up to a pixel each way: drawings are never centred to the pixel."""
    import numpy as np

    out = np.empty_like(images)
    for k, (dy, dx) in enumerate(rng.integers(-1, 2, (len(images), 2))):
        out[k] = np.roll(images[k], (dy, dx), (0, 1))
    return out


def fit(model: Any, job: dict[str, Any], parts: Any) -> dict[Any, Any]:
    """Train, and return the history as plain lists."""
    import keras
    import numpy as np

    def numbers(images):
        return ((images.astype(np.float32) - 127.5) / 127.5)[..., None]

    one_hot = np.eye(2, dtype=np.float32)
    steps = job["epochs"] * -(-len(parts["train"]["images"]) // job["batch"])
    rate: Any = keras.optimizers.schedules.CosineDecay(job["learning_rate"], steps)
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.02),
        metrics=["accuracy"],
    )
    rng, history = np.random.default_rng(job["seed"]), {}
    held = (numbers(parts["validation"]["images"]), one_hot[parts["validation"]["labels"]])
    for _ in range(job["epochs"]):
        order = rng.permutation(len(parts["train"]["images"]))
        x = numbers(moved(parts["train"]["images"][order], rng))
        y = one_hot[parts["train"]["labels"][order]]
        done = model.fit(
            x, y, batch_size=job["batch"], shuffle=False, validation_data=held, verbose=0
        )
        for name, values in done.history.items():
            history.setdefault(name, []).extend(float(v) for v in values)
    return history


def export(model: Any, images: np.ndarray, folder: Path) -> None:
    """Write `doodle_fp32.tflite` and `doodle_int8.tflite`, which takes and gives INT8."""
    import numpy as np
    import tensorflow as tf

    model.export(str(folder / "saved_model"), verbose=False)
    source = str(folder / "saved_model")
    plain = tf.lite.TFLiteConverter.from_saved_model(source)
    (folder / "doodle_fp32.tflite").write_bytes(plain.convert())
    converter = tf.lite.TFLiteConverter.from_saved_model(source)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    numbers = ((images.astype(np.float32) - 127.5) / 127.5)[:, None, :, :, None]
    converter.representative_dataset = lambda: ([x] for x in numbers)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (folder / "doodle_int8.tflite").write_bytes(converter.convert())


def work(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train and export; return curves, files, the number of parameters and versions."""
    from importlib import metadata

    import keras
    import numpy as np
    import tensorflow as tf

    keras.utils.set_random_seed(job["seed"])
    tf.config.experimental.enable_op_determinism()
    parts = {name: dict(np.load(folder / f"{name}.npz")) for name in ("train", "validation")}
    model = network(job["widths"], job["seed"])
    started = time.perf_counter()
    history = fit(model, job, parts)
    fitted = time.perf_counter()
    export(model, parts["train"]["images"][:CALIBRATION], folder)
    return {
        "history": history,
        "fit_s": fitted - started,
        "export_s": time.perf_counter() - fitted,
        "files": ["doodle_fp32.tflite", "doodle_int8.tflite"],
        "parameters": int(model.count_params()),
        "versions": {name: metadata.version(name) for name in ("tensorflow", "keras", "numpy")},
    }
