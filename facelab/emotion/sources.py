"""Where labelled faces come from: synthetic, folders, CSV files, FER2013. All is read and checked before training."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.array_files import read_npz
from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.files import atomic_path
from facelab.core.hashing import sha256_json
from facelab.core.text_files import opened_table
from facelab.datasets import load_fer2013, load_ferplus, load_image_folder
from facelab.datasets.internals import FER2013_CLASSES
from facelab.datasets.labels import DROP, NAMES, THREE, map_label, plain, table_for
from facelab.emotion._data import Box, FaceSet, FindFace
from facelab.emotion._spec import crop_face, face_size
from facelab.preprocess import PreprocessSpec, read_image

LABEL_COLUMNS = ("emotion", "label")
FILE_COLUMNS = ("file", "path", "image")
PART_COLUMNS = ("split", "part", "usage")
PART_NAMES: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "publictest": "validation",
    "calibration": "calibration",
    "test": "test",
    "testing": "test",
    "privatetest": "test",
}
"""What data sets call their parts → what facelab calls them. FER2013's PublicTest is for validation."""
_NUMBERED = re.compile(r"^(.*[A-Za-z])_\d{1,6}$")


@dataclass(frozen=True)
class Row:
    """One face of a list: image file, emotion, and where known identity, box and the part the data set puts it in."""

    file: Path
    emotion: str
    identity: str = ""
    box: Box | None = None
    part: str = ""
    where: str = ""


def synthetic(
    n: int,
    seed: int,
    spec: PreprocessSpec,
    *,
    classes: Sequence[str] = THREE,
    workers: int = 2,
    cache: Path | None = None,
    progress: bool = False,
) -> FaceSet:
    """Return `n` rendered faces, cropped by the spec with their exact boxes; identities are known.

    `cache` is a folder where the crops are kept under a name made from everything that decides them. A larger `n` only
    draws what is not kept yet: the first faces of a larger set are the smaller set.
    """
    from facelab.datasets import synthetic as renderer

    classes = tuple(classes)
    key = sha256_json(
        {"seed": seed, "classes": list(classes), "spec": spec.hash, "renderer": _version()}
    )[:16]
    kept = cache / f"emotion-{key}.npz" if cache else None
    parts = []
    if kept and kept.is_file():
        arrays = read_npz(kept, "kept faces", fix="remove the file; the faces are drawn again")
        parts.append(tuple(arrays[k] for k in ("images", "labels", "identity")))
    have = len(parts[0][0]) if parts else 0
    if have < n:
        faces = renderer.generate(
            "emotion",
            n=n - have,
            start=have,
            seed=seed,
            workers=workers,
            classes=classes,
            progress=progress,
        )
        images = np.stack(
            [crop_face(spec, image, tuple(box)) for image, box in zip(faces.images, faces.boxes)]
        )
        labels = np.array([classes.index(e) for e in faces.emotion], dtype=np.int64)
        parts.append((images, labels, faces.identity.astype(str)))
    images, labels, identity = (np.concatenate(arrays) for arrays in zip(*parts))
    if kept and have < n:
        with atomic_path(kept) as tmp, tmp.open("wb") as f:
            np.savez_compressed(f, images=images, labels=labels, identity=identity)
    return _synthetic_set(images[:n], labels[:n], classes, identity[:n], seed)


def _synthetic_set(
    images: np.ndarray, labels: Any, classes: Any, identity: Any, seed: int
) -> FaceSet:
    return FaceSet(
        images,
        labels,
        classes,
        tuple(f"synthetic seed {seed} index {i}" for i in range(len(images))),
        tuple(str(i) for i in identity),
    )


def _version() -> str:
    """Return a hash of the renderer's source: crops kept from another renderer are not its own."""
    from facelab.core.hashing import sha256_file
    from facelab.datasets import synthetic as renderer

    folder = Path(renderer.__file__).parent
    return sha256_json([sha256_file(p) for p in sorted(folder.rglob("*.py"))])


def folder_rows(
    folder: str | os.PathLike[str],
    *,
    classes: Sequence[str] = THREE,
    table: Mapping[str, str] = NAMES,
    left_out: Counter | None = None,
) -> list[Row]:
    """List an image folder: one sub-folder per label, or `train`, `validation`, `test` folders of such.

    Labels are mapped by `table`; those outside `classes` are left out, and counted by label in `left_out`. Raises
    BadInputError for a label folder without an image, for an unknown label and for a single class; MissingAssetError
    where the folder is absent.
    """
    folder, narrowed = Path(folder), table_for(classes, table)
    below = [p for p in sorted(folder.iterdir()) if p.is_dir()] if folder.is_dir() else []
    parts = {p: PART_NAMES[p.name.lower()] for p in below if p.name.lower() in PART_NAMES}
    if not parts or len(parts) != len([p for p in below if not p.name.startswith(".")]):
        parts = {folder: ""}
    rows = []
    for place, part in parts.items():
        found = load_image_folder(place, table=narrowed)
        if left_out is not None:
            left_out.update(found.left_out)
        rows += [
            Row(file, emotion, part=part, where=str(file))
            for file, emotion in zip(found.paths, found.labels)
        ]
    return rows


