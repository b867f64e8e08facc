"""Write labels in each of the published forms."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as xml

import numpy as np

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.files import write_json, write_text
from facelab.datasets.annotations._boxes import FORMATS, Annotations
from facelab.datasets.annotations._sizes import size_of

SIZED = ("coco", "voc", "yolo", "cvat")
"""Forms that state each picture's size."""


def write(
    labels: Annotations,
    form: str,
    out: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
) -> dict[str, int]:
    """Write labels in a form.

    Parameters
    ----------
    labels : Annotations
        From `read`.
    form : str
        One of `FORMATS`.
    out : path
        The file, or for Pascal VOC and YOLO the folder.
    images : path, optional
        The folder that the pictures' paths start from, for the sizes that the labels do not state.

    Returns
    -------
    dict[str, int]
        `pictures`, `boxes`, and `ignored_left_out`: YOLO has no way to say that a box is to be ignored.

    Raises
    ------
    BadInputError
        The form is unknown, or a size is needed and not known.
    """
    if form not in FORMATS:
        raise BadInputError(
            f"no form of labels is called {form!r}{did_you_mean(form, FORMATS)}",
            expected=", ".join(FORMATS),
            got=form,
            fix="name one of them",
        )
    sizes = _sizes(labels, images) if form in SIZED else {}
    out = Path(out)
    {"coco": _coco, "voc": _voc, "yolo": _yolo, "cvat": _cvat, "wider": _wider, "csv": _csv}[form](
        labels, sizes, out
    )
    ignored = sum(int(v.sum()) for v in labels.ignore.values()) if form == "yolo" else 0
    boxes = sum(len(b) for b in labels.boxes.values())
    return {"pictures": len(labels), "boxes": boxes - ignored, "ignored_left_out": ignored}


def _targets(labels: Annotations, out: Path, suffix: str) -> dict[str, Path]:
    """Return the file to write for each picture. Raises BadInputError where two pictures would share one."""
    seen: dict[Path, str] = {}
    for name in labels.boxes:
        target = (out / _safe(name)).with_suffix(suffix)
        if target in seen:
            raise BadInputError(
                "two pictures would have one file of labels",
                where=target,
                expected="file names that differ before their suffix",
                got=f"{seen[target]} and {name}",
                fix="rename one of the pictures, or write a form with one file (coco, csv)",
            )
        seen[target] = name
    return {name: target for target, name in seen.items()}


def _sizes(
    labels: Annotations, images: str | os.PathLike[str] | None
) -> dict[str, tuple[int, int]]:
    found = dict(labels.sizes)
    for name in labels.boxes:
        if name in found:
            continue
        file = Path(images, name) if images is not None else None
        if file is None or not file.is_file():
            raise BadInputError(
                "the size of a picture is not known",
                where=name,
                expected="a picture below --images" if images is None else f"the file {file}",
                fix="give the folder that the pictures' paths start from with --images",
            )
        found[name] = size_of(file)
    return found


def _plain(value: float) -> int | float:
    """Return a coordinate as a whole number where it is one."""
    return int(value) if float(value).is_integer() else float(value)


def _coco(labels: Annotations, sizes: dict[str, tuple[int, int]], out: Path) -> None:
    images = [
        {"id": k, "file_name": n, "width": sizes[n][0], "height": sizes[n][1]}
        for k, n in enumerate(labels.boxes, 1)
    ]
    marks = []
    for image in images:
        name = image["file_name"]
        for (x1, y1, x2, y2), ignored in zip(labels.boxes[name], labels.ignore[name]):
            box = [float(x1), float(y1), float(x2 - x1), float(y2 - y1)]
            marks.append(
                {
                    "id": len(marks) + 1,
                    "image_id": image["id"],
                    "category_id": 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                    "ignore": int(ignored),
                }
            )
    categories = [{"id": 1, "name": "face"}]
    write_json(out, {"images": images, "annotations": marks, "categories": categories})


