"""Your own Keras file as a backbone: where its head begins, how it is fed, that nothing of it runs unconfined."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
from conftest_emotion import CLASSES, toy_faces, toy_settings
from scipy.special import softmax

from facelab.cli import run
from facelab.core import sandbox
from facelab.core.errors import BadInputError, MissingAssetError
from facelab.emotion import EmotionClassifier, backbones, emotion_spec, train_and_evaluate
from facelab.emotion import _keras_file as keras_file
from facelab.emotion._keras_job import selection
from facelab.emotion._network import feeding
from facelab.emotion.internals import FaceSet, KerasNetwork, check_backbone, usual_settings
from facelab.preprocess import PreprocessSpec
from facelab.zoo.internals import trust

# Keras asks TensorFlow's variables for arrays in NumPy 1's way
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
GRAY = PreprocessSpec(
    "mine",
    [
        {"op": "decode", "format": "encoded", "order": "bgr", "idct": "accurate", "alpha": "drop"},
        {"op": "orient", "exif": "apply", "transform": "none"},
        {"op": "color", "from": "bgr", "to": "gray", "weights": "bt601", "rounding": "half_up"},
        {
            "op": "resize", "size": [32, 48], "mode": "stretch", "kernel": "bilinear", "antialias": False,
            "pixel_centers": "half", "rounding": "half_up",
        },
        {"op": "normalize", "mean": [0.5], "scale": [0.25], "units": "0-1"},
        {"op": "layout", "to": "nhwc"},
        {"op": "cast", "dtype": "float32"},
    ],
)  # fmt: skip


def per_channel(order="bgr", mean=(103.9, 116.8, 123.7), scale=(57.0, 57.1, 58.4), units="0-255"):
    stages = [s.to_dict() for s in emotion_spec(32).stages]
    stages[0] |= {"order": order}
    stages[4] |= {"mean": list(mean), "scale": list(scale), "units": units}
    return PreprocessSpec("channels", stages)


def test_how_pixels_become_the_input():
    assert feeding(emotion_spec(32)) == {"order": "rgb", "mean": [127.5] * 3, "std": [127.5] * 3}
    gray = feeding(GRAY)
    assert gray["order"] == "gray"
    assert gray["mean"] == pytest.approx([127.5], abs=1e-3)
    assert gray["std"] == pytest.approx([63.75], rel=1e-6)
    fed = feeding(per_channel())
    assert fed["order"] == "bgr" and fed["mean"] == pytest.approx([103.9, 116.8, 123.7], abs=1e-3)
    assert fed["std"] == pytest.approx([57.0, 57.1, 58.4], rel=1e-5)


@pytest.mark.parametrize(
    "change, says",
    [
        ([{"op": "layout", "to": "nchw"}, {"op": "cast", "dtype": "float32"}], "cannot be trained on this input"),
        ([{"op": "layout", "to": "nhwc"}, {"op": "cast", "dtype": "float16"}], "cannot be trained on this input"),
        (
            [
                {"op": "layout", "to": "nhwc"},
                {"op": "cast", "dtype": "float32"},
                {"op": "quantize", "scale": 0.05, "zero_point": 0, "dtype": "int8", "rounding": "half_even",
                 "saturate": True},
            ],
            "cannot be trained on this input",
        ),
    ],
)  # fmt: skip
def test_inputs_that_cannot_be_trained_on(change, says):
    stages = [s.to_dict() for s in GRAY.stages[:5]]
    with pytest.raises(BadInputError, match=says):
        feeding(PreprocessSpec("x", [*stages, *change]))


def networks():
    """Return name → (build, features, width, head) of whole models."""

    def conv_head(k, x):
        x = k.layers.Conv2D(3, 1, name="last")(k.layers.Conv2D(7, 3, activation="relu")(x))
        return k.layers.Activation("softmax")(k.layers.GlobalAveragePooling2D()(x))

    def dense_head(k, x):
        x = k.layers.Flatten()(k.layers.Conv2D(4, 3)(x))
        x = k.layers.Dropout(0.2)(k.layers.Dense(9, activation="relu")(x))
        return k.layers.Dense(5, activation="sigmoid", name="last")(x)

    def logits(k, x):
        return k.layers.Dense(3, name="last")(
            k.layers.GlobalAveragePooling2D()(k.layers.Conv2D(6, 3)(x))
        )

    def embedding(k, x):
        x = k.layers.GlobalAveragePooling2D()(k.layers.Conv2D(6, 3)(x))
        return k.layers.UnitNormalization(name="unit")(k.layers.Dense(128)(x))

    def maps(k, x):
        return k.layers.ReLU(name="maps")(k.layers.BatchNormalization()(k.layers.Conv2D(11, 3)(x)))

    def nested(k, x):
        inner_in = k.Input((48, 32, 1))
        inner = k.Model(
            inner_in,
            k.layers.GlobalAveragePooling2D()(k.layers.Conv2D(13, 3)(inner_in)),
            name="inner",
        )
        return k.layers.Dense(2, activation="softmax", name="last")(inner(x))

    return {
        "a convolution is the head": (conv_head, "input of last", 7, True),
        "a dense layer is the head": (dense_head, "input of last", 9, True),
        "logits": (logits, "input of last", 6, True),
        "an embedder has no head": (embedding, "unit", 128, False),
        "maps are averaged": (maps, "maps", 11, False),
        "a model in the model": (nested, "input of last", 13, True),
    }


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", networks())
def test_where_the_head_begins(kind, tmp_path):
    keras = pytest.importorskip("keras")
    build, features, width, head = networks()[kind]
    inputs = keras.Input((48, 32, 1))
    keras.Model(inputs, build(keras, inputs)).save(tmp_path / "m.keras")
    model = keras_file.open_file(keras, tmp_path / "m.keras")
    body, told = keras_file.without_head(keras, model, None)
    assert (told["features"], told["width"], bool(told["head"])) == (features, width, head)
    x = np.random.default_rng(0).normal(size=(2, 48, 32, 1)).astype(np.float32)
    got = np.asarray(body(x, training=False))
    assert got.shape == (2, width)
    if (
        head and kind != "a convolution is the head"
    ):  # the head on the features gives the model's own answer
        last = model.get_layer("last")
        assert np.allclose(np.asarray(last(got)), np.asarray(model(x, training=False)), atol=1e-5)
    keras_file.freeze(body, "frozen")
    assert not body.trainable_weights
    keras_file.freeze(body, "whole")
    everything = len(body.trainable_weights)
    keras_file.freeze(body, "partial")
    assert 0 < len(body.trainable_weights) <= everything


def answering(keras):
    """Return name → a model of four classes, or the reason why it has no head that can be kept."""
    k = keras.layers

    def made(*tail):
        return keras.Sequential([keras.Input((8, 8, 1)), k.Conv2D(5, 3), *tail])

    pooled = k.GlobalAveragePooling2D
    return {
        "a dense softmax": (made(pooled(), k.Dense(4, activation="softmax")), True),
        "logits": (made(pooled(), k.Dense(4)), True),
        "a convolution, then an activation": (
            made(k.Conv2D(4, 1), pooled(), k.Activation("softmax")), True,
        ),
        "a softmax layer": (made(pooled(), k.Dense(4), k.Softmax()), True),
        "sigmoids": (made(pooled(), k.Dense(4, activation="sigmoid")), False),
        "an embedder": (made(pooled(), k.Dense(64)), False),
    }  # fmt: skip


@pytest.mark.tensorflow
def test_a_head_that_knows_the_classes_is_kept():
    """The start is the network's own answer for these classes, in their order; nothing is learnt again."""
    keras = pytest.importorskip("keras")
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)
    columns = [2, 0, 3]
    for name, (model, kept) in answering(keras).items():
        before = np.asarray(model(x, training=False))
        answer = keras_file.own_answer(keras, model)
        assert (answer is not None) == kept, name
        if not kept:
            continue
        logits = np.asarray(answer(x, training=False))
        kernel, bias = selection(columns, 4)
        got = softmax(logits @ kernel + bias, axis=1)
        wanted = softmax(before, axis=1) if name == "logits" else before
        wanted = wanted[:, columns] / wanted[:, columns].sum(axis=1, keepdims=True)
        assert np.allclose(got, wanted, atol=1e-5), name


