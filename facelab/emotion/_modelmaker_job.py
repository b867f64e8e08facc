"""One Model Maker training, run by `facelab/core/job.py` with the isolated kernel's interpreter.

Imports nothing of facelab and needs Python 3.9 or later, so that the frozen environment stays separate. The job's
folder holds the arrays; the outputs are written beside them. Traps of Model Maker 0.4.3 that are handled here rather
than left to its defaults:

- images arrive decoded and resized by facelab's spec at the exact input size, so neither `tf.io.decode_jpeg` nor the
  legacy resize ever touches them;
- order is a seeded permutation of the whole epoch, not the unseeded shuffle of `from_folder` nor a buffer of three
  batches;
- `use_augmentation` stays off, since it also changes the crop used in evaluation; augmented copies come from facelab;
- INT8 is calibrated on the calibration part, never on training data, which `create` would use by default;
- the exported `.tflite` is evaluated by facelab, not by `evaluate_tflite`, which truncates and wraps around.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# (runs in the environment of Model Maker, whose packages are not installed here)
from __future__ import annotations

import os
import random
import shutil
import sys
from pathlib import Path
from typing import Any

NEEDS_ALL = True
"""Model Maker cannot be imported without what `facelab/core/job.py` leaves out for Keras."""

RANDOM = (
    "RandomUniform",
    "RandomUniformInt",
    "RandomStandardNormal",
    "TruncatedNormal",
    "RandomShuffle",
)


def leave_out_other_tasks() -> None:
    """Let each task of Model Maker be imported alone: the package imports all, sound and search among them."""
    import importlib.util
    import types

    name = "tflite_model_maker"
    found = importlib.util.find_spec(name)
    if found is not None and name not in sys.modules:
        package = types.ModuleType(name)
        package.__path__, package.__spec__ = list(found.submodule_search_locations or ()), found
        sys.modules[name] = package


def seed_everything(seed: int) -> None:
    import numpy as np
    import tensorflow as tf

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - Model Maker draws from the global generator
    tf.random.set_seed(seed)
    tf.config.experimental.enable_op_determinism()


def image_loader(arrays: Any, labels: Any, *, seed: int | None = None) -> Any:
    """Return a Model Maker DataLoader over uint8 images (n, h, w, 3) and int labels (n,).

    With a seed, each pass over the data is a fresh permutation that depends on the seed and the pass alone.
    """
    import numpy as np
    import tensorflow as tf
    from tflite_model_maker.image_classifier import DataLoader

    images, targets = arrays["images"], arrays["labels"].astype(np.int64)
    passes = [0]

    def examples():
        order = np.arange(len(images))
        if seed is not None:
            order = np.random.default_rng([seed, passes[0]]).permutation(len(images))
            passes[0] += 1
        for i in order:
            yield images[i], targets[i]

    dataset = tf.data.Dataset.from_generator(
        examples,
        output_signature=(tf.TensorSpec(images.shape[1:], tf.uint8), tf.TensorSpec((), tf.int64)),
    )
    return DataLoader(
        dataset.apply(tf.data.experimental.assert_cardinality(len(images))), len(images), labels
    )


def backbone_uri(job: dict[str, Any], folder: Path) -> Any:
    """Return where Model Maker finds the backbone: the job's URI, or a SavedModel made here from weights."""
    import _backbone as backbone
    import numpy as np
    import tensorflow as tf

    chosen = job["backbone"]
    if chosen["kind"] == "uri":
        return seeded(chosen["uri"], folder / "seeded", job["seed"])
    if chosen["kind"] == "application":
        model = backbone.build_application(
            tf.keras, chosen["name"], job["size"], folder / chosen["weights"]
        )
    else:
        model = backbone.build_backbone(tf.keras, job["size"], chosen["trainable_blocks"])
        if "weights" in chosen:
            with np.load(folder / chosen["weights"]) as weights:
                backbone.set_weights(model, weights)
    path = folder / "backbone"
    model.save(path, include_optimizer=False)
    return str(path)


def seeded(uri: Any, copy: Any, seed: int) -> Any:
    """Return a copy of a SavedModel's folder in which random operators without a seed have one; an address as it is.

    A dropout layer in it would be refused while determinism is on: "random ops must have a seed specified".
    """
    from tensorflow.core.protobuf import saved_model_pb2

    if not Path(uri).is_dir():
        return uri
    shutil.copytree(uri, copy)
    saved = saved_model_pb2.SavedModel.FromString((copy / "saved_model.pb").read_bytes())
    for graph in (meta.graph_def for meta in saved.meta_graphs):
        nodes = [
            *graph.node,
            *(node for function in graph.library.function for node in function.node_def),
        ]
        for k, node in enumerate(nodes):
            # what equals its default, 0, is left out of a saved graph
            if node.op in RANDOM and not node.attr["seed"].i and not node.attr["seed2"].i:
                node.attr["seed"].i, node.attr["seed2"].i = seed + 1, k + 1
    (copy / "saved_model.pb").write_bytes(saved.SerializeToString())
    if (copy / "fingerprint.pb").exists():
        (copy / "fingerprint.pb").unlink()
    return str(copy)


def classifier_class(callbacks: Any) -> type:
    """Return Model Maker's classifier, with Keras callbacks handed to its `fit` (it offers no other way)."""
    from tflite_model_maker import image_classifier

    class Classifier(image_classifier.ImageClassifier):
        def create_model(self, hparams=None, with_loss_and_metrics=False):
            super().create_model(hparams, with_loss_and_metrics)
            fit = self.model.fit

            def fit_with_callbacks(*args, **kwargs):
                kwargs["callbacks"] = list(kwargs.get("callbacks") or []) + callbacks
                return fit(*args, **kwargs)

            self.model.fit = fit_with_callbacks

    return Classifier


