"""Running a model leaves no trace of its runtime in the user's home, and asks no network."""

import os
import subprocess
import sys

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
