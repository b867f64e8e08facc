"""One Keras 3 training in the main environment, run by `facelab/core/job.py`: the twin of `_modelmaker_job.py`.

Reads the same `job.json` and arrays, follows the same recipe (SGD with momentum, label smoothing, dropout, L2 on the
head, learning rate falling by a cosine) and writes the same files, so that the two back ends can be compared and either
can replace the other. Its own process keeps TensorFlow out of the notebook and the settings below in force.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ["KERAS_BACKEND"] = "tensorflow"

LABEL_SMOOTHING, MOMENTUM, L2 = (
    0.1,
    0.9,
    1e-4,
)  # Model Maker 0.4.3's defaults, so that the recipes agree


def seed_everything(seed: int) -> None:
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed % 2**32)
    tf.config.experimental.enable_op_determinism()


def batches(arrays: Any, job: dict[str, Any], *, seed: int | None = None) -> Any:
    """Return a tf.data pipeline of normalised batches; with a seed, each epoch is a permutation it alone decides."""
    import numpy as np
    import tensorflow as tf

    images = tf.constant(arrays["images"])
    targets = tf.one_hot(arrays["labels"], len(job["labels"]))
    n, batch, epochs = len(arrays["images"]), job["batch"], [0]

    def orders():
        order = np.arange(n)
        if seed is not None:
            order = np.random.default_rng([seed, epochs[0]]).permutation(n)
            epochs[0] += 1
        # like Model Maker, training leaves out a last partial batch; evaluation does not
        stop = n // batch * batch if seed is not None else n
        for k in range(0, stop, batch):
            yield order[k : min(k + batch, stop)]

    order = job.get("order", "rgb")  # the channels that the model takes, out of RGB

    def load(index):
        pixels = tf.cast(tf.gather(images, index), tf.float32)
        pixels = {"rgb": pixels, "bgr": pixels[..., ::-1], "gray": pixels[..., :1]}[order]
        return (pixels - job["mean"]) / job["std"], tf.gather(targets, index)

    index = tf.data.Dataset.from_generator(
        orders, output_signature=tf.TensorSpec((None,), tf.int64)
    )
    steps = n // batch if seed is not None else -(-n // batch)
    return index.apply(tf.data.experimental.assert_cardinality(steps)).map(load).prefetch(2)


def backbone(job: dict[str, Any], folder: Path) -> Any:
    """Return the backbone with its weights, trainable as the job's strategy says."""
    import _backbone as module
    import keras
    import numpy as np

    chosen = job["backbone"]
    if chosen["kind"] == "network":
        import _keras_file

        whole = _keras_file.open_file(keras, folder / chosen["file"])
        model = _keras_file.own_answer(keras, whole) if chosen["columns"] else None
        if model is None:
            chosen["columns"] = None
            model, _ = _keras_file.without_head(keras, whole, chosen["layer"])
        _keras_file.freeze(model, job["strategy"])
    elif chosen["kind"] == "application":
        model = module.build_application(
            keras, chosen["name"], job["size"], folder / chosen["weights"]
        )
    else:
        model = module.build_backbone(keras, job["size"], chosen["trainable_blocks"])
        if "weights" in chosen:
            with np.load(folder / chosen["weights"]) as arrays:
                module.set_weights(model, arrays)
    if job["strategy"] == "frozen":
        model.trainable = False
    return model


def classifier(job: dict[str, Any], folder: Path) -> tuple[Any, Any]:
    """Return the compiled classifier: backbone, dropout, softmax."""
    import keras

    body = backbone(job, folder)
    shape = job.get("shape") or (job["size"], job["size"], 3)
    inputs = keras.Input(shape=tuple(shape), name="image")
    columns = job["backbone"].get("columns")  # of the network's own classes, where its head is kept
    x = body(inputs)
    if columns is None:
        x = keras.layers.Dropout(job["dropout"], seed=job["seed"] % 2**32)(x)
    head = keras.layers.Dense(
        len(job["labels"]),
        activation="softmax",
        name="emotion",
        kernel_regularizer=keras.regularizers.L2(L2),
    )
    outputs = head(x)
    if columns is not None:
        head.set_weights(selection(columns, int(x.shape[-1])))
    model = keras.Model(inputs, outputs, name=job["name"])
    rate = job["learning_rate"]
    # Plain SGD needs features to start from; the backbone itself is trained by Adam.
    optimizer = (
        keras.optimizers.Adam(rate)
        if job["kind"] == "pretrain"
        else keras.optimizers.SGD(rate, MOMENTUM)
    )
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=LABEL_SMOOTHING),
        metrics=["accuracy"],
    )
    return model, body


