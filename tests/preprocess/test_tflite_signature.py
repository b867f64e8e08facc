"""A `.tflite` without signatures gets one; its answers, metadata and labels stay."""

import pytest

from facelab.core.errors import BadInputError
from facelab.preprocess.tflite_metadata import add_signature, read_metadata, write_metadata
from facelab.zoo.runtimes import open_model


@pytest.fixture
def model(assets, tmp_path):
    source = next((assets / "models" / "detectors").glob("*RFB-320_without_postprocessing.tflite"))
    target = tmp_path / "m.tflite"
    target.write_bytes(source.read_bytes())
    return target


def signatures(path):
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(str(path)).get_signature_list()


def test_a_model_without_signature_gets_one_and_keeps_metadata_and_answers(model):
    import numpy as np

    assert not signatures(model)
    write_metadata(
        model, name="m", description="d", size=(320, 240), mean=127, std=128, labels=["a", "b"]
    )
    before = open_model(model)
    x = np.random.default_rng(0).standard_normal((1, 240, 320, 3)).astype(np.float32)
    wanted = before.run(x)
    add_signature(model)
    (signature,) = signatures(model).values()
    assert signature["inputs"] == [before.inputs[0].name] and len(signature["outputs"]) == len(
        before.outputs
    )
    assert read_metadata(model)["labels"] == ["a", "b"] and read_metadata(model)["mean"] == [127]
    for got, want in zip(open_model(model).run(x), wanted):
        assert (got == want).all()
    once = model.read_bytes()
    assert add_signature(model).read_bytes() == once


def test_another_file_is_refused(tmp_path):
    (tmp_path / "x.tflite").write_bytes(b"0123456789" * 10)
    with pytest.raises(BadInputError, match="not a TFLite model"):
        add_signature(tmp_path / "x.tflite")