def csv_rows(
    path: str | os.PathLike[str],
    *,
    classes: Sequence[str] = THREE,
    table: Mapping[str, str] = NAMES,
    left_out: Counter | None = None,
) -> list[Row]:
    """List a CSV: a file column (file, path or image), a label column (emotion or label), and where they exist
    identity, x1, y1, x2, y2 (the face's box) and split (train, validation, test).

    Paths are relative to the CSV; labels are mapped as in `folder_rows`. Raises BadInputError naming file and line.
    """
    path, narrowed = Path(path), table_for(classes, table)
    rows, seen = [], 0
    try:
        with opened_table(path) as reader:
            columns = reader.fieldnames or []
            file, label = (
                _column(columns, FILE_COLUMNS, path),
                _column(columns, LABEL_COLUMNS, path),
            )
            for raw in reader:
                seen += 1
                if row := _row(
                    raw, columns, path.parent, file, label, narrowed, f"{path}:{reader.line_num}"
                ):
                    rows.append(row)
                elif left_out is not None:
                    left_out[raw[label]] += 1
    except (OSError, ValueError, csv.Error) as e:
        raise BadInputError(
            "the CSV cannot be read", where=path, got=str(e)[:120], fix="check path and encoding"
        ) from None
    if not rows:
        raise BadInputError(
            "the CSV has no row of these classes" if seen else "the CSV has no rows",
            where=path,
            expected=f"{file},{label} with {', '.join(classes)}",
            got=f"{seen} rows",
            fix="check the labels' spelling, or name the classes with --classes"
            if seen
            else "check that this is the right file",
        )
    return rows


def _row(
    raw: Any, columns: Any, folder: Path, file: str, label: str, table: Any, where: str
) -> Row | None:
    if None in raw.values() or None in raw:
        raise BadInputError(
            "a row has a different number of cells than the header",
            where=where,
            expected=len(columns),
            fix="correct the row",
        )
    emotion = map_label(raw[label], table, where=where)
    if emotion == DROP:
        return None
    part = next(
        (raw[c].strip() for c in columns if c.lower() in PART_COLUMNS and raw[c].strip()), ""
    )
    if part and part.lower() not in PART_NAMES:
        raise BadInputError(
            f"the part {part!r} is not known{did_you_mean(part, PART_NAMES)}",
            where=where,
            expected=", ".join(sorted(set(PART_NAMES.values()))),
            got=part,
            fix="write one of these names in the column `part`",
        )
    box = _box(raw, where) if all(c in columns for c in ("x1", "y1", "x2", "y2")) else None
    return Row(
        folder / raw[file].strip(),
        emotion,
        (raw.get("identity") or "").strip(),
        box,
        PART_NAMES[part.lower()] if part else "",
        where,
    )


