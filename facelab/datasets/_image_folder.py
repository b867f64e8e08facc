"""A folder of class folders: images and labels, labels mapped by a declared table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from facelab.core.errors import BadInputError, MissingAssetError
from facelab.core.files import IMAGE_SUFFIXES
from facelab.datasets.labels import DROP, map_label


@dataclass(frozen=True)
class LabelledImages:
    """Image files with their labels, sorted by path; `dropped` counts images whose label the table leaves out, and
    `left_out` says how many of each label."""

    paths: list[Path]
    labels: list[str]
    dropped: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.paths)


def _refuse_loose(folder: Path) -> None:
    """Raise BadInputError for an image that is in no class folder."""
    loose = next(
        (p for p in sorted(folder.iterdir()) if p.is_file() and p.suffix.lower() in IMAGE_SUFFIXES),
        None,
    )
    if loose is not None:
        raise BadInputError(
            "an image is beside the class folders, so that it has no label",
            where=loose,
            expected="one folder per class",
            fix="move it into a class folder",
        )


def _images_of(folder: Path) -> list[Path]:
    """Return the images of one class. Raises BadInputError where there is none."""
    images = sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".") and p.is_file()
    )
    if not images:
        raise BadInputError(
            "a class folder holds no image",
            where=folder,
            expected=f"files such as *{IMAGE_SUFFIXES[0]}",
            fix="add images or remove the folder",
        )
    return images


def load_image_folder(
    folder: str | os.PathLike[str], *, table: Mapping[str, str] | None = None
) -> LabelledImages:
    """List `folder/<label>/**/<image>` with labels mapped by `table`; hidden files and other suffixes are passed over.

    Raises MissingAssetError where the folder is absent, BadInputError for images beside the class folders, a class
    folder without an image, a label the table does not know, or fewer than two classes.

    Parameters
    ----------
    folder : str or path
        A folder with one folder per class.
    table : Mapping[str, str] or None
        Other names of the classes; None for the usual ones.

    Returns
    -------
    LabelledImages
        One path and label per picture.

    Raises
    ------
    MissingAssetError
        The folder does not exist.
    BadInputError
        Fewer than two classes are left, one has no picture, or a picture is outside their folders.

    Examples
    --------
    >>> faces = load_image_folder("data/test")
    >>> len(faces), sorted(set(faces.labels))
    (24, ['anger', 'joy', 'neutral'])
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingAssetError(
            "the folder of images is not there", where=folder, fix="check the path"
        )
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    _refuse_loose(folder)
    paths: list[Path] = []
    labels: list[str] = []
    left_out: dict[str, int] = {}
    for sub in classes:
        label = sub.name if table is None else map_label(sub.name, table, where=sub)
        images = _images_of(sub)
        if label == DROP:
            left_out[sub.name] = len(images)
            continue
        paths += images
        labels += [label] * len(images)
    if len(set(labels)) < 2:
        raise BadInputError(
            "the data set has fewer than two classes",
            where=folder,
            expected="two or more class folders",
            got=", ".join(sorted(set(labels))) or "none",
            fix="put the pictures of each class into a separate folder",
        )
    return LabelledImages(paths, labels, sum(left_out.values()), left_out)
