"""Model Maker's named traps, each shown at work in its own kernel, and each kept from biting by what facelab does."""

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest_emotion import toy_faces

from facelab.emotion import EmotionClassifier
from facelab.emotion import _modelmaker_job as modelmaker_job
from facelab.emotion.internals import to_tensor
from facelab.preprocess import read_image
from facelab.preprocess.tflite_metadata import read_metadata

pytestmark = [pytest.mark.slow, pytest.mark.modelmaker]


@pytest.fixture(scope="module")
def shown(modelmaker, modelmaker_model, tmp_path_factory):
    """Everything that the kernel's demonstration found, and its folder."""
    from skimage import data

    folder = tmp_path_factory.mktemp("traps")
    cv2.imwrite(str(folder / "photo.jpg"), data.astronaut()[..., ::-1])
    for k in range(3):
        (folder / "classes" / f"c{k}").mkdir(parents=True)
        for i in range(8):
            cv2.imwrite(
                str(folder / "classes" / f"c{k}" / f"{i}.png"),
                np.full((8, 8, 3), 10 * k + i, np.uint8),
            )
    faces = toy_faces(24, 6)
    images = faces.images.copy()
    images[:, 0, 0, 0] = np.arange(24)  # the first byte identifies each face
    np.savez(folder / "faces.npz", images=images, labels=faces.labels)
    shutil.copy(
        modelmaker_model[0].folder / "emotion_int8_modelmaker.tflite", folder / "int8.tflite"
    )
    script = Path(__file__).with_name("modelmaker_traps.py")
    done = subprocess.run(
        [
            str(modelmaker),
            "-W",
            "ignore",
            str(script),
            str(Path(modelmaker_job.__file__).parent),
            str(folder),
        ],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(folder / "traps.npz") as arrays:
        return {**arrays, "images": images, "folder": folder}


def test_decode_jpeg_uses_an_inaccurate_transform_and_facelab_does_not(shown):
    default, accurate = shown["default_decode"], shown["accurate_decode"]
    assert (default != accurate).mean() > 0.2  # many bytes differ
    assert np.array_equal(read_image(shown["folder"] / "photo.jpg"), accurate)


def test_from_folder_shuffles_by_a_generator_nobody_seeded_and_the_job_by_its_own(shown):
    assert not np.array_equal(shown["folder_order_0"], shown["folder_order_1"])
    for turn in range(2):
        assert np.array_equal(shown[f"seeded_0_{turn}"], shown[f"seeded_1_{turn}"])
        assert sorted(shown[f"seeded_0_{turn}"]) == list(
            range(24)
        )  # a permutation of the whole epoch
    assert not np.array_equal(shown["seeded_0_0"], shown["seeded_0_1"])


def test_the_legacy_resize_does_nothing_at_the_size_that_facelab_feeds(shown, spec):
    fed = to_tensor(spec, shown["images"][:1])[0]
    np.testing.assert_allclose(shown["same_size"], fed, atol=1e-6)  # one float32 rounding
    centred = cv2.resize(fed, (32, 32), interpolation=cv2.INTER_LINEAR)
    assert np.abs(shown["half_size"] - centred).max() > 0.05  # no pixel centres: another picture
    assert np.array_equal(
        shown["half_size"], shown["same_size"][::2, ::2]
    )  # it just takes every second pixel


def test_use_augmentation_also_changes_what_is_evaluated(shown):
    assert np.abs(shown["augmented_evaluation"] - shown["same_size"]).max() > 0.5
    source = Path(modelmaker_job.__file__).read_text()
    assert "use_augmentation=False" in source


def test_evaluate_tflite_truncates_and_wraps_and_facelab_rounds_and_saturates(
    shown, modelmaker_model
):
    scale, zero = float(shown["scale"]), int(shown["zero_point"])
    exact = shown["wanted_float"] / scale + zero
    rounded = np.clip(np.rint(exact), 0, 255)
    outside = (exact < 0) | (exact >= 256)
    assert (
        outside.mean() > 0.05
    )  # the calibration part was narrow, so that much lies outside the range
    theirs = shown["fed"].astype(np.float64)
    assert (theirs != rounded)[~outside].mean() > 0.3  # truncated
    assert np.abs(theirs - rounded)[outside].max() > 100  # wrapped around
    classifier = EmotionClassifier(modelmaker_model[0].folder / "emotion_int8_modelmaker.tflite")
    assert np.array_equal(to_tensor(classifier.spec, shown["images"][:1]), rounded.astype(np.uint8))


def test_metadata_hold_mean_and_deviation_and_nothing_else_of_the_preprocessing(
    modelmaker_model, spec
):
    trained, _ = modelmaker_model
    assert set(read_metadata(trained.model)) == {
        "name",
        "description",
        "mean",
        "std",
        "size",
        "labels",
    }
    beside = EmotionClassifier(trained.model).spec
    assert beside.find("resize").kernel == "bilinear"
    assert beside.find("crop").margin == spec.find("crop").margin


def test_the_kernels_own_reader_understands_the_metadata_that_facelab_writes(
    modelmaker, keras_model
):
    script = (
        "import sys; from tflite_support import metadata; d = metadata.MetadataDisplayer.with_model_file("
        "sys.argv[1]); print(d.get_packed_associated_file_list(), 'NormalizationOptions' in "
        "d.get_metadata_json())"
    )
    prelude = "import ctypes, libusb_package; ctypes.CDLL(str(libusb_package.get_library_path())); "
    done = subprocess.run(
        [str(modelmaker), "-W", "ignore", "-c", prelude + script, str(keras_model[0].model)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip().splitlines()[-1] == "['labels.txt'] True", done.stderr[-500:]
