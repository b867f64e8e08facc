"""What a liveness model is shown: looks at one face, and where they come from (pairs, files)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from facelab.camera.internals import FramePair
from facelab.core.errors import BadInputError, from_os
from facelab.core.files import read_input
from facelab.core.text_files import read_csv
from facelab.preprocess.image import header, read_image


@dataclass(frozen=True, eq=False)
class Look:
    """One moment of a face.

    Parameters
    ----------
    colour : (h, w, 3) uint8 array
        RGB.
    box : (4,) array
        xyxy pixels of `colour`.
    landmarks : (5, 2) array, optional
        Eyes, nose, mouth corners in pixels of `colour`; the first eye is the left one in the picture.
    depth : (h', w') uint16 array, optional
        Millimetres, 0 where the sensor reports nothing. Shows the same field of view as `colour`, at any size.
    """

    colour: np.ndarray = field(repr=False)
    box: np.ndarray
    landmarks: np.ndarray | None = field(default=None, repr=False)
    depth: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        box = np.asarray(self.box, dtype=np.float64)
        if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] <= box[:2]).any():
            raise BadInputError(
                "the box of a face is empty or not finite",
                expected="x1 < x2, y1 < y2",
                got=box.tolist(),
                fix="pass the box of a detector, xyxy",
            )
        h, w = _picture(self.colour)
        if box[0] >= w or box[1] >= h or box[2] <= 0 or box[3] <= 0:
            raise BadInputError(
                "the box of a face is outside its picture",
                expected=f"part of 0, 0, {w}, {h}",
                got=box.tolist(),
                fix="pass the box in pixels of this picture",
            )
        if self.depth is not None and (self.depth.ndim != 2 or self.depth.dtype != np.uint16):
            raise BadInputError(
                "a depth picture is (height, width) uint16 in millimetres",
                got=f"{self.depth.shape} {self.depth.dtype}",
                fix="8-bit depth has lost the millimetres: store 16 bits",
            )
        object.__setattr__(self, "box", box)

    @property
    def depth_scale(self) -> tuple[float, float]:
        """Depth pixels per colour pixel in x and y (1 without depth)."""
        if self.depth is None:
            return 1.0, 1.0
        (h, w), (dh, dw) = self.colour.shape[:2], self.depth.shape
        return dw / w, dh / h

    def with_box(self, scale: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)) -> Look:
        """Return the look with its box larger by `scale` and moved by shares of its size; it stays in the picture."""
        centre, half = (self.box[:2] + self.box[2:]) / 2, (self.box[2:] - self.box[:2]) / 2
        centre = centre + 2 * half * np.asarray(shift)
        box = np.concatenate([centre - scale * half, centre + scale * half])
        return replace(self, box=box)


def _picture(colour: Any) -> tuple[int, int]:
    if not (
        isinstance(colour, np.ndarray)
        and colour.ndim == 3
        and colour.shape[2] == 3
        and colour.dtype == np.uint8
        and colour.size
    ):
        raise BadInputError(
            "a colour picture is (height, width, 3) uint8 RGB",
            got=f"{getattr(colour, 'shape', type(colour).__name__)} {getattr(colour, 'dtype', '')}",
            fix="use Frame.image('RGB') or read_image",
        )
    return colour.shape[0], colour.shape[1]


@dataclass(frozen=True, eq=False)
class Presentation:
    """One face before the camera: its looks in order of time, and what it is where that is known.

    Parameters
    ----------
    looks : tuple of Look
        At least one; motion needs two or more.
    kind : str
        `live`, the name of an attack, or `unknown`.
    identity : str
        Who is shown; rows of one identity never fall into two splits.
    split : str
        `train`, `validation` or `test`.
    name : str
        For reports.

    Examples
    --------
    >>> import numpy as np
    >>> look = Look(np.zeros((64, 64, 3), np.uint8), np.array([8, 8, 56, 56]))
    >>> Presentation((look,), kind="screen", identity="p1").split
    'test'
    """

    looks: tuple[Look, ...]
    kind: str = "unknown"
    identity: str = ""
    split: str = "test"
    name: str = ""

    def __post_init__(self) -> None:
        if not self.looks:
            raise BadInputError("a presentation has no look", fix="give at least one Look")


def look_of(pair: FramePair, box: np.ndarray, landmarks: np.ndarray | None = None) -> Look:
    """Return a pair of frames as a look at the face in `box`.

    Parameters
    ----------
    pair : FramePair
        From `facelab.camera.pair_frames`.
    box : (4,) array
        xyxy pixels of the colour frame.
    landmarks : (5, 2) array, optional
        In pixels of the colour frame.

    Returns
    -------
    Look
        Pictures are copies, so that frames may go back to their pool.

    Raises
    ------
    StaleFrameError
        A frame's memory was given back before.
    """
    colour, depth = pair.colour.image("RGB").copy(), pair.depth.image("DEPTH").copy()
    return Look(colour, box, None if landmarks is None else np.asarray(landmarks, float), depth)


MOST_BYTES = 64 << 20
"""The largest depth picture that is read."""
KIND_NAMES = {"real": "live", "genuine": "live", "bonafide": "live", "fake": "attack"}
"""What other sets call live faces and attacks."""


def read_presentations(
    path: str | os.PathLike[str], *, images: str | os.PathLike[str] | None = None
) -> list[Presentation]:
    """Read labelled pictures: what `facelab data synth --set liveness` writes, or your own CSV.

    Parameters
    ----------
    path : path
        A CSV, or a folder with `labels.csv`. Columns `file` (or `path`) and `kind` (or `label`); where they exist also
        `depth` (16-bit PNG), `x1, y1, x2, y2`, `lx0, ly0` to `lx4, ly4`, `identity`, `split`. Rows whose `modality`
        is not `rgb` are left out.
    images : path, optional
        The folder that paths start from; by default the CSV's.

    Returns
    -------
    list of Presentation
        One look each. Without a box the face is found by the default detector.

    Raises
    ------
    BadInputError
        Columns or files are missing, or no face is found where no box is given.

    Examples
    --------
    >>> _ = Path("attacks.csv").write_text("file,kind,x1,y1,x2,y2\\nphoto.jpg,live,170,72,278,222\\n")
    >>> (face,) = read_presentations("attacks.csv")
    >>> face.kind, face.looks[0].box.tolist()
    ('live', [170.0, 72.0, 278.0, 222.0])
    """
    csv = Path(path) / "labels.csv" if Path(path).is_dir() else Path(path)
    rows = read_csv(csv, "labels", fix="check --data")
    rows = [r for r in rows if r.get("modality", "rgb") == "rgb"]
    folder = Path(images) if images is not None else csv.parent
    if not rows or not ({"file", "path"} & set(rows[0])) or not ({"kind", "label"} & set(rows[0])):
        raise BadInputError(
            "the labels have other columns, or no rows",
            where=csv,
            expected="file (or path) and kind (or label)",
            got=", ".join(map(str, rows[0])) if rows else "no rows",
            fix="write these columns",
        )
    return [_read(row, folder, f"{csv}:{i}") for i, row in enumerate(rows, 2)]


def _read(row: dict[str, str], folder: Path, where: str) -> Presentation:
    name = row.get("file") or row["path"]
    colour = read_image(folder / name)
    landmarks = None
    if row.get("x1"):
        box = _numbers(row, ("x1", "y1", "x2", "y2"), where)
        if row.get("lx0"):
            names = [f"l{axis}{k}" for k in range(5) for axis in "xy"]
            landmarks = _numbers(row, names, where).reshape(5, 2)
    else:
        box, landmarks = _found(colour, where)
    depth = _depth(folder / row["depth"]) if row.get("depth") else None
    kind = row.get("kind") or row["label"]
    try:
        look = Look(colour, box, landmarks, depth)
    except BadInputError as e:
        e.where = e.where or where
        raise
    return Presentation(
        (look,),
        KIND_NAMES.get(kind, kind),
        row.get("identity") or name,
        row.get("split") or "test",
        name,
    )


def _numbers(row: dict[str, str], names: Any, where: str) -> np.ndarray:
    try:
        return np.array([float(row[n]) for n in names])
    except (KeyError, ValueError) as e:
        raise BadInputError(
            "a box or a landmark is not a number",
            where=where,
            expected=", ".join(names),
            got=str(e),
            fix="correct the row",
        ) from None


def _found(colour: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray | None]:
    from facelab.embedding import default_detector
    from facelab.embedding.internals import find_face

    found = find_face(default_detector(), colour)
    if found is None:
        raise BadInputError(
            "no face is found, and the row has no box",
            where=where,
            fix="add columns x1, y1, x2, y2, or leave the row out",
        )
    return found.boxes[0], None if found.landmarks is None else found.landmarks[0]


def _depth(path: Path) -> np.ndarray:
    import cv2

    try:
        raw = read_input(path, max_bytes=MOST_BYTES, what="depth picture")
    except OSError as e:
        raise from_os(e) from None
    data = np.frombuffer(raw, np.uint8)
    if raw:
        header(raw, where=path)
    depth = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if depth is None or depth.ndim != 2 or depth.dtype != np.uint16:
        raise BadInputError(
            "a depth picture cannot be used",
            where=path,
            expected="a PNG with one channel of 16 bits, millimetres",
            got="nothing readable" if depth is None else f"{depth.shape} {depth.dtype}",
            fix="export depth as 16-bit PNG",
        )
    return depth
