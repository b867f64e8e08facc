"""`Annotations`: what every form of labels says of pictures: boxes, which of them to ignore, and sizes where known."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import SupportsFloat

import numpy as np

from facelab.core.errors import BadInputError, did_you_mean
from facelab.datasets.annotations._sizes import size_of
from facelab.datasets.annotations._turned import upright

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
    compared : frozenset[str]
        Pictures whose labels were compared with the file: their boxes and sizes are of the upright picture.
    notes : tuple[str, ...]
        What else was decided or left out while reading, in words, with its number.
    """

    form: str
    boxes: dict[str, np.ndarray]
    ignore: dict[str, np.ndarray]
    sizes: dict[str, tuple[int, int]]
    dropped: int = 0
    compared: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

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
            + "".join(f"; {note}" for note in self.notes)
        )

    def fitted(self, files: Mapping[str, Path]) -> Annotations:
        """Return the labels as the pictures are shown: turned where the labels state the stored size of a picture
        that EXIF turns. Raises BadInputError for a picture of a different size than its labels state.

        Parameters
        ----------
        files : mapping of name to path
            The pictures' files by the labels' own names; others stay as they are.
        """
        boxes, sizes, seen = dict(self.boxes), dict(self.sizes), {"turned": 0, "unsure": 0}
        new = (self.sizes.keys() & files.keys()) - self.compared
        for name in new:
            boxes[name], sizes[name], how = upright(boxes[name], sizes[name], files[name])
            if how in seen and len(boxes[name]):
                seen[how] += 1
        told = {
            "turned": "{} pictures are turned by EXIF and their labels are of the stored pixels: turned too",
            "unsure": "{} pictures are turned or mirrored by EXIF: their labels are taken as of the upright picture",
        }
        notes = tuple(told[k].format(n) for k, n in seen.items() if n)
        return dataclasses.replace(
            self,
            boxes=boxes,
            sizes=sizes,
            compared=self.compared | new,
            notes=(*self.notes, *(n for n in notes if n not in self.notes)),
        )


class Collector:
    """Gathers pictures and boxes while a file is read; a box is checked where it is added."""

    def __init__(self, form: str):
        self.form, self.dropped = form, 0
        self.notes: dict[str, int] = {}
        self._boxes: dict[str, list[Sequence[float]]] = {}
        self._ignore: dict[str, list[bool]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}

    def picture(
        self,
        name: str,
        where: str,
        size: tuple[int, int] | None = None,
        *,
        once: bool = False,
    ) -> str:
        """Enter a picture, with or without boxes, and return its name with forward slashes.

        `once`: the form states each picture once. Raises BadInputError for an empty name, and for a second time.
        """
        if not name or "\0" in name:
            raise BadInputError(
                "a picture has no name",
                where=where,
                expected="a file name",
                got=repr(name)[:60],
                fix="correct the labels",
            )
        name = name.replace("\\", "/").removeprefix("./")
        if once and name in self._boxes:
            raise BadInputError(
                "a picture is listed twice",
                where=where,
                expected="each picture once",
                got=name,
                fix="remove one of the entries, or name the folders too: its boxes would be mixed up",
            )
        self._boxes.setdefault(name, [])
        self._ignore.setdefault(name, [])
        if size is not None and min(size) > 0:
            self._sizes[name] = size
        return name

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
        name = self.picture(name, where)
        self._boxes[name].append(tuple(map(float, xyxy)))
        self._ignore[name].append(bool(ignore))

    def note(self, words: str, n: int = 1) -> None:
        """Count something that was decided or left out; `words` follow the number."""
        self.notes[words] = self.notes.get(words, 0) + n

    def done(self, where: Path, images: Path | None = None) -> Annotations:
        """Return everything; `images` is where the pictures' paths start.

        Raises BadInputError where there is no picture, and for boxes that are shares of pictures of unknown size.
        """
        if not self._boxes:
            raise BadInputError(
                "the labels name no picture",
                where=where,
                expected=FORMATS[self.form],
                fix="check the path of the labels",
            )
        boxes = {n: np.array(b, np.float64).reshape(-1, 4) for n, b in self._boxes.items()}
        ignore = {n: np.array(i, bool) for n, i in self._ignore.items()}
        if self.form != "yolo" and _are_shares(boxes):  # YOLO's shares are in pixels by now
            boxes = self._in_pixels(boxes, where, images)
        twice = sum(len(b) - len(np.unique(b, axis=0)) for b in boxes.values() if len(b) > 1)
        if twice:
            self.note("boxes are in their picture twice", twice)
        notes = tuple(f"{n} {words}" for words, n in self.notes.items())
        found = Annotations(self.form, boxes, ignore, self._sizes, self.dropped, notes=notes)
        if images is None or not images.is_dir():
            return found
        return found.fitted({n: p for n in boxes if (p := images / n).is_file()})

    def _in_pixels(
        self, boxes: dict[str, np.ndarray], where: Path, images: Path | None
    ) -> dict[str, np.ndarray]:
        places = [p for p in (images, where if where.is_dir() else where.parent) if p is not None]
        for name in boxes:
            file = next((f for p in places if (f := p / name).is_file()), None)
            if name not in self._sizes and file is not None:
                self._sizes[name] = size_of(file)
            if name not in self._sizes and len(boxes[name]):
                raise BadInputError(
                    "the coordinates are shares of the picture, and its size is not known",
                    where=f"{where}: {name}",
                    expected="pixels, or pictures to take the sizes from",
                    got="no coordinate above 1",
                    fix="give the folder of the pictures with --images",
                )
        self.note("boxes were shares of the picture (no coordinate above 1)", _count(boxes))
        return {n: b * np.tile(self._sizes[n], 2) if len(b) else b for n, b in boxes.items()}


def _count(boxes: Mapping[str, np.ndarray]) -> int:
    return sum(map(len, boxes.values()))


def _are_shares(boxes: Mapping[str, np.ndarray]) -> bool:
    """Return whether every corner lies between 0 and 1, some of them between pixels."""
    every = [b for b in boxes.values() if len(b)]
    within = bool(every) and all(b.min() >= -1e-6 and b.max() <= 1 + 1e-6 for b in every)
    return within and any((b != np.rint(b)).any() for b in every)


def number(text: object, where: str) -> float:
    """Return a coordinate. Raises BadInputError for what is not a number."""
    try:
        if isinstance(text, bool) or not isinstance(text, (str, SupportsFloat)):
            raise ValueError
        return float(text)
    except (TypeError, ValueError, OverflowError):
        raise BadInputError(
            "a coordinate is not a number",
            where=where,
            expected="a number of pixels",
            got=repr(text)[:60],
            fix="write a point for the decimal comma"
            if re.fullmatch(r"\s*-?\d+,\d+\s*", str(text))
            else "correct the label",
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
