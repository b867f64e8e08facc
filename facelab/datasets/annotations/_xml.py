"""Labels in XML: Pascal VOC, a file a picture, and CVAT for images, one file."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from facelab.core.errors import BadInputError
from facelab.core.files import read_input
from facelab.datasets.annotations._boxes import (
    IGNORED,
    MOST,
    Annotations,
    Collector,
    face_categories,
    flag,
    number,
)


def _xml(path: Path) -> ElementTree.Element:
    text = read_input(path, max_bytes=MOST)
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
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


def voc(path: Path, category: str | None) -> Annotations:
    """Read Pascal VOC: a folder of files, or one."""
    files = sorted(path.rglob("*.xml")) if path.is_dir() else [path]
    roots = [(file, _xml(file)) for file in files]
    labels = [o.findtext("name", "") for _, root in roots for o in root.iter("object")]
    faces = face_categories(labels, category, path)
    out = Collector("voc")
    for file, root in roots:
        if root.tag != "annotation":
            raise BadInputError(
                "the XML file is not Pascal VOC's",
                where=file,
                expected="<annotation>",
                got=f"<{root.tag}>",
                fix="remove the file, or export the labels as Pascal VOC",
            )
        size = [root.findtext(f"size/{k}", "") for k in ("width", "height")]
        whole = all(s.strip().isdigit() for s in size)
        name = root.findtext("filename") or f"{file.stem}.jpg"
        out.picture(name, str(file), (int(size[0]), int(size[1])) if whole else None)
        for k, mark in enumerate(root.iter("object"), 1):
            where = f"{file}: object {k}"
            if faces is not None and mark.findtext("name", "") not in faces:
                out.dropped += 1
                continue
            corners = ("xmin", "ymin", "xmax", "ymax")
            x1, y1, x2, y2 = (number(mark.findtext(f"bndbox/{c}"), where) for c in corners)
            # the corners are pixels, counted from 1, and both belong to the box
            out.box(name, (x1 - 1, y1 - 1, x2, y2), where, flag(mark.findtext("difficult", "0")))
    return out.done(path)


def cvat(path: Path, category: str | None) -> Annotations:
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
        out.picture(name, str(path), (int(size[0]), int(size[1])) if whole else None)
        for k, box in enumerate(image.iter("box"), 1):
            where = f"{path}: {name}, box {k}"
            if faces is not None and box.get("label", "") not in faces:
                out.dropped += 1
                continue
            values = [number(box.get(c), where) for c in ("xtl", "ytl", "xbr", "ybr")]
            marks = {a.get("name", "").lower(): a.text or "" for a in box.iter("attribute")}
            out.box(name, values, where, any(flag(marks.get(c, "")) for c in IGNORED))
    return out.done(path)
