"""Where labelled faces come from: synthetic, folders, CSV files. Everything is read and checked before training."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.files import atomic_path
from facelab.core.hashing import sha256_json
from facelab.emotion.data import FaceSet
from facelab.emotion.labels import DROP, NAMES, THREE, map_label, table_for
from facelab.emotion.spec import crop_face
from facelab.preprocess import PreprocessSpec, read_image

Box = tuple[float, float, float, float]
FindFace = Callable[[np.ndarray], Box | None]
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
LABEL_COLUMNS = ("emotion", "label")
FILE_COLUMNS = ("file", "path", "image")


@dataclass(frozen=True)
class Row:
    """One face of a list: image file, label as the data set writes it, identity and box where they are known."""

    file: Path
    label: str
    identity: str = ""
    box: Box | None = None
    where: str = ""


def synthetic(n: int, seed: int, spec: PreprocessSpec, *, classes: Sequence[str] = THREE, workers: int = 2,
              cache: Path | None = None, progress: bool = False) -> FaceSet:
    """Return `n` rendered faces, cropped by the spec with their exact boxes; identities are known.

    `cache` is a folder where the crops are kept under a name made from everything that decides them.
    """
    from facelab.datasets import synthetic as renderer
    key = sha256_json({"n": n, "seed": seed, "classes": list(classes), "spec": spec.hash, "renderer": _version()})[:16]
    kept = cache / f"emotion-{key}.npz" if cache else None
    if kept and kept.is_file():
        with np.load(kept) as arrays:
            return _synthetic_set(arrays["images"], arrays["labels"], tuple(classes), arrays["identity"], seed)
    faces = renderer.generate("emotion", n=n, seed=seed, workers=workers, classes=tuple(classes), progress=progress)
    images = np.stack([crop_face(spec, image, tuple(box)) for image, box in zip(faces.images, faces.boxes)])
    labels = np.array([classes.index(e) for e in faces.emotion], dtype=np.int64)
    identity = faces.identity.astype(str)
    if kept:
        with atomic_path(kept) as tmp, tmp.open("wb") as f:
            np.savez_compressed(f, images=images, labels=labels, identity=identity)
    return _synthetic_set(images, labels, tuple(classes), identity, seed)


def _synthetic_set(images, labels, classes, identity, seed) -> FaceSet:
    return FaceSet(images, labels, classes, tuple(f"synthetic seed {seed} index {i}" for i in range(len(images))),
                   tuple(str(i) for i in identity))


def _version() -> str:
    """Return a hash of the renderer's source: crops kept from another renderer are not its own."""
    from facelab.core.hashing import sha256_file
    from facelab.datasets import synthetic as renderer
    folder = Path(renderer.__file__).parent
    return sha256_json([sha256_file(p) for p in sorted(folder.glob("*.py"))])


def folder_rows(folder: str | os.PathLike) -> list[Row]:
    """List an image folder (one sub-folder a label). Raises BadInputError for a label folder without an image."""
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInputError("the image folder does not exist", where=folder, expected="one sub-folder a label")
    rows = []
    for label in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        files = sorted(p for p in label.rglob("*") if p.suffix.lower() in SUFFIXES)
        if not files:
            raise BadInputError("a class folder has no image", where=label, expected=f"at least one of {SUFFIXES}",
                                got="none", fix="add images or remove the folder")
        rows += [Row(f, label.name, where=str(f)) for f in files]
    if not rows:
        raise BadInputError("the image folder has no class folders", where=folder, expected="one sub-folder a label",
                            fix="put the images of each class into a folder of its name")
    return rows


def csv_rows(path: str | os.PathLike) -> list[Row]:
    """List a CSV: a file column (file, path or image), a label column (emotion or label), optionally identity and
    x1, y1, x2, y2. Paths are relative to the CSV. Raises BadInputError naming file and line."""
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as f:
            reader = csv.DictReader(f)
            columns = reader.fieldnames or []
            file = _column(columns, FILE_COLUMNS, path)
            label = _column(columns, LABEL_COLUMNS, path)
            boxed = all(c in columns for c in ("x1", "y1", "x2", "y2"))
            rows = []
            for raw in reader:
                where = f"{path}:{reader.line_num}"
                if None in raw.values() or None in raw:
                    raise BadInputError("a row has another number of cells than the header", where=where,
                                        expected=len(columns), fix="correct the row")
                box = _box(raw, where) if boxed else None
                rows.append(Row(path.parent / raw[file], raw[label], raw.get("identity") or "", box, where))
    except (OSError, UnicodeDecodeError) as e:
        raise BadInputError("the CSV cannot be read", where=path, got=str(e)[:120]) from None
    if not rows:
        raise BadInputError("the CSV has no rows", where=path, expected=f"{file},{label}")
    return rows


def _column(columns: Sequence[str], names: Sequence[str], path: Path) -> str:
    for name in names:
        if name in columns:
            return name
    raise BadInputError(f"the CSV has no column {names[0]!r}{did_you_mean(names[0], columns)}", where=path,
                        expected=" or ".join(names), got=",".join(columns) or "an empty file")


def _box(raw: Mapping[str, str], where: str) -> Box:
    try:
        box = tuple(float(raw[c]) for c in ("x1", "y1", "x2", "y2"))
    except ValueError:
        raise BadInputError("a face box is no number", where=where, expected="x1, y1, x2, y2 in pixels") from None
    if not (box[2] > box[0] and box[3] > box[1]):
        raise BadInputError("a face box is empty", where=where, expected="x2 > x1 and y2 > y1", got=box)
    return box


def load_rows(rows: Iterable[Row], spec: PreprocessSpec, *, classes: Sequence[str] = THREE,
              table: Mapping[str, str] = NAMES, find_face: FindFace | None = None) -> FaceSet:
    """Read, crop and label the faces of a list.

    A face's box is the row's own, else what `find_face` returns (RGB pixels in; box or None out), else the whole
    picture. Labels that the table drops are left out. Raises BadInputError for an unknown label (all labels are
    checked before any image is read) and for an unreadable image, naming the row.
    """
    narrowed = table_for(classes, table)
    wanted = [(row, map_label(row.label, narrowed, where=row.where or row.file)) for row in rows]
    crops, labels, names, identities = [], [], [], []
    for row, emotion in wanted:
        if emotion == DROP:
            continue
        image = read_image(row.file)
        height, width = image.shape[:2]
        box = row.box or (find_face(image) if find_face else None) or (0.0, 0.0, float(width), float(height))
        crops.append(crop_face(spec, image, box))
        labels.append(list(classes).index(emotion))
        names.append(str(row.file))
        identities.append(row.identity)
    size = spec.find("resize").size
    return FaceSet(np.array(crops, np.uint8).reshape(-1, size[1], size[0], 3), np.array(labels, np.int64),
                   tuple(classes), tuple(names), tuple(identities))


def largest_face(detector, *, least: float = 0.0) -> FindFace:
    """Return a `find_face` that takes the largest face a `facelab.detection` detector sees (score ≥ `least`)."""
    def find(image: np.ndarray) -> Box | None:
        boxes = detector.detect(image).above(least).boxes
        if not len(boxes):
            return None
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        return tuple(float(v) for v in boxes[int(areas.argmax())])
    return find
