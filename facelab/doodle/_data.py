"""Labelled drawings: a folder with `heart/` and `other/`, of pictures or of strokes in `.jsonl` files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facelab.core.errors import BadInputError, at
from facelab.datasets.doodles import CLASSES, Pen, draw, read_strokes
from facelab.doodle._ink import ink
from facelab.preprocess.image import apply_exif, decode, read_bytes

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
BLANK = "nothing is drawn on the picture"


@dataclass(frozen=True)
class Labelled:
    """Drawings with their classes.

    Parameters
    ----------
    inks : ndarray, (n, 28, 28) uint8
        The drawings' ink; a blank picture is all zero.
    labels : ndarray, (n,) int64
        Indices into `CLASSES` ("heart", "other").
    names : tuple of str
        The file, with the line where a file holds several drawings.
    """

    inks: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def blank(self) -> np.ndarray:
        """Whether nothing is drawn, bool (n,)."""
        return np.logical_not(self.inks.any(axis=(1, 2)))


def read_drawing(path: str | os.PathLike[str] | bytes) -> np.ndarray:
    """Return the ink of a picture file: a drawing of any size, ink light or dark, with or without transparency.

    Parameters
    ----------
    path : str or path or bytes
        A file.

    Returns
    -------
    ndarray
        The ink of a picture file.

    Raises
    ------
    BadInputError
        The file is not a picture, or nothing is drawn on it; the error names the file.
    """
    data, where = read_bytes(path)
    with at(where):
        first = _ink_over(data, where, "over_white")
        if first is None:
            # white ink on a transparent sheet
            first = _ink_over(data, where, "over_black")
    if first is None:
        raise BadInputError(
            BLANK,
            where=where,
            expected="ink that differs from the paper",
            fix="draw with more contrast, or leave the picture out",
        )
    return first


def _ink_over(data: bytes, where: str, alpha: str) -> np.ndarray | None:
    pixels, orientation = decode(data, where=where, alpha=alpha)
    try:
        return ink(apply_exif(pixels, orientation))
    except BadInputError as e:
        if e.what == BLANK:
            return None
        raise


def ink_or_blank(path: Path) -> np.ndarray:
    """Return the ink of a picture file, all zero where nothing is drawn."""
    try:
        return read_drawing(path)
    except BadInputError as e:
        if e.what != BLANK:
            raise
        return np.zeros((28, 28), np.uint8)


def read_drawings(path: str | os.PathLike[str]) -> list[tuple[str, np.ndarray]]:
    """Read the drawings of a file, or of a folder and the folders in it.

    Parameters
    ----------
    path : path-like
        A picture, a `.jsonl` file of strokes, or a folder that holds such files.

    Returns
    -------
    list of (str, ndarray)
        Name and ink, (28, 28) uint8, in order of the names; the ink of a blank picture is all zero.

    Raises
    ------
    BadInputError
        There is no drawing, or a file is damaged.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    out: list[tuple[str, np.ndarray]] = []
    for file in files:
        hidden = any(part.startswith(".") for part in file.relative_to(path.parent).parts)
        if file.suffix.lower() == ".jsonl":
            drawings = read_strokes(file)
            pen = Pen(size=(112, 112), width=4.0)
            out += [
                (f"{file}:{k}", ink(draw(strokes, pen)))
                for k, (strokes, _) in enumerate(drawings, 1)
            ]
        elif (file.suffix.lower() in SUFFIXES and not hidden) or file == path:
            out.append((str(file), ink_or_blank(file)))
    if not out:
        raise BadInputError(
            "there is no drawing",
            where=path,
            expected=f"files that end in {', '.join(SUFFIXES)} or .jsonl",
            fix="check the path",
        )
    return out


def read_folder(path: str | os.PathLike[str]) -> Labelled:
    """Read labelled drawings from the folders `heart/` and `other/` of a folder.

    Parameters
    ----------
    path : path-like
        Holds `heart/`, `other/` or both; each holds pictures, `.jsonl` files of strokes, or folders of these.

    Returns
    -------
    Labelled
        The drawings.

    Raises
    ------
    BadInputError
        The folder has neither of the two, one of them holds no drawing, or a file is damaged.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> (folder / "other").mkdir()
    >>> _ = (folder / "other" / "line.jsonl").write_text('{"label": "line", "strokes": [[[0, 0], [9, 9]]]}\\n')
    >>> drawings = read_folder(folder)
    >>> drawings.inks.shape, drawings.labels.tolist()
    ((1, 28, 28), [1])
    """
    folder = Path(path)
    parts = [(k, folder / name) for k, name in enumerate(CLASSES) if (folder / name).is_dir()]
    if not parts:
        seen = sorted(p.name for p in folder.iterdir())[:8] if folder.is_dir() else []
        raise BadInputError(
            "the folder has no drawings by class",
            where=folder,
            expected=f"folders named {' and '.join(CLASSES)}",
            got=", ".join(seen) or "no such folder",
            fix="sort the drawings into heart/ and other/",
        )
    rows = [(k, name, made) for k, part in parts for name, made in read_drawings(part)]
    return Labelled(
        np.stack([made for _, _, made in rows]),
        np.array([k for k, _, _ in rows], np.int64),
        tuple(name for _, name, _ in rows),
    )
