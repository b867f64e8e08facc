"""Running a model leaves no trace of its runtime in the user's home, and asks no network."""

import os
import subprocess
import sys

import pytest

from facelab.zoo.runtimes._keras import _without_chatter

SCRIPT = """
import numpy as np
from facelab.zoo._catalogue import load_catalogue
from facelab.zoo.runtimes import open_model
model = open_model(load_catalogue().model("mtcnn-onet"), threads=1)
shape = tuple(n or 1 for n in model.inputs[0].shape)
model.run(np.zeros(shape, np.float32))
"""


def test_onnx_runtime_is_told_not_to_report(tmp_path):
    env = {
        k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**env, "HOME": str(tmp_path)}, check=True, timeout=120
    )
    assert not list(tmp_path.rglob("*onnxruntime*")), "a device identifier was written"


def test_what_a_library_writes_while_it_is_imported_is_not_shown(capfd):
    """TensorFlow writes six lines whatever its log level says; an error is still an exception."""
    with pytest.raises(ImportError), _without_chatter():
        os.write(2, b"I0000 oneDNN custom operations are on\n")
        raise ImportError
    os.write(2, b"shown again\n")
    assert capfd.readouterr().err == "shown again\n"