def selection(columns: list[int], width: int) -> list[Any]:
    """Return kernel and bias of a dense layer that passes these columns of `width` on, in this order."""
    import numpy as np

    kernel = np.zeros((width, len(columns)), np.float32)
    kernel[columns, np.arange(len(columns))] = 1
    return [kernel, np.zeros(len(columns), np.float32)]


def fit(model: Any, job: Any, parts: Any) -> dict[Any, list[float]]:
    """Train and return the history as plain lists."""
    import keras
    from _backbone import cosine

    callbacks: list[keras.callbacks.Callback] = [keras.callbacks.TerminateOnNaN()]
    if (
        job["kind"] != "pretrain"
    ):  # Adam sets its own steps, and a short pre-training has none to spare
        callbacks.append(
            keras.callbacks.LearningRateScheduler(cosine(job["learning_rate"], job["epochs"]))
        )
    if job.get("patience"):
        callbacks.append(
            keras.callbacks.EarlyStopping(
                "val_loss", patience=job["patience"], restore_best_weights=True
            )
        )
    history = model.fit(
        batches(parts["train"], job, seed=job["seed"]),
        epochs=job["epochs"],
        callbacks=callbacks,
        validation_data=batches(parts["validation"], job),
        verbose=2,
    )
    return {k: [float(v) for v in values] for k, values in history.history.items()}


def convert(saved_model: Any, path: Path) -> None:
    """Write a SavedModel as a float32 `.tflite`."""
    import tensorflow as tf

    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(saved_model)).convert())


def train_images(job: dict[str, Any], folder: Path) -> tuple[dict[Any, list[float]], list[str]]:
    """Train and export the classifier; return the history and the names of the files written."""
    import numpy as np

    parts = {name: dict(np.load(folder / f"{name}.npz")) for name in ("train", "validation")}
    model, _ = classifier(job, folder)
    history = fit(model, job, parts)
    model.save(folder / "emotion.keras")
    model.export(str(folder / "saved_model"), verbose=False)
    convert(folder / "saved_model", folder / "emotion_fp32.tflite")
    (folder / "labels.txt").write_text("\n".join(job["labels"]) + "\n", encoding="utf-8")
    return history, ["emotion_fp32.tflite", "labels.txt", "emotion.keras", "saved_model"]


def pretrain(job: dict[str, Any], folder: Path) -> tuple[dict[Any, list[float]], list[str]]:
    """Train the backbone under a throw-away head and keep its weights as `backbone.npz`."""
    import numpy as np
    from _backbone import weights_of

    parts = {name: dict(np.load(folder / f"{name}.npz")) for name in ("train", "validation")}
    model, body = classifier(job, folder)
    history = fit(model, job, parts)
    np.savez_compressed(folder / "backbone.npz", **weights_of(body))
    return history, ["backbone.npz"]


def inspect(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what a saved model gives as a backbone, or why it gives none."""
    import _keras_file
    import keras

    chosen = job["backbone"]
    try:
        model = _keras_file.open_file(keras, folder / chosen["file"])
        told = _keras_file.without_head(keras, model, chosen["layer"])[1]
        answer = _keras_file.own_answer(keras, model)
        return told | {"answers": None if answer is None else int(answer.output_shape[-1])}
    except _keras_file.UnusableError as e:
        return {"problem": e.args}


def versions() -> dict[str, str]:
    from importlib import metadata

    return {name: metadata.version(name) for name in ("tensorflow", "keras", "numpy")} | {
        "python": sys.version.split()[0]
    }


def work(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train as the job says; return curves, the names of the files written, and versions."""
    seed_everything(job["seed"])
    if job["kind"] == "inspect":
        return inspect(job, folder)
    history, files = {"image": train_images, "pretrain": pretrain}[job["kind"]](job, folder)
    return {"history": history, "files": files, "versions": versions()}