def train_images(job: dict[str, Any], folder: Path) -> tuple[dict[Any, list[float]], list[str]]:
    """Train and export an image classifier; return the history and the names of the files written."""
    import numpy as np
    import tensorflow as tf
    from _backbone import cosine
    from tflite_model_maker import image_classifier
    from tflite_model_maker.config import ExportFormat, QuantizationConfig

    labels, size = job["labels"], job["size"]
    parts = {
        name: dict(np.load(folder / f"{name}.npz"))
        for name in ("train", "validation", "calibration")
    }
    callbacks = [
        tf.keras.callbacks.TerminateOnNaN(),
        tf.keras.callbacks.LearningRateScheduler(cosine(job["learning_rate"], job["epochs"])),
    ]
    if job.get("patience"):
        callbacks.append(
            tf.keras.callbacks.EarlyStopping(
                "val_loss", patience=job["patience"], restore_best_weights=True
            )
        )
    spec = image_classifier.ModelSpec(
        uri=backbone_uri(job, folder), input_image_shape=[size, size], name=job["name"]
    )
    spec.mean_rgb, spec.stddev_rgb = [job["mean"]], [job["std"]]
    classifier = classifier_class(callbacks).create(
        image_loader(parts["train"], labels, seed=job["seed"]),
        model_spec=spec,
        validation_data=image_loader(parts["validation"], labels),
        batch_size=job["batch"],
        epochs=job["epochs"],
        learning_rate=job["learning_rate"],
        dropout_rate=job["dropout"],
        train_whole_model=job["strategy"] != "frozen",
        shuffle=False,
        use_augmentation=False,
    )
    history = {k: [float(v) for v in values] for k, values in classifier.history.history.items()}
    # None exports float32; an empty QuantizationConfig() would quietly quantise the weights.
    classifier.export(
        str(folder),
        tflite_filename="emotion_fp32.tflite",
        label_filename="labels.txt",
        quantization_config=None,
        export_format=[ExportFormat.TFLITE, ExportFormat.LABEL],
    )
    save_for_inference(classifier.model, folder / "saved_model")
    files = ["emotion_fp32.tflite", "labels.txt", "saved_model"]
    if job.get("int8"):
        int8 = QuantizationConfig.for_int8(
            image_loader(parts["calibration"], labels),
            quantization_steps=len(parts["calibration"]["images"]),
        )
        classifier.export(
            str(folder),
            tflite_filename="emotion_int8_modelmaker.tflite",
            quantization_config=int8,
            export_format=[ExportFormat.TFLITE],
        )
        files.append("emotion_int8_modelmaker.tflite")
    return history, files


def save_for_inference(model: Any, path: Any) -> None:
    """Write a Keras model as a SavedModel of its forward pass alone.

    Model Maker's own SavedModel carries optimizers, the backbone's among them, and no TensorFlow after 2.15 loads those
    ("'_UserObject' object has no attribute 'add_slot'"), so that its successors could not convert it.
    """
    import tensorflow as tf

    module = tf.Module()
    module.kept = model.variables
    module.scores = tf.function(
        lambda image: {"scores": model(image, training=False)},
        input_signature=[tf.TensorSpec([None, *model.input_shape[1:]], tf.float32, name="image")],
    )
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.scores})


def train_text(job: dict[str, Any], folder: Path) -> tuple[dict[Any, Any], list[str]]:
    """Train and export the average-word-vector text classifier on `train.csv` and `validation.csv` (text,label)."""
    from tflite_model_maker import model_spec, text_classifier
    from tflite_model_maker.config import ExportFormat

    spec = model_spec.get("average_word_vec")
    (folder / "cache").mkdir(exist_ok=True)
    spec.num_words, spec.seq_len, spec.wordvec_dim = (
        job["num_words"],
        job["sequence"],
        job["vector"],
    )

    def load(name, training):
        return text_classifier.DataLoader.from_csv(
            str(folder / name),
            text_column="text",
            label_column="label",
            model_spec=spec,
            is_training=training,
            shuffle=False,
            cache_dir=str(folder / "cache"),
        )

    classifier = text_classifier.create(
        load("train.csv", True),
        model_spec=spec,
        validation_data=load("validation.csv", False),
        epochs=job["epochs"],
        batch_size=job["batch"],
        shuffle=False,
    )
    classifier.export(
        str(folder),
        tflite_filename="text_fp32.tflite",
        label_filename="labels.txt",
        vocab_filename="vocab.txt",
        quantization_config=None,
        export_format=[ExportFormat.TFLITE, ExportFormat.LABEL, ExportFormat.VOCAB],
    )
    return {}, ["text_fp32.tflite", "labels.txt", "vocab.txt"]


def versions() -> dict[str, Any]:
    from importlib import metadata

    import numpy as np
    import tensorflow as tf

    return {
        "tflite-model-maker": metadata.version("tflite-model-maker"),
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": sys.version.split()[0],
    }


def work(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train as the job says; return curves, the names of the files written, and versions."""
    # before TensorFlow is imported; not at the top: anyone who reads this module would lose its own Keras
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    seed_everything(job["seed"])
    leave_out_other_tasks()
    history, files = {"image": train_images, "text": train_text}[job["kind"]](job, folder)
    return {"history": history, "files": files, "versions": versions()}