def _voc(labels: Annotations, sizes: dict[str, tuple[int, int]], out: Path) -> None:
    targets = _targets(labels, out, ".xml")
    for name, boxes in labels.boxes.items():
        root = xml.Element("annotation")
        xml.SubElement(root, "filename").text = name
        size = xml.SubElement(root, "size")
        for key, value in zip(("width", "height", "depth"), (*sizes[name], 3)):
            xml.SubElement(size, key).text = str(value)
        for (x1, y1, x2, y2), ignored in zip(boxes, labels.ignore[name]):
            mark = xml.SubElement(root, "object")
            for key, value in (("name", "face"), ("difficult", str(int(ignored)))):
                xml.SubElement(mark, key).text = value
            place = xml.SubElement(mark, "bndbox")
            corners = zip(("xmin", "ymin", "xmax", "ymax"), (x1 + 1, y1 + 1, x2, y2))
            for key, value in corners:
                xml.SubElement(place, key).text = repr(_plain(value))
        _xml(root, targets[name])


def _cvat(labels: Annotations, sizes: dict[str, tuple[int, int]], out: Path) -> None:
    root = xml.Element("annotations")
    xml.SubElement(root, "version").text = "1.1"
    for k, (name, boxes) in enumerate(labels.boxes.items()):
        width, height = map(str, sizes[name])
        image = xml.SubElement(root, "image", id=str(k), name=name, width=width, height=height)
        for (x1, y1, x2, y2), ignored in zip(boxes, labels.ignore[name]):
            corners = {
                c: repr(float(v)) for c, v in zip(("xtl", "ytl", "xbr", "ybr"), (x1, y1, x2, y2))
            }
            box = xml.SubElement(image, "box", {"label": "face", "occluded": "0", **corners})
            if ignored:
                xml.SubElement(box, "attribute", name="ignore").text = "true"
    _xml(root, out)


def _xml(root: xml.Element, path: Path) -> None:
    xml.indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, xml.tostring(root, encoding="unicode") + "\n")


def _yolo(labels: Annotations, sizes: dict[str, tuple[int, int]], out: Path) -> None:
    targets = _targets(labels, out, ".txt")
    for name, boxes in labels.boxes.items():
        width, height = sizes[name]
        kept = boxes[~labels.ignore[name]]
        rows = [
            f"0 {(x1 + x2) / 2 / width:.10f} {(y1 + y2) / 2 / height:.10f} "
            f"{(x2 - x1) / width:.10f} {(y2 - y1) / height:.10f}\n"
            for x1, y1, x2, y2 in kept
        ]
        targets[name].parent.mkdir(parents=True, exist_ok=True)
        write_text(targets[name], "".join(rows))


def _safe(name: str) -> PurePosixPath:
    """Return a picture's path inside the folder to write to. Raises BadInputError for one that leads outside."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise BadInputError(
            "a picture's path leads outside the folder",
            where=name,
            expected="a relative path",
            fix="give relative paths without ..",
        )
    return path


def _wider(labels: Annotations, sizes: dict[str, tuple[int, int]], out: Path) -> None:
    lines = []
    for name, boxes in labels.boxes.items():
        lines += [name, str(len(boxes))]
        if not len(boxes):
            lines.append("0 " * 10)
        for (x1, y1, x2, y2), ignored in zip(boxes, labels.ignore[name]):
            # whole pixels, as the official file has them and its readers expect
            x, y = (int(np.floor(v + 0.5)) for v in (x1, y1))
            w, h = (max(int(np.floor(v + 0.5)), 1) for v in (x2 - x1, y2 - y1))
            lines.append(f"{x} {y} {w} {h} 0 0 0 {int(ignored)} 0 0 ")
    write_text(out, "\n".join(lines) + "\n")


def _csv(labels: Annotations, sizes: dict[str, tuple[int, int]], out: Path) -> None:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "x1", "y1", "x2", "y2", "ignore"))
    for name, boxes in labels.boxes.items():
        if not len(boxes):
            writer.writerow((name, "", "", "", "", ""))
        for box, ignored in zip(boxes, labels.ignore[name]):
            writer.writerow((name, *(repr(_plain(v)) for v in box), int(ignored)))
    write_text(out, text.getvalue())
