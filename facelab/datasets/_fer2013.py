"""FER2013 and FER+ from their CSV files: 48×48 gray faces, one label or ten annotators' votes."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facelab.core.errors import BadInputError, MissingAssetError
from facelab.core.files import is_count, open_input

FER2013_CLASSES = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
"""FER2013's label numbers 0 … 6, named as facelab names emotions."""
FERPLUS_COLUMNS = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "nf",
)
"""FER+'s vote columns, in order."""
SIZE = 48
USAGES = ("Training", "PublicTest", "PrivateTest")


@dataclass(frozen=True)
class Fer:
    """`images` (n, 48, 48) uint8 gray; `label` (n,) numbers into FER2013_CLASSES; `usage` (n,) part names."""

    images: np.ndarray
    label: np.ndarray
    usage: np.ndarray


@dataclass(frozen=True)
class FerPlusVotes:
    """`name` (n,) image file names; `votes` (n, 10) int64 in the order of FERPLUS_COLUMNS."""

    name: np.ndarray
    votes: np.ndarray

    def majority(self, *, least: float = 0.5) -> list[str]:
        """Return each image's label, or an empty string where no single emotion has more than `least` of the votes.

        `unknown` and `nf` (no face) never win; FER+'s own majority rule asks for more than half.
        """
        total = np.maximum(self.votes.sum(axis=1), 1)
        best = self.votes.argmax(axis=1)
        clear = (self.votes.max(axis=1) > least * total) & (best < 8)
        return [FERPLUS_COLUMNS[b] if ok else "" for b, ok in zip(best, clear)]


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with io.TextIOWrapper(open_input(path), encoding="utf-8-sig", newline="") as f:
            reader = csv.reader(f)
            for row in reader:
                yield reader.line_num, row
    except FileNotFoundError:
        raise MissingAssetError("the CSV is not there", where=path, fix="check the path") from None
    except (OSError, ValueError, csv.Error) as e:
        raise BadInputError(
            "the CSV cannot be read",
            where=path,
            got=str(e)[:120],
            fix="check that the file is an uncompressed CSV in UTF-8 that you may read",
        ) from None


def load_fer2013(path: str | os.PathLike[str]) -> Fer:
    """Read `fer2013.csv` (columns emotion, pixels and optionally Usage).

    Parameters
    ----------
    path : str or path
        `fer2013.csv`.

    Returns
    -------
    Fer
        The pictures (n, 48, 48) with labels and parts.

    Raises
    ------
    BadInputError
        With file and line.
    MissingAssetError
        The file is not there.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "fer2013.csv"
    >>> _ = file.write_text("emotion,pixels,Usage\\n3," + " ".join(["0"] * 48 * 48) + ",Training\\n")
    >>> faces = load_fer2013(file)
    >>> faces.images.shape, [FER2013_CLASSES[k] for k in faces.label], faces.usage.tolist()
    ((1, 48, 48), ['joy'], ['Training'])
    """
    path = Path(path)
    rows = _rows(path)
    number, header = next(rows, (1, []))
    names = [h.strip().lower() for h in header]
    for needed in ("emotion", "pixels"):
        if needed not in names:
            raise BadInputError(
                "the CSV lacks a column",
                where=f"{path}:{number}",
                expected="emotion, pixels, Usage",
                got=", ".join(header)[:80] or "an empty file",
                fix=f"add the column {needed}",
            )
    emotion, pixels = names.index("emotion"), names.index("pixels")
    usage = names.index("usage") if "usage" in names else None
    images, labels, parts = [], [], []
    for number, row in rows:
        if not row:
            continue
        where = f"{path}:{number}"
        if len(row) != len(header):
            raise BadInputError(
                "a row has a different number of columns",
                where=where,
                expected=len(header),
                got=len(row),
                fix="restore the row from the original file, or remove it",
            )
        images.append(_pixels(row[pixels], where))
        labels.append(_label(row[emotion], where))
        parts.append(row[usage].strip() if usage is not None else "")
    if not images:
        raise BadInputError(
            "the CSV holds no image",
            where=path,
            fix="name a complete fer2013.csv: a header, then one row per image",
        )
    return Fer(np.stack(images), np.array(labels), np.array(parts))


def _pixels(text: str, where: str) -> np.ndarray:
    try:
        values = np.array([int(v) for v in text.split()], dtype=np.int64)
    except (ValueError, OverflowError):
        values = np.zeros(0, dtype=np.int64)
    if values.size != SIZE * SIZE or values.min() < 0 or values.max() > 255:
        raise BadInputError(
            "the pixels of a row are not an image",
            where=where,
            expected=f"{SIZE * SIZE} whole numbers 0 … 255",
            got=f"{text[:40]!r}… ({len(text.split())} values)",
            fix="restore the row from the original file, or remove it",
        )
    return values.astype(np.uint8).reshape(SIZE, SIZE)


def _label(text: str, where: str) -> int:
    if not is_count(text) or int(text) >= len(FER2013_CLASSES):
        raise BadInputError(
            "the label of a row is unknown",
            where=where,
            expected="0 … 6",
            got=repr(text[:40]),
            fix="use FER2013's numbers 0 to 6, or remove the row",
        )
    return int(text)


def load_ferplus(path: str | os.PathLike[str], *, every_row: bool = False) -> FerPlusVotes:
    """Read FER+ votes: the per-part `label.csv` (name, box, ten votes) or `fer2013new.csv` (Usage, name, ten votes).

    Rows without an image name (dropped by FER+'s authors) are left out, or kept with an empty name where `every_row`
    asks for the order of `fer2013.csv`: FER+ numbers its names without them.

    Parameters
    ----------
    path : str or path
        `fer2013new.csv`, the labels of FER+.
    every_row : bool
        Whether rows that FER+ rejects are kept too.

    Returns
    -------
    FerPlusVotes
        The pictures with their votes.

    Raises
    ------
    BadInputError
        With file and line.
    MissingAssetError
        The file is not there.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "fer2013new.csv"
    >>> _ = file.write_text("Training,fer0000000.png,7,0,0,1,2,0,0,0,0,0\\n")
    >>> votes = load_ferplus(file)
    >>> votes.name.tolist(), votes.votes[0, :5].tolist(), votes.majority()
    (['fer0000000.png'], [7, 0, 0, 1, 2], ['neutral'])
    """
    path = Path(path)
    names, votes = [], []
    for number, row in _rows(path):
        if not row or (number == 1 and row[-1].strip().upper() == "NF"):
            continue
        cells = [c.strip() for c in row[-len(FERPLUS_COLUMNS) :]]
        if len(row) != len(FERPLUS_COLUMNS) + 2 or not all(map(is_count, cells)):
            raise BadInputError(
                "a row of votes is malformed",
                where=f"{path}:{number}",
                expected="image name, box (or Usage, name) and ten whole numbers",
                got=str(row)[:80],
                fix="restore the row from the original fer2013new.csv",
            )
        name = row[1].strip() if row[0].strip() in USAGES else row[0].strip()
        if name or every_row:
            names.append(name)
            votes.append([int(c) for c in cells])
    if not names:
        raise BadInputError(
            "the CSV holds no votes", where=path, fix="name a complete fer2013new.csv"
        )
    return FerPlusVotes(np.array(names), np.array(votes))
