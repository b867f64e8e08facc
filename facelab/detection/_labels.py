"""Labels of a detector's images: counts, or boxes in any form that `facelab.datasets.annotations` reads."""

from __future__ import annotations

import dataclasses
import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.text_files import read_csv
from facelab.datasets.internals import annotations as label_forms


@dataclasses.dataclass(frozen=True)
class Labels:
    """What labels say of each image: `counts` (faces), and `boxes` (n, 4) `xyxy` where they have them.

    `ignore` (bool, n) marks boxes that count neither as found nor as missed, and are not in `counts`. `folder` is
    where the file of labels lies: paths may be relative to it. `sizes` are the pictures' widths and heights where the
    labels state them. `unmatched` are labels that `matched` found no image for, `notes` what it decided.
    """

    counts: dict[str, int]
    boxes: dict[str, np.ndarray] | None
    ignore: dict[str, np.ndarray] | None = None
    said: str = "csv of counts"
    folder: Path | None = None
    sizes: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    unmatched: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def matched(self, files: Mapping[str, Path]) -> Labels:
        """Return the labels of these images, under the images' names and as the pictures are shown.

        A label's path is an image's name, a path relative to the labels' folder, an absolute path, or else its end: the
        longest end that fits one image and that no other label has. Letters are compared in Unicode's composed form.
        `unmatched` names the labels that fit no image. Where labels state the stored size of a picture that EXIF turns,
        their boxes are turned too; raises BadInputError for a picture of a different size than its labels state.
        """
        table = self._places(files)
        own = [n for n in self.counts if n in table]
        renamed = {table[n]: n for n in own}
        boxes = self.boxes and {new: self.boxes[n] for new, n in renamed.items()}
        notes: tuple[str, ...] = ()
        if self.boxes and self.sizes:
            stated = {new: self.sizes[n] for new, n in renamed.items() if n in self.sizes}
            fitted = label_forms.Annotations("csv", boxes or {}, {}, stated).fitted(files)
            boxes, notes = fitted.boxes, fitted.notes
        return dataclasses.replace(
            self,
            counts={new: self.counts[n] for new, n in renamed.items()},
            boxes=boxes,
            ignore=self.ignore and {new: self.ignore[n] for new, n in renamed.items()},
            sizes={},
            unmatched=tuple(n for n in self.counts if n not in table),
            notes=(*self.notes, *notes),
        )

    def _places(self, files: Mapping[str, Path]) -> dict[str, str]:
        """Return label → image; neither is in it twice."""
        composed = {_composed(n): n for n in files}
        by_file = {p.resolve(): n for n, p in files.items()}
        ends: dict[str, list[str]] = {}
        for name in composed:
            for end in _ends(name):
                ends.setdefault(end, []).append(name)
        table: dict[str, str] = {}
        for own in self.counts:
            name = composed.get(_composed(own))
            if name is None and self.folder is not None:
                name = by_file.get((self.folder / own).resolve())
            if name is not None:
                table[own] = name
        loose: dict[str, list[str]] = {}
        for own in self.counts.keys() - table.keys():
            fits: list[str] = next(
                (ends[e] for e in _ends(_composed(own)) if e in ends), list[str]()
            )
            if len(fits) == 1 and composed[fits[0]] not in table.values():
                loose.setdefault(composed[fits[0]], []).append(own)
        return table | {owns[0]: name for name, owns in loose.items() if len(owns) == 1}

    def ignored(self, name: str) -> np.ndarray:
        """Return for each box of an image whether it is to be ignored, bool (n,)."""
        n = len(self.boxes[name]) if self.boxes else 0
        return np.zeros(n, bool) if self.ignore is None else self.ignore[name]


def read_labels(
    path: str | os.PathLike[str],
    *,
    form: str | None = None,
    images: str | os.PathLike[str] | None = None,
    category: str | None = None,
    voc_origin: int | None = None,
) -> Labels:
    """Read labels: COCO, Pascal VOC, YOLO, CVAT, WIDER FACE's text, a CSV of boxes, or a CSV of counts.

    The form is recognised from the content (`facelab.datasets.annotations.read`). A CSV of counts has the columns
    `path, n_faces`; one of boxes `path, x1, y1, x2, y2` or `path, x, y, w, h`, one row per face, and a row with empty
    coordinates for an image without a face; other columns are not looked at.

    Parameters
    ----------
    path : path
        A file, or a folder of Pascal VOC or YOLO files.
    form, images, category, voc_origin
        As `facelab.datasets.annotations.read` takes them.

    Returns
    -------
    Labels
        By the images' paths as the labels give them.

    Raises
    ------
    BadInputError
        With file and line, for anything else.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "labels.csv"
    >>> _ = file.write_text("path,x1,y1,x2,y2\\na.jpg,2,3,12,15\\nb.jpg,,,,\\n")
    >>> labels = read_labels(file)
    >>> labels.counts, labels.boxes["a.jpg"].tolist()
    ({'a.jpg': 1, 'b.jpg': 0}, [[2.0, 3.0, 12.0, 15.0]])
    """
    if form in (None, "csv") and Path(path).suffix.lower() == ".csv":
        rows = read_csv(path, "labels", fix="check --labels")
        name = next((c for c in ("path", "file") if rows and c in rows[0]), None)
        if name is not None and "n_faces" in rows[0] and not {"x1", "xmin", "x"} & set(rows[0]):
            return _counts(rows, name, path)
    found = label_forms.read(
        path, form=form, images=images, category=category, voc_origin=voc_origin
    )
    unseen = {n: s for n, s in found.sizes.items() if n not in found.compared}
    return Labels(found.counts, found.boxes, found.ignore, found.said(), Path(path).parent, unseen)


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _ends(path: str) -> list[str]:
    """Return a path and its ends, longest first.

    >>> _ends("a/b.jpg")
    ['a/b.jpg', 'b.jpg']
    """
    parts = path.split("/")
    return ["/".join(parts[k:]) for k in range(len(parts))]


def _counts(rows: list[dict[str, Any]], column: str, path: str | os.PathLike[str]) -> Labels:
    counts: dict[str, int] = {}
    for i, row in enumerate(rows, 2):
        count = _whole(row["n_faces"], f"{path}:{i}")
        if counts.setdefault(row[column], count) != count:
            raise BadInputError(
                "two rows state different counts for one image",
                where=f"{path}:{i}",
                expected=f"{counts[row[column]]}, as said before",
                got=count,
                fix="keep one of the rows",
            )
    said = f"csv of counts: {len(counts)} pictures, {sum(counts.values())} faces"
    return Labels(counts, None, None, said, Path(path).parent)


def _whole(text: str, where: str) -> int:
    try:
        value = int(text)
    except (TypeError, ValueError):
        value = -1
    if value < 0:
        raise BadInputError(
            "a number of faces is not a whole number",
            where=where,
            expected="0 or more",
            got=repr(text),
            fix="correct the row",
        )
    return value
