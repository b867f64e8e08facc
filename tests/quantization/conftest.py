"""A small real classifier (Keras, trained in its own process) and faces for it: coloured, noisy, three classes."""

import subprocess
import sys

import numpy as np
import pytest
from shared_work import made_once

from facelab.emotion import emotion_spec
from facelab.emotion.internals import FaceSet
from facelab.preprocess.tflite_metadata import write_metadata
from facelab.quantization import _subject as subject
from facelab.quantization import calibration
from facelab.quantization.internals import images

CLASSES = ("anger", "joy", "neutral")
SIZE = 32
TRAIN = """
import os, sys
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", TF_ENABLE_ONEDNN_OPTS="0")
import keras, numpy as np, tensorflow as tf
keras.utils.set_random_seed(3)
data = np.load(sys.argv[1] + "/train.npz")
x, y = (data["images"].astype("float32") - 127.5) / 127.5, data["labels"]
i = keras.Input((32, 32, 3), name="image")
h = keras.layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(i)
h = keras.layers.Conv2D(24, 3, strides=2, padding="same", activation="relu")(h)
h = keras.layers.Dense(48, activation="relu")(keras.layers.Flatten()(h))
m = keras.Model(i, keras.layers.Dense(3, activation="softmax")(h))
m.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
m.fit(x, y, epochs=4, batch_size=48, verbose=0)
m.save(sys.argv[1] + "/emotion.keras")
other = keras.models.clone_model(m)   # the same layers, other weights
other.save(sys.argv[1] + "/other.keras")
c = tf.lite.TFLiteConverter.from_keras_model(m)
open(sys.argv[1] + "/emotion_fp32.tflite", "wb").write(c.convert())
# the same function with one channel a thousand times as large and as small again: one range cannot hold both
os.mkdir(sys.argv[1] + "/wild")
first, second = m.layers[1], m.layers[2]
(k1, b1), (k2, b2) = first.get_weights(), second.get_weights()
scale = np.where(np.arange(16) == np.argmax(np.abs(k1).sum((0, 1, 2))), 1000, 1).astype("float32")
first.set_weights([k1 * scale, b1 * scale])
second.set_weights([k2 / scale[:, None], b2])
m.save(sys.argv[1] + "/wild/emotion.keras")
c = tf.lite.TFLiteConverter.from_keras_model(m)
open(sys.argv[1] + "/wild/emotion_fp32.tflite", "wb").write(c.convert())
# a relative whose middle no recipe can write in integers
w = keras.Model(i, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(keras.layers.Lambda(
    lambda t: tf.sin(t), name="wave")(m.layers[2].output))))
open(sys.argv[1] + "/wave.tflite", "wb").write(tf.lite.TFLiteConverter.from_keras_model(w).convert())
"""


def make_faces(n: int, seed: int) -> FaceSet:
    """Noise with a class-dependent bright blob (top, middle, bottom), faint enough that some answers are wrong."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    images = rng.normal(110, 45, (n, SIZE, SIZE, 3))
    rows = np.arange(SIZE)[:, None, None]
    for image, k in zip(images, labels):
        image += 60 * np.exp(-((rows - (6, 16, 26)[k]) ** 2) / 30) * rng.uniform(0.15, 1)
    return FaceSet(
        np.clip(images, 0, 255).astype(np.uint8),
        labels.astype(np.int64),
        CLASSES,
        tuple(f"blob {seed} {i}" for i in range(n)),
        ("",) * n,
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Return the folder of a trained classifier, as `facelab emotion train` leaves it, for all workers."""
    return made_once(tmp_path_factory, "classifier", _train)


def _train(folder):
    faces = make_faces(480, 1)
    np.savez(folder / "train.npz", images=faces.images, labels=faces.labels)
    subprocess.run(
        [sys.executable, "-c", TRAIN, str(folder)], check=True, capture_output=True, timeout=180
    )
    write_metadata(
        folder / "emotion_fp32.tflite",
        name="emotion",
        description="test",
        size=(SIZE, SIZE),
        mean=127.5,
        std=127.5,
        labels=list(CLASSES),
    )
    for place in (folder, folder / "wild"):
        emotion_spec(SIZE, 0.0).save(place / "emotion_fp32.preprocess.json")
        (place / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    return folder


@pytest.fixture(scope="session")
def model(trained):
    return subject.load(trained / "emotion_fp32.tflite")


@pytest.fixture(scope="session")
def unsigned(trained, tmp_path_factory):
    """Return the same classifier as older converters write it: without a signature."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    data = (trained / "emotion_fp32.tflite").read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    model.signatureDefs = None
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    folder = tmp_path_factory.mktemp("unsigned")
    (folder / "mine.tflite").write_bytes(bytes(builder.Output()))
    emotion_spec(SIZE, 0.0).save(folder / "mine.preprocess.json")
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    return folder / "mine.tflite"


@pytest.fixture(scope="session")
def faces():
    return make_faces(150, 9)


@pytest.fixture(scope="session")
def pool(model):
    """Return 90 calibration samples."""
    return images.from_faces(model, make_faces(90, 5), source="blobs 5")


@pytest.fixture(scope="session")
def evaluation(model, faces):
    return images.from_faces(model, faces, source="blobs 9")


@pytest.fixture
def calibrate(pool):
    return calibration.stratified(pool, 60, seed=1)


@pytest.fixture
def write_folder(tmp_path):
    """Return a function that writes faces as an image folder, a sub-folder per class."""
    from PIL import Image

    def write(name, n, seed):
        faces = make_faces(n, seed)
        for i, (image, k) in enumerate(zip(faces.images, faces.labels)):
            (tmp_path / name / faces.classes[k]).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / name / faces.classes[k] / f"{seed}_{i}.png")
        return tmp_path / name

    return write