def labels_of(data: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the labels of an image folder or a CSV as their own classes, sorted.

    Raises BadInputError for a folder or file without labels.
    """
    path = Path(data)
    if path.is_dir() and (path / "labels.csv").is_file():
        path = path / "labels.csv"
    if path.is_dir():
        below = [p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")]
        parts = [p for p in below if p.name.lower() in PART_NAMES]
        places = parts if parts and len(parts) == len(below) else [path]
        names = {
            p.name
            for place in places
            for p in place.iterdir()
            if p.is_dir() and not p.name.startswith(".")
        }
    else:
        try:
            with opened_table(path) as reader:
                column = _column(reader.fieldnames or [], LABEL_COLUMNS, path)
                names = {(row[column] or "").strip() for row in reader} - {""}
        except (OSError, ValueError, csv.Error) as e:
            raise BadInputError(
                "the CSV cannot be read",
                where=path,
                got=str(e)[:120],
                fix="check path and encoding",
            ) from None
    by_plain = {plain(n): n for n in sorted(names)}
    if len(by_plain) < 2:
        raise BadInputError(
            "the data have fewer than two labels",
            where=path,
            expected="two folders or labels at least",
            got=", ".join(sorted(names)) or "none",
            fix="check --data",
        )
    return tuple(sorted(by_plain.values()))


def _column(columns: Sequence[str], names: Sequence[str], path: Path) -> str:
    for name in names:
        if name in columns:
            return name
    raise BadInputError(
        f"the CSV has no column {names[0]!r}{did_you_mean(names[0], columns)}",
        where=path,
        expected=" or ".join(names),
        got=",".join(columns) or "an empty file",
        fix="name the column in the first line",
    )


def _box(raw: Mapping[str, str], where: str) -> Box:
    try:
        x1, y1, x2, y2 = (float(raw[c]) for c in ("x1", "y1", "x2", "y2"))
    except ValueError:
        raise BadInputError(
            "a face box is not a number",
            where=where,
            expected="x1, y1, x2, y2 in pixels",
            fix="write four numbers in pixels, or leave all four cells empty",
        ) from None
    box = x1, y1, x2, y2
    if not (np.isfinite(box).all() and x2 > x1 and y2 > y1):
        raise BadInputError(
            "a face box is empty",
            where=where,
            expected="x2 > x1 and y2 > y1",
            got=box,
            fix="correct the box, or remove the row",
        )
    return box


def named_identities(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with identities taken from file names of LFW's form `<person>_<number>`.

    Only where no row has its own identity and such names look like people: at least half of the files have the
    form, and no name covers more than a quarter of them. Otherwise the rows come back as they are.
    """
    if any(r.identity for r in rows):
        return list(rows)
    names = [m[1] if (m := _NUMBERED.match(r.file.stem)) else "" for r in rows]
    counts = Counter(n for n in names if n)
    if sum(counts.values()) * 2 < len(rows) or max(counts.values(), default=0) * 4 > len(rows):
        return list(rows)
    return [Row(r.file, r.emotion, name, r.box, r.part, r.where) for r, name in zip(rows, names)]


def load_rows(
    rows: Iterable[Row],
    spec: PreprocessSpec,
    *,
    classes: Sequence[str] = THREE,
    find_face: FindFace | None = None,
) -> FaceSet:
    """Read and crop the faces of a list.

    A face's box is the row's own, else what `find_face` returns (RGB pixels in; box or None out), else the whole
    picture. Raises BadInputError naming the file for an image that cannot be read.
    """
    rows, classes = list(rows), tuple(classes)
    width, height = face_size(spec)
    crops = np.empty((len(rows), height, width, 3), np.uint8)
    for crop, row in zip(crops, rows):
        image = read_image(row.file)
        box = row.box or (find_face(image) if find_face else None) or whole(image, spec)
        crop[:] = crop_face(spec, image, box)
    return FaceSet(
        crops,
        np.array([classes.index(r.emotion) for r in rows], np.int64),
        classes,
        tuple(str(r.file) for r in rows),
        tuple(r.identity for r in rows),
    )


def whole(image: np.ndarray, spec: PreprocessSpec) -> Box:
    """Return the box whose crop by the spec, margin and all, is the whole image."""
    height, width = image.shape[:2]
    crop = spec.find("crop")
    margin = (crop.margin or 0) if crop is not None and crop.region == "face" else 0
    inner = 1 / (1 + 2 * margin)
    left, top = width * (1 - inner) / 2, height * (1 - inner) / 2
    return left, top, width - left, height - top


def fer(
    path: str | os.PathLike[str],
    spec: PreprocessSpec,
    *,
    classes: Sequence[str] = THREE,
    votes: str | os.PathLike[str] | None = None,
) -> tuple[FaceSet, tuple[str, ...]]:
    """Return the faces of `fer2013.csv` and the part that its Usage column puts each in (an empty string without one).

    `votes` is FER+'s `fer2013new.csv`, whose rows are in the same order: then an image's label is the emotion that
    more than half of the annotators chose, and images without one are left out. Raises BadInputError with file and
    line, and for lists of different length.
    """
    read, narrowed, classes = load_fer2013(path), table_for(classes), tuple(classes)
    names = [FER2013_CLASSES[k] for k in read.label]
    if votes is not None:
        chosen = load_ferplus(votes, every_row=True).majority()
        if len(chosen) != len(names):
            raise BadInputError(
                "FER+ has a different number of rows than FER2013",
                where=votes,
                expected=len(names),
                got=len(chosen),
                fix="use fer2013new.csv, which has one row for each of fer2013.csv",
            )
        names = [name or "unknown" for name in chosen]
    emotions = [map_label(name, narrowed, where=path) for name in names]
    keep = [i for i, emotion in enumerate(emotions) if emotion != DROP]
    width, height = face_size(spec)
    crops = np.empty((len(keep), height, width, 3), np.uint8)
    for crop, i in zip(crops, keep):
        image = np.repeat(read.images[i][..., None], 3, axis=2)
        crop[:] = crop_face(spec, image, whole(image, spec))
    faces = FaceSet(
        crops,
        np.array([classes.index(emotions[i]) for i in keep], np.int64),
        classes,
        tuple(f"{path} image {i}" for i in keep),
        ("",) * len(keep),
    )
    return faces, tuple(PART_NAMES.get(str(read.usage[i]).lower(), "") for i in keep)
