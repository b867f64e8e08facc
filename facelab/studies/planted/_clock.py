"""Time `facelab fingerprint compare` as a user meets it: a fresh process, start included."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import numpy as np

from facelab.core.isolated import module_command
from facelab.core.safety.scratch import ScratchFolder
from facelab.fingerprint import Fingerprint


def shell_times(train: Fingerprint, infer: Fingerprint, *, runs: int = 5) -> np.ndarray:
    """Return the wall-clock seconds of `runs` comparisons, each in its own process."""
    with ScratchFolder(prefix="facelab-clock-") as folder:
        paths = [
            str(f.save(Path(folder) / f"{name}.json"))
            for name, f in (("train", train), ("infer", infer))
        ]
        command = module_command("facelab.cli", "fingerprint", "compare", *paths)
        out = []
        for _ in range(runs):
            started = time.perf_counter()
            subprocess.run(command, capture_output=True, check=False)
            out.append(time.perf_counter() - started)
    return np.array(out)
