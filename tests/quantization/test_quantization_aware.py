"""Quantisation-aware training: the rounded twin foretells INT8, and fine-tuning keeps what it promises."""

import json
import shutil

import numpy as np
import pytest

from facelab.core.errors import CheckFailedError, UnsupportedError
from facelab.quantization import _qat as qat
from facelab.quantization import _subject as subject
from facelab.quantization._session import Session
from facelab.quantization.internals import measure
from facelab.quantization.recipes import RECIPES


def test_a_file_without_layers_is_refused_before_anything_runs(trained, unsigned, tmp_path):
    assert qat.source_of(subject.load(trained / "emotion.keras")) == trained / "emotion.keras"
    assert qat.source_of(subject.load(trained / "emotion_fp32.tflite")) == trained / "emotion.keras"
    with pytest.raises(UnsupportedError, match="needs the model's layers"):
        qat.source_of(subject.load(unsigned))


@pytest.mark.slow
@pytest.mark.tensorflow
def test_the_twin_foretells_int8_and_fine_tuning_fixes_it(trained, pool, evaluation):
    """On the model with a wild channel, which INT8 after training ruins."""
    with Session(
        subject.load(trained / "wild" / "emotion_fp32.tflite"), pool, evaluation
    ) as session:
        whole = session.add("tf-int8", session.make(RECIPES["tf-int8"]))
        path = session.make(RECIPES["qat-int8"])
        losses = json.loads((session.folder / "qat" / "done.json").read_text())["losses"]
        twin, before = (np.load(session.folder / "qat" / f"{n}.npy") for n in ("twin", "float"))
        row = session.add("qat-int8", path)
        spec = session.subject.spec
        np.testing.assert_allclose(
            before, measure.outputs(session.base, spec, pool.tensors), atol=1e-3
        )
        int8 = measure.outputs(path, spec, pool.tensors)
    assert len(losses) == qat.EPOCHS + 1 and min(losses) < 0.5 * losses[0]
    # the simulation leaves out the rounding of logits and biases, so it is near the file and not equal to it
    assert (twin.argmax(1) == int8.argmax(1)).mean() > 0.97 and np.abs(twin - int8).mean() < 0.01
    assert whole["agreement"]["value"] < 0.9 and row["agreement"]["value"] >= 0.98
    assert row["operators"]["CONV_2D"] == {"int8": 2}


@pytest.mark.slow
@pytest.mark.tensorflow
def test_another_models_keras_file_beside_the_tflite_is_refused(
    trained, pool, evaluation, tmp_path
):
    folder = shutil.copytree(trained, tmp_path / "mixed")
    shutil.copy(trained / "other.keras", folder / "emotion.keras")
    with (
        Session(subject.load(folder / "emotion_fp32.tflite"), pool, evaluation) as session,
        pytest.raises(CheckFailedError, match="another model"),
    ):
        session.make(RECIPES["qat-int8"])
