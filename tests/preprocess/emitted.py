"""Build and run emitted programs in tests: tool chains, frames, and the check that each language brings."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from facelab.preprocess.emit import Frame, write

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
SANITIZED = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
REASONS = {
    "c": ("gcc", "no C compiler"),
    "go": ("go", "no Go tool chain (Debian: golang-go)"),
    "javascript": ("node", "no Node"),
    "python": (sys.executable, ""),
}


def need(language):
    """Skip where a language's tool chain is missing."""
    program, reason = REASONS[language]
    if shutil.which(program) is None:
        pytest.skip(reason)


def sh(*command, cwd, ok=(0,)):
    """Run a program and return what it printed; fail with its output where it ends otherwise."""
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert done.returncode in ok, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def random_frames(spec, count=3, *, seed=None):
    """Return frames of noise in random sizes, orientations and faces, the same for the same spec."""
    rng = np.random.default_rng(int(spec.hash[:8], 16) if seed is None else seed)
    decode = spec.stages[0]
    for k in range(count):
        size = decode.size or tuple(int(v) for v in rng.integers(1, 50, 2))
        orientation = int(rng.integers(1, 9)) if decode.format == "encoded" else 1
        turned = orientation > 4 and any(
            s.op == "orient" and s.exif == "apply" for s in spec.stages
        )
        w, h = size[::-1] if turned else size
        x, y = rng.uniform(-5, w - 1), rng.uniform(-5, h - 1)
        points = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.35, 0.7], [0.65, 0.72]])
        face = {
            "box": [x, y, x + rng.uniform(1, w), y + rng.uniform(1, h)],
            "landmarks": (points * (w, h) + rng.normal(0, 2, (5, 2))).tolist(),
        }
        channels = {"gray": 1}.get(decode.order, 3)
        length = size[0] * size[1] * channels
        if decode.format in ("yuyv", "nv12"):
            length = size[0] * size[1] * (4 if decode.format == "yuyv" else 3) // 2
        data = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
        yield Frame(f"noise{k}", data, size, orientation, face)


def build(spec, language, folder, frames, *, flags=("-O1",)):
    """Write a language's files with golden tensors and compile what needs it; False where no frame fits the spec."""
    write(spec, language, folder, frames=list(frames))
    if not (folder / "testdata" / "cases.txt").exists():
        return False
    if language == "c":
        command = [
            "gcc",
            *STRICT,
            *flags,
            "preprocess.c",
            "preprocess_check.c",
            "-lm",
            "-o",
            "check",
        ]
        sh(*command, cwd=folder)
    return True


def check(language, folder):
    """Run the check that was emitted; it fails where a tensor is not the golden one."""
    command = {
        "c": ["./check", "testdata"],
        "go": ["go", "test", "./..."],
        "javascript": ["node", "preprocess.check.mjs", "testdata"],
        "python": [sys.executable, "-W", "error", "preprocess_check.py", "testdata"],
    }[language]
    return sh(*command, cwd=folder)
