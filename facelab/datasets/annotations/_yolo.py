"""Labels in text files beside the pictures: YOLO."""

from __future__ import annotations

import re
from pathlib import Path

from facelab.core.errors import BadInputError, did_you_mean
from facelab.datasets.annotations._boxes import Annotations, Collector, face_categories, number
from facelab.datasets.annotations._sizes import beside, size_of
from facelab.datasets.annotations._text import text_of

NAMES = ("classes.txt", "obj.names", "predefined_classes.txt", "_darknet.labels")
"""Files with a class per line, in the order of the numbers."""
LISTS = ("train.txt", "val.txt", "test.txt", *NAMES)


def yolo(path: Path, category: str | None, images: Path | None) -> Annotations:
    """Read YOLO: a folder of text files, a line per box with class, centre and size as shares of the picture."""
    root = path if path.is_dir() else path.parent
    names = _class_names(root)
    files = sorted(root.rglob("*.txt")) if path.is_dir() else [path]
    if (root / "labels").is_dir():
        root = root / "labels"
        files = [f for f in files if f.is_relative_to(root)]
    files = [f for f in files if f.name not in LISTS and not f.name.lower().startswith("readme")]
    rows = {file: _rows(file) for file in files}
    faces = _faces({k for found in rows.values() for k, _ in found.values()}, names, category, path)
    pictures, out = beside(root, images), Collector("yolo")
    used = {}
    for file in files:
        stem = file.relative_to(root).with_suffix("").as_posix()
        picture = pictures.get(stem) or pictures.get(file.stem)
        if picture is None:
            raise BadInputError(
                "the picture of a YOLO label is not there, so that its size is unknown",
                where=file,
                expected=f"{stem}.jpg or .png beside it, or in --images",
                fix="give the folder of the pictures",
            )
        width, height = size_of(picture[1])
        used[out.picture(picture[0], str(file), (width, height), once=True)] = picture[1]
        for n, (kind, (cx, cy, w, h)) in rows[file].items():
            if faces is not None and kind not in faces:
                out.dropped += 1
                continue
            corners = (
                (cx - w / 2) * width,
                (cy - h / 2) * height,
                (cx + w / 2) * width,
                (cy + h / 2) * height,
            )
            out.box(picture[0], corners, f"{file}:{n}")
    without = {n for n, _ in pictures.values()} - set(used)
    if path.is_dir() and without:
        out.note("pictures have no file of labels and were left out", len(without))
    return out.done(path).fitted(used)


def _rows(file: Path) -> dict[int, tuple[str, list[float]]]:
    """Return the boxes of one file by their line: class, and centre and size as shares."""
    lines = text_of(file).removeprefix("\ufeff").splitlines()
    parted = {n: line.split() for n, line in enumerate(lines, 1)}
    return {n: (parts[0], _shares(parts, f"{file}:{n}")) for n, parts in parted.items() if parts}


def _faces(
    present: set[str], names: dict[str, str], category: str | None, where: Path
) -> set[str] | None:
    """Return the numbers of the classes that are faces; None where there is one class."""
    if category is not None and category in present and category not in names.values():
        return {category}
    named = {k: names.get(k, k) for k in present}
    if category is not None and category in names.values():
        return {k for k, v in names.items() if v == category}
    if category is not None:
        known = sorted({*named.values(), *names.values()})
        raise BadInputError(
            f"no category is called {category!r}{did_you_mean(category, known)}",
            where=where,
            expected=", ".join(known),
            got=category,
            fix="name one of them",
        )
    if len(present) > 1 and not names:
        raise BadInputError(
            "the labels have several classes and nothing names them",
            where=where,
            expected="classes.txt or data.yaml, or the number of the class that is a face",
            got=", ".join(sorted(present)[:8]),
            fix="give the number with --category",
        )
    faces = face_categories(list(named.values()), None, where)
    return None if faces is None else {k for k, v in named.items() if v in faces}


def _class_names(root: Path) -> dict[str, str]:
    """Return the names of classes by their number, from the files that programs write beside labels."""
    for folder in (root, root / "labels", root.parent):
        for name in NAMES:
            if (folder / name).is_file():
                lines = text_of(folder / name).removeprefix("\ufeff").splitlines()
                return {str(k): line.strip() for k, line in enumerate(lines) if line.strip()}
        for name in ("data.yaml", "dataset.yaml"):
            if (folder / name).is_file():
                return _of_yaml(folder / name)
    return {}


def _of_yaml(path: Path) -> dict[str, str]:
    """Return `names` of a data set's YAML, in the three ways that programs write it.

    A list in brackets, a list with dashes, or a number with a colon per line; other YAML is not read.
    """
    text = text_of(path).removeprefix("\ufeff")
    found = re.search(r"^names[ \t]*:[ \t]*(\[[^\]]*\])?", text, re.MULTILINE)
    if found is None:
        return {}
    if found[1]:
        items = [w.strip().strip("'\"") for w in found[1][1:-1].split(",")]
        return {str(k): item for k, item in enumerate(items) if item}
    out: dict[str, str] = {}
    for line in text[found.end() :].splitlines()[1:]:
        entry = re.match(r"[ \t]*(?:-|(\d+)[ \t]*:)[ \t]*(.*?)[ \t]*(?:#.*)?$", line)
        if entry is None and line.strip():
            break
        if entry is not None and entry[2]:
            out[entry[1] or str(len(out))] = entry[2].strip("'\"")
    return out


def _shares(parts: list[str], where: str) -> list[float]:
    if len(parts) != 5:
        raise BadInputError(
            "a YOLO label has a different number of values",
            where=where,
            expected="class, centre x, centre y, width, height",
            got=f"{len(parts)} values"
            + (": polygons, key points or predictions" if len(parts) > 5 else ""),
            fix="keep the class and a box: of key points the first five values, of a polygon the box around it",
        )
    values = [number(v, where) for v in parts[1:]]
    if not all(-0.5 <= v <= 1.5 for v in values):
        raise BadInputError(
            "a YOLO label is not in shares of the picture",
            where=where,
            expected="0 … 1",
            got=", ".join(parts[1:]),
            fix="divide by the picture's width and height, or give the labels as CSV",
        )
    return values
