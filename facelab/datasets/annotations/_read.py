"""Recognise the form of labels, and read it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.files import loads_strict, read_input
from facelab.core.text_files import read_csv, separator
from facelab.datasets.annotations._boxes import (
    FORMATS,
    IGNORED,
    Annotations,
    Collector,
    face_categories,
    flag,
    number,
)
from facelab.datasets.annotations._text import MOST, encoding_of, text_of
from facelab.datasets.annotations._xml import cvat, voc
from facelab.datasets.annotations._yolo import yolo

PATHS = ("path", "file", "filename", "file_name", "image", "image_path", "name")
CORNERS = (
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("left", "top", "right", "bottom"),
)
SIZED = (("x", "y", "w", "h"), ("x", "y", "width", "height"), ("left", "top", "width", "height"))


def read(
    path: str | os.PathLike[str],
    *,
    form: str | None = None,
    images: str | os.PathLike[str] | None = None,
    category: str | None = None,
    voc_origin: int | None = None,
) -> Annotations:
    """Read labelled boxes.

    What is decided on the way is counted in the answer's notes: boxes of other categories, shares of the picture, the
    pixel that Pascal VOC's corners are counted from, pictures that EXIF turns.

    Parameters
    ----------
    path : path
        A file, or for Pascal VOC and YOLO a folder.
    form : str, optional
        One of `FORMATS`; by default recognised from the content.
    images : path, optional
        The folder of pictures, which shares (YOLO) need for their sizes; by default beside the labels (a folder
        `images` beside `labels`, or the same folder). Labels that state sizes are compared with these pictures.
    category : str, optional
        Which category are faces, where several are labelled and none is called `face`.
    voc_origin : 0 or 1, optional
        The first pixel of Pascal VOC's corners; by default 1, as the form says, or 0 where a corner is at 0.

    Returns
    -------
    Annotations
        Boxes as `xyxy` pixels, by the pictures' paths as the labels give them.

    Raises
    ------
    BadInputError
        The form is not recognised, or a label is wrong; the error names file and line.
    """
    path = Path(path)
    if not path.exists():
        raise BadInputError("the labels do not exist", where=path, fix="check the path")
    if form is not None and form not in FORMATS:
        raise BadInputError(
            f"no form of labels is called {form!r}{did_you_mean(form, FORMATS)}",
            expected=", ".join(FORMATS),
            got=form,
            fix="name one of them, or leave it out: it is recognised",
        )
    chosen, pictures = form or recognise(path), None if images is None else Path(images)
    if chosen == "voc":
        return voc(path, category, pictures, voc_origin)
    if voc_origin is not None:
        raise BadInputError(
            "the first pixel can be given for Pascal VOC alone",
            where=path,
            expected="voc",
            got=chosen,
            fix="leave it out",
        )
    if chosen in ("coco", "cvat"):
        return {"coco": _coco, "cvat": cvat}[chosen](path, category, pictures)
    if chosen == "yolo":
        return yolo(path, category, pictures)
    return {"csv": _csv, "wider": _wider}[chosen](path, pictures)


def recognise(path: Path) -> str:
    """Return the form of labels by their content. Raises BadInputError where it is none of `FORMATS`."""
    if path.is_dir():
        found = [p.suffix.lower() for p in sorted(path.rglob("*")) if p.is_file()]
        forms = [f for f, s in (("voc", ".xml"), ("yolo", ".txt")) if s in found]
        if len(forms) == 1:
            return forms[0]
        raise _unknown(path, "no .xml (Pascal VOC) and no .txt (YOLO)" if not forms else "both")
    data = read_input(path, max_bytes=MOST)[:65536]
    head = data.decode(encoding_of(data), "replace").lstrip("\ufeff \t\r\n")
    if head.startswith(("{", "[")):
        return "coco"
    if head.startswith("<"):
        return "cvat" if "<annotations" in head else "voc"
    lines = head.splitlines()
    first = lines[0].strip() if lines else ""
    if len(lines) > 1 and lines[1].strip().isdigit() and separator(first) not in first:
        return "wider"
    if separator(first) in first:
        return "csv"
    values = first.split()
    if len(values) >= 5 and all(_is_number(v) for v in values):
        return "yolo"
    raise _unknown(path, repr(first[:60]))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unknown(path: Path, got: str) -> BadInputError:
    return BadInputError(
        "the form of the labels is not recognised",
        where=path,
        expected="; ".join(f"{k}: {v}" for k, v in FORMATS.items()),
        got=got,
        fix="name the form, or convert the labels to one of these",
    )


def _csv(path: Path, images: Path | None) -> Annotations:
    rows = [
        {k.strip().lower(): v for k, v in row.items()}
        for row in read_csv(path, "labels", fix="save the labels as CSV in UTF-8")
    ]
    known = set(rows[0]) if rows else set()
    name = next((c for c in PATHS if c in known), None)
    corners = next((c for c in CORNERS if set(c) <= known), None)
    sized = None if corners else next((c for c in SIZED if set(c) <= known), None)
    columns = corners or sized
    if name is None or columns is None:
        raise BadInputError(
            "the labels have other columns",
            where=path,
            expected="path and n_faces; or x1,y1,x2,y2; or x,y,w,h",
            got=",".join(sorted(known)) or "no rows",
            fix="write one of these forms",
        )
    out, skip = Collector("csv"), next((c for c in IGNORED if c in known), None)
    for i, row in enumerate(rows, 2):
        where = f"{path}:{i}"
        if not any(row[c].strip() for c in columns):
            out.picture(row[name], where)  # a picture without a face
            continue
        values = [number(row[c], where) for c in columns]
        if sized:
            values[2:] = values[0] + values[2], values[1] + values[3]
        out.box(row[name], values, where, ignore=bool(skip) and flag(row[skip]))
    return out.done(path, images)


def _coco(path: Path, category: str | None, images: Path | None = None) -> Annotations:
    value = loads_strict(text_of(path).removeprefix("\ufeff"), where=path, max_bytes=MOST)
    if not isinstance(value, dict) or not all(
        isinstance(value.get(k), list) for k in ("images", "annotations")
    ):
        raise BadInputError(
            "the JSON file is not COCO's",
            where=path,
            expected="an object with the lists images, annotations and categories",
            got=", ".join(map(str, value))[:80]
            if isinstance(value, dict)
            else type(value).__name__,
            fix="export the labels as COCO detection",
        )
    out = Collector("coco")
    names = _coco_pictures(value["images"], out, path)
    listed = {
        c.get("id"): str(c.get("name", ""))
        for c in value.get("categories", [])
        if isinstance(c, dict)
    }
    faces = face_categories(list(listed.values()), category, path)
    for i, mark in enumerate(value["annotations"]):
        where = f"{path}: annotations[{i}]"
        box = mark.get("bbox") if isinstance(mark, dict) else None
        if not isinstance(box, list) or len(box) != 4 or mark.get("image_id") not in names:
            raise BadInputError(
                "an annotation has no box or no image",
                where=where,
                expected="bbox [x, y, width, height] and the image_id of an image",
                got=str(mark)[:100],
                fix="export the labels again",
            )
        if faces is not None and listed.get(mark.get("category_id")) not in faces:
            out.dropped += 1
            continue
        x, y, w, h = (number(v, where) for v in box)
        ignored = flag(mark.get("iscrowd", 0)) or flag(mark.get("ignore", 0))
        out.box(names[mark["image_id"]], (x, y, x + w, y + h), where, ignored)
    return out.done(path, images)


def _coco_pictures(images: list[Any], out: Collector, path: Path) -> dict[int | str, str]:
    """Enter COCO's list of images, and return their names by id."""
    names: dict[int | str, str] = {}
    for i, image in enumerate(images):
        where = f"{path}: images[{i}]"
        if not isinstance(image, dict) or "id" not in image:
            raise BadInputError("an image has no id", where=where, fix="export the labels again")
        width, height = image.get("width"), image.get("height")
        size = (width, height) if type(width) is int and type(height) is int else None
        if not isinstance(image["id"], (int, str)) or image["id"] in names:
            raise BadInputError(
                "an image's id is not unique",
                where=where,
                expected="a number that no other image has",
                got=str(image["id"])[:60],
                fix="export the labels again; files that were merged need new ids",
            )
        names[image["id"]] = str(image.get("file_name", ""))
        out.picture(names[image["id"]], where, size, once=True)
    return names