def test_which_outputs_answer_for_the_classes(tmp_path):
    (tmp_path / "m.keras").write_bytes(b"PK")
    GRAY.save(tmp_path / "m.preprocess.json")
    (tmp_path / "labels.txt").write_text("angry\nhappy\ncontempt\nneutral\n")
    own = backbones.choose(str(tmp_path / "m.keras")).where
    assert own.labels == ("anger", "joy", "contempt", "neutral")
    assert own.columns(("neutral", "anger")) == [3, 0]
    assert own.columns(("neutral", "sadness")) is None  # it does not know one
    assert dataclasses.replace(own, layer="features").columns(("neutral", "anger")) is None
    assert dataclasses.replace(own, labels=()).columns(("anger",)) is None


def test_few_real_faces_change_a_network_that_knows_the_classes_little(tmp_path):
    own = KerasNetwork(tmp_path / "m.keras", GRAY, None, CLASSES)

    def usual(faces, backbone=own, facelabs=False, classes=CLASSES):
        return usual_settings(faces, backbone, facelabs=facelabs, classes=classes)

    assert usual(0) == usual(5000) == usual(0, None, True)
    assert usual(200)["strategy"] == "frozen"  # what comes before the kept head stays
    new_head = usual(200, classes=("other", *CLASSES))
    assert new_head["strategy"] == "frozen" and new_head["epochs"] > usual(200)["epochs"]
    assert usual(200, None, True)["strategy"] == "partial"


