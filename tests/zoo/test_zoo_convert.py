"""Converted weights compute what the originals do: a numpy oracle, the owners' runtimes, another export."""

import itertools

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from facelab.core.errors import BadInputError, IntegrityError, UnsupportedError
from facelab.zoo import _store as zoo_store
from facelab.zoo._catalogue import load_catalogue
from facelab.zoo._convert_keras import convert as convert_keras
from facelab.zoo._convert_mtcnn import load_weights
from facelab.zoo.runtimes import open_model

CATALOGUE = load_catalogue()


def published(asset):
    """Return the file as its authors published it: a converted model's HDF5, say."""
    return zoo_store._find_file(asset).path


# -- MTCNN against a forward pass written from Keras' rules, in float64 ---------------------------------------------


def conv(x, kernel, bias):
    windows = sliding_window_view(x, kernel.shape[:2], axis=(0, 1))  # h, w, c, kh, kw
    return np.einsum("hwcij,ijco->hwo", windows, kernel.astype(np.float64)) + bias


def prelu(x, slope):
    return np.where(x > 0, x, x * slope.reshape(-1))


def pool(x, window, padding):
    h, w, _ = x.shape
    if padding == "same":
        extra = [max(0, (-(-n // 2) - 1) * 2 + window - n) for n in (h, w)]
        x = np.pad(x, [(e // 2, e - e // 2) for e in extra] + [(0, 0)], constant_values=-np.inf)
    return sliding_window_view(x, (window, window), axis=(0, 1))[::2, ::2].max(axis=(-2, -1))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


KERAS_POOLS = {
    "pnet": [(2, "same"), None, None],
    "rnet": [(3, "same"), (3, "valid"), None],
    "onet": [(3, "same"), (3, "valid"), (2, "same"), None],
}


def keras_forward(weights, network, image):
    """Return the heads' outputs in the package's order for one image (height, width, 3)."""
    rest, x = iter(weights), image.astype(np.float64)
    for step in KERAS_POOLS[network]:
        x = conv(x, next(rest), next(rest))
        x = prelu(x, next(rest))
        x = pool(x, *step) if step else x
    if network == "pnet":
        heads = [conv(x, next(rest), next(rest)) for _ in range(2)]
    else:
        x = prelu(x.transpose(1, 0, 2).reshape(-1) @ next(rest) + next(rest), next(rest))
        heads = [x @ next(rest) + next(rest) for _ in range(2 if network == "rnet" else 3)]
    return [*heads[:-1], softmax(heads[-1])]


def real_crops(side):
    import cv2
    from skimage.data import astronaut

    image = astronaut()
    boxes = [(170, 55, 280, 185), (150, 40, 300, 200), (0, 0, 120, 120), (300, 300, 420, 500)]
    crops = [cv2.resize(image[y1:y2, x1:x2], (side, side)) for x1, y1, x2, y2 in boxes]
    return (np.stack(crops).astype(np.float32) - 127.5) / 128


@pytest.mark.parametrize(
    ("network", "side"), [("pnet", 12), ("pnet", 37), ("pnet", 64), ("rnet", 24), ("onet", 48)]
)
def test_mtcnn_networks_equal_a_numpy_forward_pass(network, side, store):
    entry = CATALOGUE.model(f"mtcnn-{network}")
    weights = load_weights(published(entry).read_bytes(), network)
    model = open_model(entry, threads=1)
    for image in real_crops(side):
        got = model.run(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
        for mine, oracle in zip(got, keras_forward(weights, network, image)):
            mine = mine[0].transpose(1, 2, 0) if network == "pnet" else mine[0]
            # float32 sums of up to 1152 products against float64 ones
            assert mine.shape == oracle.shape and np.abs(mine - oracle).max() < 2e-5


@pytest.mark.parametrize("network", ["pnet", "rnet", "onet"])
def test_mtcnn_networks_equal_the_independent_tflite_export_on_a_real_photograph(
    network, assets, store, monkeypatch
):
    monkeypatch.setenv("FACELAB_MIRROR", str(assets))
    model = open_model(CATALOGUE.model(f"mtcnn-{network}"), threads=1)
    other = open_model(CATALOGUE.model(f"mtcnn-tflite-{network}"), threads=1)
    for image in real_crops({"pnet": 96, "rnet": 24, "onet": 48}[network]):
        mine = model.run(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
        theirs = other.run(
            np.ascontiguousarray(image.transpose(1, 0, 2)[None])
        )  # width and height transposed
        theirs = [*theirs[1:], theirs[0]]  # scores last
        for a, b in zip(mine, theirs):
            b = b.transpose(0, 3, 2, 1) if network == "pnet" else b
            assert np.abs(a - b).max() < 1e-4


def test_the_conversion_is_deterministic_named_by_content_and_repaired(store):
    entry = CATALOGUE.model("mtcnn-rnet")
    first = zoo_store.locate(entry)
    data = first.read_bytes()
    assert first.parent == store / "converted" and zoo_store.locate(entry) == first
    first.write_bytes(data[:-9])
    again = zoo_store.locate(entry)
    assert again == first and again.read_bytes() == data
    assert zoo_store.locate(CATALOGUE.model("mtcnn")) is not None
    assert zoo_store.find(CATALOGUE.model("mtcnn")).place == "parts"


def test_other_weights_are_refused(tmp_path, monkeypatch):
    import joblib

    path = tmp_path / "w.lz4"
    joblib.dump([np.zeros(3)], path, compress="lz4")
    with pytest.raises(IntegrityError, match="weights of pnet"):
        load_weights(path.read_bytes(), "pnet")
    monkeypatch.setitem(__import__("sys").modules, "lz4.frame", None)
    with pytest.raises(UnsupportedError, match="lz4"):
        load_weights(path.read_bytes(), "pnet")


# -- Keras HDF5 -----------------------------------------------------------------------------------------------------


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["mini-xception-107", "mini-xception-48px", "big-xception"])
def test_converted_emotion_networks_equal_keras(name, assets, store, monkeypatch):
    monkeypatch.setenv("FACELAB_MIRROR", str(assets))
    entry = CATALOGUE.model(name)
    original, mine = open_model(published(entry)), open_model(entry, threads=1)
    assert original.runtime == "keras" and mine.inputs[0].shape[1:] == original.inputs[0].shape[1:]
    x = np.random.default_rng(1).uniform(-1, 1, (6, *mine.inputs[0].shape[1:])).astype(np.float32)
    a, b = original.run(x)[0], mine.run(x)[0]
    # batch normalisation is folded in another order: a few float32 roundings on probabilities
    assert (
        a.shape == (6, 7) and np.abs(a - b).max() < 1e-5 and np.abs(a.sum(axis=1) - 1).max() < 1e-5
    )
    with pytest.raises(BadInputError, match="shape does not fit"):
        original.run(x[:, :10])


@pytest.mark.tensorflow
def test_keras_files_that_are_faulty_are_refused(tmp_path):
    path = tmp_path / "m.hdf5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500))
    with pytest.raises(BadInputError, match="Keras refuses"):
        open_model(path)


def write_h5(path, layers, weights=None, class_name="Model"):
    import h5py

    from facelab.core.files import dumps

    with h5py.File(path, "w") as f:
        f.attrs["model_config"] = dumps(
            {
                "class_name": class_name,
                "config": {
                    "layers": layers,
                    "output_layers": [[layers[-1]["config"]["name"], 0, 0]],
                },
            }
        )
        group = f.create_group("model_weights")
        for name, arrays in (weights or {}).items():
            sub = group.create_group(name)
            sub.attrs["weight_names"] = [f"{name}/{i}".encode() for i in range(len(arrays))]
            for i, a in enumerate(arrays):
                sub[f"{name}/{i}"] = a
    return path


def layer(kind, name, inbound=(), **config):
    return {
        "class_name": kind,
        "config": {"name": name, **config},
        "inbound_nodes": [[[n, 0, 0, {}] for n in inbound]] if inbound else [],
    }


def test_single_layers_compute_what_keras_defines(tmp_path):
    rng = np.random.default_rng(0)
    kernel, bias, x = (
        rng.normal(size=(3, 3, 2, 4)),
        rng.normal(size=4),
        rng.normal(size=(1, 7, 6, 2)),
    )
    image = layer("InputLayer", "in", batch_input_shape=[None, 7, 6, 2])
    for padding, activation in itertools.product(("valid", "same"), ("linear", "relu")):
        path = write_h5(
            tmp_path / "c.h5",
            [
                image,
                layer(
                    "Conv2D",
                    "c",
                    ["in"],
                    strides=[1, 1],
                    dilation_rate=[1, 1],
                    padding=padding,
                    activation=activation,
                ),
            ],
            {"c": [kernel.astype("f4"), bias.astype("f4")]},
        )
        (tmp_path / "c.onnx").write_bytes(convert_keras(path))
        got = open_model(tmp_path / "c.onnx").run(x.astype(np.float32))[0][0]
        padded = np.pad(x[0], [(1, 1), (1, 1), (0, 0)]) if padding == "same" else x[0]
        want = conv(padded, kernel, bias)
        want = np.maximum(want, 0) if activation == "relu" else want
        assert got.shape == want.shape and np.abs(got - want).max() < 1e-5
    dense = rng.normal(size=(84, 3)).astype("f4")
    path = write_h5(
        tmp_path / "d.h5",
        [
            image,
            layer("Flatten", "f", ["in"]),
            layer("Dropout", "o", ["f"]),
            layer("Dense", "d", ["o"], activation="softmax"),
        ],
        {"d": [dense, np.zeros(3, "f4")]},
    )
    (tmp_path / "d.onnx").write_bytes(convert_keras(path))
    got = open_model(tmp_path / "d.onnx").run(x.astype(np.float32))[0][0]
    assert np.abs(got - softmax(x.reshape(-1) @ dense)).max() < 1e-6


def test_what_cannot_be_converted_is_refused_by_name(tmp_path):
    image = layer("InputLayer", "in", batch_input_shape=[None, 7, 6, 2])
    with pytest.raises(UnsupportedError, match="LSTM"):
        convert_keras(write_h5(tmp_path / "a.h5", [image, layer("LSTM", "l", ["in"])]))
    with pytest.raises(UnsupportedError, match="swish"):
        convert_keras(
            write_h5(
                tmp_path / "b.h5", [image, layer("Activation", "l", ["in"], activation="swish")]
            )
        )
    with pytest.raises(UnsupportedError, match="functional"):
        convert_keras(write_h5(tmp_path / "c.h5", [image], class_name="Sequential"))
    (tmp_path / "d.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99))
    with pytest.raises(BadInputError, match="not a Keras HDF5"):
        convert_keras(tmp_path / "d.h5")
    import h5py

    with h5py.File(tmp_path / "e.h5", "w") as f:
        f["x"] = 1
    with pytest.raises(BadInputError, match="no whole Keras model"):
        convert_keras(tmp_path / "e.h5")