def _wider(path: Path, images: Path | None) -> Annotations:
    text = text_of(path).removeprefix("\ufeff")
    lines, i, out = text.splitlines(), 0, Collector("wider")
    while i < len(lines):
        if not lines[i].strip():
            i += 1
            continue
        name = lines[i].strip()
        count = lines[i + 1].strip() if i + 1 < len(lines) else ""
        if not count.isdigit():
            raise BadInputError(
                "a picture's name is not followed by its number of faces",
                where=f"{path}:{i + 2}",
                expected="a whole number",
                got=repr(count)[:60],
                fix="correct the line",
            )
        out.picture(name, f"{path}:{i + 1}", once=True)
        rows = max(int(count), 1)  # a picture without faces has one row of zeros
        if not int(count) and (i + 2 >= len(lines) or not _zeros(lines[i + 2])):
            rows = 0
        for k in range(rows):
            at = i + 2 + k
            values = lines[at].split() if at < len(lines) else []
            where = f"{path}:{at + 1}"
            if len(values) < 4:
                raise BadInputError(
                    "a box has fewer than four numbers",
                    where=where,
                    expected=f"{count} rows of x y width height and attributes",
                    got=repr(lines[at])[:60] if at < len(lines) else "the end of the file",
                    fix="correct the row or the number of faces",
                )
            x, y, w, h = (number(v, where) for v in values[:4])
            if int(count) and (w <= 0 or h <= 0):
                out.note("boxes without an extent were left out")  # WIDER FACE itself has a few
            elif int(count):
                invalid = len(values) > 7 and flag(values[7])
                out.box(name, (x, y, x + w, y + h), where, invalid)
        i += 2 + rows
    return out.done(path, images)


def _zeros(line: str) -> bool:
    values = line.split()
    return len(values) >= 4 and all(_is_number(v) and float(v) == 0 for v in values)
