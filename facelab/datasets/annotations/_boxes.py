"""`Annotations`: what every form of labels says of pictures: boxes, which of them to ignore, and sizes where known."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facelab.core.errors import BadInputError, did_you_mean

FORMATS = {
    "coco": "one JSON file (COCO detection): bbox [x, y, width, height], iscrowd or ignore",
    "voc": "a folder of XML files (Pascal VOC): bndbox from pixel 1 to the last pixel, difficult",
    "yolo": "a folder of text files (YOLO): class, centre and size as shares of the picture",
    "cvat": "one XML file (CVAT for images 1.1): xtl, ytl, xbr, ybr, an attribute `ignore`",
    "wider": "one text file (WIDER FACE): x, y, width, height and six attributes, `invalid`",
    "csv": "one CSV file: path and x1, y1, x2, y2, or x, y, w, h; optionally `ignore`",
}
"""The forms that are read and written, with how each states a box and what is to be ignored."""


FACES = ("face", "faces", "human face", "head_face", "person_face")
"""Names of categories that are faces, in lower case."""
IGNORED = ("ignore", "ignored", "difficult", "iscrowd", "invalid")
"""Columns and attributes that say that a box is to be ignored."""
MOST = 1 << 30
"""Bytes of the largest file of labels that is read."""


@dataclasses.dataclass(frozen=True)
class Annotations:
    """Labelled boxes by picture.

    Attributes
    ----------
    form : str
        The form that they were read from, of `FORMATS`.
    boxes : dict[str, (n, 4) float64 ndarray]
        `xyxy` in pixels, origin at the top-left corner, by the picture's path as the labels give it.
    ignore : dict[str, (n,) bool ndarray]
        Boxes that count neither as found nor as missed: crowds, difficult or invalid ones.
    sizes : dict[str, tuple[int, int]]
        Width and height in pixels of the pictures whose labels state it.
    dropped : int
        Boxes of other categories than faces that were left out.
    """

    form: str
    boxes: dict[str, np.ndarray]
    ignore: dict[str, np.ndarray]
    sizes: dict[str, tuple[int, int]]
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def counts(self) -> dict[str, int]:
        """Faces that count, by picture."""
        return {name: int((~ignored).sum()) for name, ignored in self.ignore.items()}

    def said(self) -> str:
        """Return one line about what was read."""
        counted, ignored = (
            sum(self.counts.values()),
            sum(int(v.sum()) for v in self.ignore.values()),
        )
        return (
            f"{self.form}: {len(self)} pictures, {counted} faces"
            + (f", {ignored} to ignore" if ignored else "")
            + (f", {self.dropped} boxes of other categories left out" if self.dropped else "")
        )


class Collector:
    """Gathers pictures and boxes while a file is read; a box is checked where it is added."""

    def __init__(self, form: str):
        self.form, self.dropped = form, 0
        self._boxes: dict[str, list[Sequence[float]]] = {}
        self._ignore: dict[str, list[bool]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}

    def picture(self, name: str, where: str, size: tuple[int, int] | None = None) -> None:
        """Enter a picture, with or without boxes. Raises BadInputError for an empty name."""
        if not name or "\0" in name:
            raise BadInputError(
                "a picture has no name",
                where=where,
                expected="a file name",
                got=repr(name)[:60],
                fix="correct the labels",
            )
        self._boxes.setdefault(name, [])
        self._ignore.setdefault(name, [])
        if size is not None and min(size) > 0:
            self._sizes[name] = size

    def box(self, name: str, xyxy: Sequence[float], where: str, ignore: bool = False) -> None:
        """Enter a box of a picture. Raises BadInputError for one that is empty or not finite."""
        x1, y1, x2, y2 = xyxy
        if not np.isfinite(xyxy).all() or x2 <= x1 or y2 <= y1 or max(map(abs, xyxy)) > 1e7:
            raise BadInputError(
                "a box is empty or no number",
                where=where,
                expected="x2 > x1 and y2 > y1, or a width and a height above 0",
                got=str([float(v) for v in xyxy]),
                fix="correct the label or drop it",
            )
        self.picture(name, where)
        self._boxes[name].append(tuple(map(float, xyxy)))
        self._ignore[name].append(bool(ignore))

    def done(self, where: object) -> Annotations:
        """Return everything. Raises BadInputError where there is no picture."""
        if not self._boxes:
            raise BadInputError(
                "the labels name no picture",
                where=where,
                expected=FORMATS[self.form],
                fix="check the path of the labels",
            )
        boxes = {n: np.array(b, np.float64).reshape(-1, 4) for n, b in self._boxes.items()}
        ignore = {n: np.array(i, bool) for n, i in self._ignore.items()}
        return Annotations(self.form, boxes, ignore, self._sizes, self.dropped)


def number(text: object, where: str) -> float:
    """Return a coordinate. Raises BadInputError for what is not a number."""
    try:
        if isinstance(text, bool):
            raise ValueError
        return float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise BadInputError(
            "a coordinate is not a number",
            where=where,
            expected="a number of pixels",
            got=repr(text)[:60],
            fix="correct the label",
        ) from None


def flag(value: object) -> bool:
    """Return whether a flag is set: 1, true, yes."""
    return str(value).strip().lower() in ("1", "true", "yes", "1.0")


def face_categories(names: list[str], category: str | None, where: Path) -> set[str] | None:
    """Return the categories that are faces; None where only one category is labelled."""
    present = sorted(set(filter(None, names)))
    if category is not None:
        if category not in present:
            raise BadInputError(
                f"no category is called {category!r}{did_you_mean(category, present)}",
                where=where,
                expected=", ".join(present),
                got=category,
                fix="name one of them",
            )
        return {category}
    faces = {n for n in present if n.strip().lower() in FACES}
    if faces or len(present) < 2:
        return faces or None
    raise BadInputError(
        "the labels have several categories and none is called face",
        where=where,
        expected="a category face, or the name of the one that is",
        got=", ".join(present[:8]),
        fix="name it with --category",
    )
