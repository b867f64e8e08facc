"""A public network that INT8 really harms: mini-XCEPTION on the mirror's labelled faces."""

import numpy as np
import pytest

from facelab.quantization import _subject as subject
from facelab.quantization._budgets import Budgets
from facelab.quantization._session import Session
from facelab.quantization.internals import images
from facelab.quantization.recipes import RECIPES


@pytest.mark.slow
@pytest.mark.tensorflow
def test_keep_float_auto_fixes_mini_xception_with_few_layers(assets, monkeypatch):
    monkeypatch.setenv("FACELAB_MIRROR", str(assets))
    it = subject.load(assets / "models" / "emotion" / "fer2013_mini_XCEPTION.107-0.66.hdf5")
    assert it.task == "classifier" and it.classes[3] == "happy"
    faces = images.read(it, str(assets / "labelled" / "emotion" / "muxspace"))
    first = {h: i for i, h in enumerate(faces.hashes)}  # no picture twice
    index = np.array(sorted(first.values()))
    calibrate, held = faces.take(index[index % 5 < 2]), faces.take(index[index % 5 >= 2])
    # so small a network cannot shrink to 0.3: its scales and zero points weigh too much
    with Session(it, calibrate, held, budgets=Budgets(size=0.6)) as session:
        whole = session.add("edge-int8", session.make(RECIPES["edge-int8"]))
        found = session.keep_float_auto(RECIPES["edge-int8"])
        layers = len(session.layers())
        row = session.add(
            "mended", session.make(RECIPES["edge-int8"], name="mended", keep_float=found.layers)
        )
    assert {"agreement"} <= set(whole["verdict"]["failed"])
    assert found.met and 0 < len(found.layers) <= layers // 3
    assert row["verdict"]["passed"] and row["agreement"]["value"] >= 0.98
