"""A Keras file behind every preset of the catalogue: its bundle passes its own gate, one step off included."""

import pytest
from conftest_deploy import CLASSES

from facelab.preprocess.presets import catalogue_specs, preset
from tests.deploy.test_every_recipe_passes_its_gate import check_gate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.tensorflow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def specs():
    """Return {name: spec} of each preprocessing that differs, of the presets and of the catalogue."""
    names = ("fer", "arcface", "sface", "yunet", "fsanet", "face-mesh")
    found = {}
    for name, spec in [*((n, preset(n)) for n in names), *catalogue_specs().items()]:
        if len(spec.output_shape()) == 4:  # Haar and HOG take a picture without a batch
            found.setdefault(spec.hash, (name, spec))
    return dict(found.values())


def write_keras(folder, spec):
    """Write a network of the spec's input, with three classes, beside its spec and labels."""
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(1)
    k, shape = keras.layers, spec.output_shape()[1:]
    channels_first = shape[0] in (1, 3)
    keras.Sequential(
        [
            keras.Input(shape, dtype=spec.output_dtype),
            *([k.Permute((2, 3, 1))] if channels_first else []),
            k.Rescaling(1.0),  # of uint8 it makes float32
            k.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
            k.GlobalAveragePooling2D(),
            k.Dense(3, activation="softmax"),
        ]
    ).save(folder / "mine.keras")
    spec.save(folder / "mine.preprocess.json")
    (folder / "mine.labels.txt").write_text("\n".join(CLASSES) + "\n")
    return folder / "mine.keras"


@pytest.mark.parametrize("name", sorted(specs()))
def test_a_keras_file_passes_its_gate(tmp_path, name):
    # the gate loads no TensorFlow, and says so: its outputs are not run
    check_gate(write_keras(tmp_path, specs()[name]), tmp_path, "bundle", outputs="skipped")