@pytest.mark.tensorflow
def test_what_cannot_be_a_backbone(tmp_path):
    keras = pytest.importorskip("keras")
    a, b = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    features = keras.layers.Flatten(name="flat")(a)
    two = keras.Model(a, [keras.layers.Dense(2)(features), keras.layers.Dense(3)(features)])
    with pytest.raises(keras_file.UnusableError, match="several outputs"):
        keras_file.without_head(keras, two, None)
    assert keras_file.without_head(keras, two, "flat")[1]["width"] == 64
    with pytest.raises(keras_file.UnusableError, match="no layer 'flta'"):
        keras_file.without_head(keras, two, "flta")
    both = keras.Model([a, b], keras.layers.Add()([a, b]))
    with pytest.raises(keras_file.UnusableError, match="several inputs"):
        keras_file.without_head(keras, both, None)
    strange = keras.Model(a, keras.layers.Lambda(lambda x: x * 2)(a))
    strange.save(tmp_path / "lambda.keras")
    with pytest.raises(keras_file.UnusableError, match="refuses"):
        keras_file.open_file(keras, tmp_path / "lambda.keras")


def gray_faces(n, seed):
    """The toys in 32 × 48 pixels: a bright bar at one of three heights."""
    faces = toy_faces(n, seed, size=48)
    return FaceSet(
        faces.images[:, :, 8:40].copy(), faces.labels, CLASSES, faces.names, faces.identities
    )


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A network for gray pictures that are higher than wide, with a softmax over other classes, and its spec."""
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(3)
    folder = tmp_path_factory.mktemp("own")
    k = keras.layers
    keras.Sequential(
        [
            keras.Input((48, 32, 1)),
            k.Conv2D(8, 3, padding="same", activation="relu"),
            k.MaxPooling2D(4),
            k.Conv2D(16, 3, padding="same", activation="relu"),
            k.MaxPooling2D(2),
            k.Flatten(),
            k.Dense(24, activation="relu", name="features"),
            k.Dense(5, activation="softmax", name="their_classes"),
        ]
    ).save(folder / "mine.keras")
    GRAY.save(folder / "mine.preprocess.json")
    return folder / "mine.keras"


@pytest.mark.tensorflow
def test_a_classifier_is_built_on_an_own_network(own, tmp_path, monkeypatch):
    monkeypatch.setenv("FACELAB_TRUST", str(tmp_path / "trust.jsonl"))
    choice = backbones.choose(str(own))
    assert isinstance(choice.where, KerasNetwork) and choice.spec.hash == GRAY.hash
    parts = {
        "train": gray_faces(96, 1), "validation": gray_faces(24, 2),
        "calibration": gray_faces(12, 3), "test": gray_faces(48, 4),
    }  # fmt: skip
    trained, evaluation = train_and_evaluate(
        parts,
        GRAY,
        tmp_path / "out",
        toy_settings("keras", epochs=12, learning_rate=0.05),
        backbone=choice.where,
    )
    assert evaluation.accuracy.value >= 0.8  # a third is chance
    assert (tmp_path / "out/emotion.keras").is_file()
    # a stranger's network took part: what was made of it is a stranger's too
    assert not trust.is_vouched(trained.model) and not trust.is_vouched(
        tmp_path / "out/emotion.keras"
    )
    record = json.loads((tmp_path / "out/training.json").read_text())
    assert len(record["backbone"]) == 64
    assert (tmp_path / "out/labels.txt").read_text().split() == list(CLASSES)


@pytest.mark.tensorflow
def test_an_own_classifier_starts_where_it_was(own, tmp_path, monkeypatch):
    """It knows the classes: before anything is learnt, it answers as before, in the order of the new classes."""
    monkeypatch.setenv("FACELAB_TRUST", str(tmp_path / "trust.jsonl"))
    model = shutil.copy(own, tmp_path / "mine.keras")
    GRAY.save(tmp_path / "mine.preprocess.json")
    (tmp_path / "labels.txt").write_text("x\nneutral\njoy\ny\nanger\n")
    choice = backbones.choose(str(model))
    said = choice.where.described(CLASSES)
    assert "keeps its head" in said and "its head" in choice.where.described(("x", "z"))
    sizes = {"train": 48, "validation": 12, "calibration": 12, "test": 48}
    parts = {name: gray_faces(n, k) for k, (name, n) in enumerate(sizes.items())}
    still = toy_settings("keras", epochs=1, learning_rate=1e-9)
    trained, _ = train_and_evaluate(parts, GRAY, tmp_path / "out", still, backbone=choice.where)
    keras = pytest.importorskip("keras")
    before = keras.models.load_model(own, compile=False)
    test = parts["test"].images
    tensors = (test[..., :1].astype(np.float32) - 127.5) / 63.75
    theirs = np.asarray(before(tensors))[:, [4, 2, 1]]  # anger, joy, neutral
    mine = EmotionClassifier(trained.model).probabilities(test)
    assert np.allclose(mine, theirs / theirs.sum(axis=1, keepdims=True), atol=1e-3)
    (tmp_path / "labels.txt").write_text("neutral\njoy\nanger\n")
    with pytest.raises(BadInputError, match="labels and outputs differ"):
        backbones.choose(str(model)).where.inspected()


@pytest.mark.tensorflow
def test_the_file_is_looked_at_before_any_picture(own, tmp_path, capsys):
    wrong = tmp_path / "wrong.keras"
    shutil.copy(own, wrong)
    emotion_spec(32).save(tmp_path / "wrong.preprocess.json")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "joy.png").write_bytes(b"no picture")
    args = ["emotion", "train", "--backbone", str(wrong), "--data", str(tmp_path / "pictures")]
    assert run(args) == 2
    assert "the backbone's input and the preprocessing differ" in capsys.readouterr().err


def test_a_network_that_nobody_says_how_to_feed(tmp_path, capsys):
    (tmp_path / "m.keras").write_bytes(b"PK")
    args = ["emotion", "train", "--data", str(tmp_path), "--backbone", str(tmp_path / "m.keras")]
    assert run(args) == 2
    assert "preprocessing is unknown" in capsys.readouterr().err
    GRAY.save(tmp_path / "m.preprocess.json")
    assert run([*args, "--size", "64"]) == 2
    assert "its own input size" in capsys.readouterr().err
    assert run([*args, "--backend", "modelmaker"]) == 2
    assert "--backend keras" in capsys.readouterr().err
    for option, value in (
        ("--spec", str(tmp_path / "m.preprocess.json")),
        ("--backbone-layer", "x"),
    ):
        assert run(["emotion", "train", "--data", str(tmp_path), option, value]) == 2
        assert "for a Keras file" in capsys.readouterr().err


def test_a_classifier_of_the_catalogue_is_a_backbone_by_name(mirror):
    try:
        choice = backbones.choose("mini-xception-107")
    except MissingAssetError:
        pytest.skip("mini-XCEPTION is not here: facelab assets fetch mini-xception-107")
    assert choice.where.path.suffix == ".hdf5" and choice.size == 64
    check_backbone(choice.where, toy_settings("keras", strategy="partial"))


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_public_networks_separable_convolutions_are_trained(mirror, tmp_path):
    """oneDNN ended the process while it trained them."""
    choice = backbones.choose("mini-xception-107")
    sizes = {"train": 48, "validation": 12, "calibration": 12, "test": 12}
    parts = {name: toy_faces(n, k) for k, (name, n) in enumerate(sizes.items())}
    settings = toy_settings("keras", epochs=1)
    trained, _ = train_and_evaluate(parts, choice.spec, tmp_path, settings, backbone=choice.where)
    assert trained.model.is_file() and len(trained.history["loss"]) == 1


def test_without_a_sandbox_the_user_must_trust_the_file(own, monkeypatch):
    monkeypatch.setattr(sandbox, "why_not", lambda: "no Landlock here")
    monkeypatch.delenv("FACELAB_TRUST_MODEL", raising=False)
    with pytest.raises(Exception, match="nothing would hold it") as e:
        backbones.choose(str(own)).where.inspected()
    assert "--trust-model" in e.value.fix and not os.environ.get("FACELAB_TRUST_MODEL")
