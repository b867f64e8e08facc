"""Golden tensors beside emitted code: frames without a header, and what the reference makes of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.preprocess._run import apply, carry_out
from facelab.preprocess.backends import make
from facelab.preprocess.emit._files import Emitted
from facelab.preprocess.geometry import Face
from facelab.preprocess.spec import PreprocessSpec

BYTES = 4 << 20
"""Golden tensors and frames beside a program take at most this many bytes."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """What an emitted program is given.

    `data` are the bytes of a frame without header: what decode gives (uint8, height × width × channel) for encoded
    files, else the raw format's. `size` is (width, height), `orientation` EXIF's, `face` a box and landmarks.
    """

    name: str
    data: bytes = dataclasses.field(repr=False)
    size: tuple[int, int]
    orientation: int = 1
    face: Any = None

    @classmethod
    def of(cls, name: str, pixels: np.ndarray, *, orientation: int = 1, face: Any = None) -> Frame:
        """Make a frame of pixels, uint8 height × width × channel in decode's order."""
        size = (pixels.shape[1], pixels.shape[0])
        return cls(name, np.ascontiguousarray(pixels).tobytes(), size, orientation, face)


def golden(spec: PreprocessSpec, frame: Frame) -> np.ndarray:
    """Return the reference's tensor of a frame, as emitted programs give it (reals without a cast: float32).

    Raises BadInputError where the spec cannot be carried out on the frame.
    """
    if spec.decoding.format != "encoded":
        tensor = apply(spec, frame.data, face=frame.face)
    else:
        channels = 1 if spec.input_order == "gray" else 3
        flat = np.frombuffer(frame.data, np.uint8)
        pixels = flat.reshape(frame.size[1], frame.size[0], channels)
        engine = make("reference")
        values = carry_out(spec, engine, pixels, orientation=frame.orientation, face=frame.face)
        tensor = engine.arrays(values)[-1]
    return tensor.astype(np.float32) if spec.output_dtype == "float" else tensor


def golden_files(spec: PreprocessSpec, frames: Iterable[Frame]) -> dict[str, bytes]:
    """Return testdata/: cases.txt, and a .frame and a .tensor (little-endian, C order) for each frame that fits."""
    lines: list[str] = []
    files: dict[str, bytes] = {}
    room = BYTES
    for frame in sorted(frames, key=lambda f: (len(f.data), f.name)):
        try:
            tensor = golden(spec, frame)
        except BadInputError:
            continue  # such as a crop that leaves nothing of a small picture
        data = tensor.astype(tensor.dtype.newbyteorder("<")).tobytes()
        room -= len(data) + len(frame.data)
        if room < 0 and lines:
            break
        face = Face.of(frame.face)
        box = face.box or (0.0,) * 4
        marks = np.ravel(face.landmarks).tolist() if face.landmarks else [0.0] * 10
        numbers = [*frame.size, frame.orientation, *map(repr, map(float, [*box, *marks]))]
        lines.append(" ".join([frame.name, *map(str, numbers)]))
        files[f"testdata/{frame.name}.frame"] = frame.data
        files[f"testdata/{frame.name}.tensor"] = data
    return {"testdata/cases.txt": ("\n".join(lines) + "\n").encode(), **files} if lines else {}


def fitting(spec: PreprocessSpec, emitted: Emitted, frames: Iterable[Frame]) -> Iterable[Frame]:
    """Return the frames that emitted files can take: of a graph's one size, upright, with its face.

    Where no frame has a graph's size, noise and slopes of that size take its place.
    """
    if emitted.size is None:
        return frames
    given = list(frames)
    own = [f for f in given if f.size == emitted.size and f.orientation == 1]
    own = own or (_patterns(spec, emitted.size) if given else [])
    return [dataclasses.replace(f, face=emitted.face or f.face) for f in own]


def _patterns(spec: PreprocessSpec, size: tuple[int, int]) -> list[Frame]:
    channels = 1 if spec.input_order == "gray" else 3
    (w, h), rng = size, np.random.default_rng(1)
    noise = rng.integers(0, 256, (h, w, channels), dtype=np.uint8)
    y, x = np.mgrid[:h, :w]
    slope = np.stack([(x * 3 + y * (k + 1)) % 256 for k in range(channels)], axis=-1).astype(
        np.uint8
    )
    spots = np.array([[0.34, 0.46], [0.66, 0.47], [0.5, 0.64], [0.37, 0.82], [0.63, 0.8]]) * size
    face = {"box": [0.2 * w, 0.2 * h, 0.8 * w, 0.9 * h], "landmarks": spots.tolist()}
    return [Frame.of(n, p, face=face) for n, p in (("noise", noise), ("slope", slope))]
