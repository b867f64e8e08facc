"""Labels of a detector's images: counts, or boxes in any form that `facelab.datasets.annotations` reads."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.text_files import read_csv
from facelab.datasets import annotations


@dataclasses.dataclass(frozen=True)
class Labels:
    """What labels say of each image: `counts` (faces), and `boxes` (n, 4) `xyxy` where they have them.

    `ignore` (bool, n) marks boxes that count neither as found nor as missed, and are not in `counts`. `folder` is
    where the file of labels lies: paths may be relative to it.
    """

    counts: dict[str, int]
    boxes: dict[str, np.ndarray] | None
    ignore: dict[str, np.ndarray] | None = None
    said: str = "csv of counts"
    folder: Path | None = None

    def for_images(self, names: Iterable[str]) -> Labels:
        """Return the labels under the images' own names where the labels state only the ends of their paths.

        Pascal VOC states a file name without its folder, and YOLO's labels have none. An end that fits several images
        stays as it is.
        """
        names = list(names)
        if any(n in self.counts for n in names):
            return self
        ends: dict[str, list[str]] = {}
        for name in names:
            parts = name.split("/")
            for k in range(1, len(parts) + 1):
                ends.setdefault("/".join(parts[-k:]), []).append(name)
        table = {own: ends[own][0] for own in self.counts if len(ends.get(own, ())) == 1}
        if not table:
            return self
        return self._renamed(table)

    def placed(self, files: Mapping[str, Path]) -> Labels:
        """Return the labels under the images' names, also where their paths are relative to the labels' folder."""
        if self.folder is None or any(n in self.counts for n in files):
            return self
        by_file = {p.resolve(): n for n, p in files.items()}
        table = {
            n: by_file[f] for n in self.counts if (f := (self.folder / n).resolve()) in by_file
        }
        return self._renamed(table)

    def _renamed(self, table: Mapping[str, str]) -> Labels:
        return dataclasses.replace(
            self,
            counts={table.get(n, n): v for n, v in self.counts.items()},
            boxes=self.boxes and {table.get(n, n): v for n, v in self.boxes.items()},
            ignore=self.ignore and {table.get(n, n): v for n, v in self.ignore.items()},
        )

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
) -> Labels:
    """Read labels: COCO, Pascal VOC, YOLO, CVAT, WIDER FACE's text, a CSV of boxes, or a CSV of counts.

    The form is recognised from the content (`facelab.datasets.annotations.read`). A CSV of counts has the columns
    `path, n_faces`; one of boxes `path, x1, y1, x2, y2` or `path, x, y, w, h`, a row a face, and a row with empty
    coordinates for an image without a face; other columns are not looked at.

    Parameters
    ----------
    path : path
        A file, or a folder of Pascal VOC or YOLO files.
    form, images, category
        As `facelab.datasets.annotations.read` takes them.

    Returns
    -------
    Labels
        By the images' paths as the labels give them.

    Raises
    ------
    BadInputError
        With file and line, for anything else.
    """
    if form in (None, "csv") and Path(path).suffix.lower() == ".csv":
        rows = read_csv(path, "labels", fix="check --labels")
        name = next((c for c in ("path", "file") if rows and c in rows[0]), None)
        if name is not None and "n_faces" in rows[0] and not {"x1", "xmin", "x"} & set(rows[0]):
            return _counts(rows, name, path)
    found = annotations.read(path, form=form, images=images, category=category)
    return Labels(found.counts, found.boxes, found.ignore, found.said(), Path(path).parent)


def _counts(rows: list[dict], column: str, path: str | os.PathLike[str]) -> Labels:
    counts: dict[str, int] = {}
    for i, row in enumerate(rows, 2):
        count = _whole(row["n_faces"], f"{path}:{i}")
        if counts.setdefault(row[column], count) != count:
            raise BadInputError(
                "the labels count one image twice, differently",
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
