"""Notebook 10: how fast emitted preprocessing is, with its error beside the speed."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.result import Result
from facelab.core.safety.scratch import ScratchFolder
from facelab.core.timing import interleave, summarise
from facelab.preprocess import PreprocessSpec, presets
from facelab.preprocess.emit import Frame, emit
from facelab.studies import emitted_programs

SPECS = ("yunet-n-320", "ultraface-rfb-320", "mini-xception-48px", "arcface-r50", "facenet")
"""Two detectors, an emotion classifier, an aligned and a cropped face."""
PEERS = ("OpenCV", "Pillow")


@dataclass(frozen=True)
class Speed(Result):
    """One program on one specification: seconds per frame, and how far its tensor is from the reference's.

    `error` is the largest difference in levels of the 8-bit input; `seconds` are raw samples.
    """

    spec: str
    program: str
    seconds: np.ndarray
    error: float

    @property
    def median(self) -> float:
        """The median time per frame in seconds."""
        return float(np.median(self.seconds))


@dataclass(frozen=True)
class Speeds(Result):
    """Every program on every specification, and why some are missing."""

    speeds: tuple[Speed, ...]
    missing: dict[str, str] = field(default_factory=dict)
    size: tuple[int, int] = (640, 480)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per specification and program, fastest first."""
        rows: list[dict[str, Any]] = []
        for s in sorted(self.speeds, key=lambda s: (self._place(s.spec), s.median)):
            peer = self.peer(s.spec)
            timing = summarise(s.seconds)
            rows.append(
                {
                    "spec": s.spec,
                    "program": s.program,
                    "µs per frame": round(s.median * 1e6, 1),
                    "lo": round(timing.lo * 1e6, 1),
                    "hi": round(timing.hi * 1e6, 1),
                    "of the time by hand": round(s.median / peer.median, 2) if peer else "—",
                    "largest error (levels)": float(f"{s.error:.2g}"),
                }
            )
        return rows

    def _place(self, spec: str) -> int:
        names = [s.spec for s in self.speeds]
        return names.index(spec)

    def of(self, spec: str, program: str) -> Speed | None:
        """Return one program's speed, or None where it is missing."""
        found = (s for s in self.speeds if (s.spec, s.program) == (spec, program))
        return next(found, None)

    def peer(self, spec: str) -> Speed | None:
        """Return the hand-written program of a specification."""
        return next((s for s in self.speeds if s.spec == spec and s.program in PEERS), None)

    def ratio(self, spec: str, program: str) -> float | None:
        """Return a program's time over the hand-written one's; None where either is missing."""
        a, b = self.of(spec, program), self.peer(spec)
        return None if a is None or b is None else a.median / b.median


def picture(size: tuple[int, int], *, seed: int = 0) -> np.ndarray:
    """Return a soft random picture, uint8 height × width × 3: smooth as a photograph, with every value."""
    rng = np.random.default_rng(seed)
    w, h = size
    coarse = rng.uniform(0, 255, (h // 8 + 2, w // 8 + 2, 3))
    y, x = np.arange(h)[:, None] / 8, np.arange(w)[None] / 8
    i, j = y.astype(int), x.astype(int)
    fy, fx = (y - i)[..., None], (x - j)[..., None]
    top = coarse[i, j] * (1 - fx) + coarse[i, j + 1] * fx
    low = coarse[i + 1, j] * (1 - fx) + coarse[i + 1, j + 1] * fx
    return np.clip(top * (1 - fy) + low * fy + rng.normal(0, 3, (h, w, 3)), 0, 255).astype(np.uint8)


def face_of(size: tuple[int, int]) -> dict[str, list]:
    """Return a face box and five landmarks in the middle of a picture."""
    spots = [[0.42, 0.44], [0.58, 0.43], [0.5, 0.56], [0.44, 0.68], [0.57, 0.67]]
    w, h = size
    box = [0.34 * w, 0.26 * h, 0.66 * w, 0.78 * h]
    return {"box": box, "landmarks": [[x * w, y * h] for x, y in spots]}


def measure(
    names: Sequence[str] = SPECS,
    *,
    size: tuple[int, int] = (640, 480),
    repeats: int = 7,
    budget_s: float = 6.0,
    seed: int = 0,
) -> Speeds:
    """Build every emitted program, and time it in interleaved rounds on one thread, beside the same work by hand.

    All times are CPU seconds of the program or thread, so that other work on the machine is not counted.

    Parameters
    ----------
    names : sequence of str
        Models of the catalogue whose preprocessing is measured.
    size : (int, int)
        Width and height of the picture.
    repeats, budget_s
        Rounds, and the most seconds for one specification's rounds.
    seed : int
        Of the picture and of the order within rounds.

    Returns
    -------
    Speeds
        Raw samples (CPU seconds), errors, and which programs are missing and why.
    """
    pixels, face = picture(size, seed=seed), face_of(size)
    speeds: list[Speed] = []
    missing: dict[str, str] = {}
    for name in names:
        spec = presets.preset(name)
        order = pixels[..., ::-1] if spec.input_order == "bgr" else pixels
        frame = Frame.of("frame", order, face=face)
        with ScratchFolder(prefix="facelab-code-") as folder, _one_thread():
            built = emitted_programs.programs(spec, frame, Path(folder), missing)
            calls = {k: run for k, (run, _) in built.items()}
            samples = interleave(
                calls, repeats=repeats, warmup=1, seed=seed, budget_s=budget_s, least_s=0.02
            )
            for program, (_, off) in built.items():
                speeds.append(Speed(name, program, samples[program], off * _levels(spec)))
    return Speeds(tuple(speeds), missing, size)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _levels(spec: PreprocessSpec) -> float:
    """Return how many levels of the 8-bit input one unit of the tensor is."""
    normal = spec.find("normalize")
    if normal is None:
        return 1.0
    return max(map(abs, normal.scale)) * (255 if normal.units == "0-1" else 1)


def excerpt(name: str) -> str:
    """Return the function of the emitted C that turns a value of the last image into the tensor's."""
    text = str(emit(presets.preset(name), "c").files["preprocess.c"])
    start = text.rindex("static ", 0, text.index(" value("))
    return text[start : text.index("\n}", start) + 2]


def worst_error(found: Speeds) -> float:
    """Return the largest difference of any emitted program from the reference, in levels."""
    return max(s.error for s in found.speeds if s.program not in PEERS)


def ratios(found: Speeds) -> dict[str, float]:
    """Return the time of the emitted C over that of the hand-written program, by specification."""
    names = dict.fromkeys(s.spec for s in found.speeds)
    known = {name: found.ratio(name, "C") for name in names}
    return {name: ratio for name, ratio in known.items() if ratio is not None}


def versions() -> dict[str, str]:
    """Return what was measured with: compiler, Go, Node, and the libraries' versions."""
    import cv2
    import onnxruntime
    import PIL

    found = {"OpenCV": cv2.__version__, "Pillow": PIL.__version__, "numpy": np.__version__}
    found |= {"ONNX Runtime": onnxruntime.__version__, "Python": sys.version.split()[0]}
    for name, command in (
        ("gcc", ["gcc", "-dumpversion"]),
        ("Go", ["go", "version"]),
        ("Node", ["node", "-v"]),
    ):
        if shutil.which(command[0]):
            found[name] = (
                emitted_programs.output_of(command, Path.cwd()).strip().removeprefix("go version ")
            )
    return found
