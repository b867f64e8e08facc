"""Labels in XML: Pascal VOC, one file per picture, and CVAT for images, one file."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

from facelab.core.errors import BadInputError
from facelab.core.files import read_input
from facelab.datasets.annotations._boxes import (
    IGNORED,
    Annotations,
    Collector,
    face_categories,
    flag,
    number,
)
from facelab.datasets.annotations._text import MOST, encoding_of

SHAPES = ("polygon", "polyline", "points", "ellipse", "mask", "cuboid", "skeleton")
"""Shapes of CVAT that are not boxes."""


def _xml(path: Path) -> ElementTree.Element:
    text = read_input(path, max_bytes=MOST)
    plain = text.decode(encoding_of(text), "replace")
    if "<!DOCTYPE" in plain or "<!ENTITY" in plain:
        raise BadInputError(
            "the XML file declares entities",
            where=path,
            expected="plain elements",
            fix="export the labels again without a DOCTYPE",
        )
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as e:
        raise BadInputError(
            "the XML file cannot be read",
            where=path,
            got=str(e)[:120],
            fix="export the labels again",
        ) from None


def voc(
    path: Path, category: str | None, images: Path | None = None, origin: int | None = None
) -> Annotations:
    """Read Pascal VOC: a folder of files, or one.

    By its definition corners are pixels counted from 1, and both belong to the box. Many programs write edges counted
    from 0 instead: one corner at 0 reveals them. `origin` (0 or 1) says it where nothing does.
    """
    files = sorted(path.rglob("*.xml")) if path.is_dir() else [path]
    roots = [(file, _annotation(file)) for file in files]
    labels = [o.findtext("name", "") for _, root in roots for o in root.iter("object")]
    faces = face_categories(labels, category, path)
    marks = [
        (
            file,
            root,
            [_corners(o, f"{file}: object {k}") for k, o in enumerate(root.iter("object"), 1)],
        )
        for file, root in roots
    ]
    zeros = sum(0 <= min(x1, y1) < 1 for *_, rows in marks for x1, y1, _, _ in rows)
    first = origin if origin is not None else 0 if zeros else 1
    out, names = Collector("voc"), _names(roots, path)
    for file, root, rows in marks:
        size = [root.findtext(f"size/{k}", "") for k in ("width", "height")]
        whole = all(s.strip().isdigit() for s in size)
        name = names[file]
        stated = (int(size[0]), int(size[1])) if whole else None
        out.picture(name, str(file), stated, once=True)
        for k, (mark, (x1, y1, x2, y2)) in enumerate(zip(root.iter("object"), rows), 1):
            where = f"{file}: object {k}"
            if faces is not None and mark.findtext("name", "") not in faces:
                out.dropped += 1
                continue
            difficult = flag(mark.findtext("difficult", "0"))
            out.box(name, (x1 - first, y1 - first, x2, y2), where, difficult)
    counted = f"boxes have corners counted from {first}"
    why = "as the form says" if first else f"since {zeros} are at 0"
    out.note(
        f"{counted} ({why if origin is None else 'as given'})",
        sum(map(len, (r for *_, r in marks))),
    )
    return out.done(path, images)


def _annotation(file: Path) -> ElementTree.Element:
    root = _xml(file)
    if root.tag != "annotation":
        raise BadInputError(
            "the XML file is not Pascal VOC's",
            where=file,
            expected="<annotation>",
            got=f"<{root.tag}>",
            fix="remove the file, or export the labels as Pascal VOC",
        )
    return root


def _corners(mark: ElementTree.Element, where: str) -> tuple[float, ...]:
    return tuple(
        number(mark.findtext(f"bndbox/{c}"), where) for c in ("xmin", "ymin", "xmax", "ymax")
    )


def _names(roots: list[tuple[Path, ElementTree.Element]], path: Path) -> dict[Path, str]:
    """Return each file's picture. Where files of several folders share a file name, their folders distinguish them."""
    stated = {
        file: (root.findtext("filename") or "").strip() or f"{file.stem}.jpg"
        for file, root in roots
    }
    count: dict[str, int] = {}
    for name in stated.values():
        count[name] = count.get(name, 0) + 1
    out = {}
    for file, name in stated.items():
        folder = file.parent.relative_to(path).as_posix() if path.is_dir() else "."
        out[file] = name if count[name] == 1 or folder == "." else f"{folder}/{name}"
    return out


def cvat(path: Path, category: str | None, images: Path | None = None) -> Annotations:
    """Read CVAT for images 1.1."""
    root = _xml(path)
    if root.tag != "annotations":
        raise BadInputError(
            "the XML file is not CVAT's",
            where=path,
            expected="<annotations>",
            got=f"<{root.tag}>",
            fix="export the labels as CVAT for images 1.1",
        )
    if root.find("track") is not None:
        raise BadInputError(
            "the XML file holds tracks of a video",
            where=path,
            expected="CVAT for images 1.1",
            got="CVAT for video",
            fix="export the labels as CVAT for images",
        )
    labels = [box.get("label", "") for box in root.iter("box")]
    faces, out = face_categories(labels, category, path), Collector("cvat")
    for image in root.iter("image"):
        name = image.get("name", "")
        size = [image.get(k, "") for k in ("width", "height")]
        whole = all(s.isdigit() for s in size)
        stated = (int(size[0]), int(size[1])) if whole else None
        out.picture(name, str(path), stated, once=True)
        others = sum(shape.tag in SHAPES for shape in image)
        if others:
            out.note("shapes are not boxes and were left out (polygons, points, masks)", others)
        for k, box in enumerate(image.iter("box"), 1):
            where = f"{path}: {name}, box {k}"
            if faces is not None and box.get("label", "") not in faces:
                out.dropped += 1
                continue
            values = [number(box.get(c), where) for c in ("xtl", "ytl", "xbr", "ybr")]
            if turn := number(box.get("rotation", "0"), where) % 360:
                values = _around(values, turn)
                out.note("boxes are rotated: the upright box around each is taken")
            marks = {a.get("name", "").lower(): a.text or "" for a in box.iter("attribute")}
            out.box(name, values, where, any(flag(marks.get(c, "")) for c in IGNORED))
    return out.done(path, images)


def _around(values: list[float], degrees: float) -> list[float]:
    """Return the upright box around one that is rotated about its centre.

    >>> [round(v, 6) for v in _around([0, 0, 4, 2], 90)]
    [1.0, -1.0, 3.0, 3.0]
    """
    x1, y1, x2, y2 = values
    turn = math.radians(degrees)
    c, s = abs(math.cos(turn)), abs(math.sin(turn))
    w, h = ((x2 - x1) * c + (y2 - y1) * s) / 2, ((x2 - x1) * s + (y2 - y1) * c) / 2
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return [x - w, y - h, x + w, y + h]
