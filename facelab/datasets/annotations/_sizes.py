"""Sizes of pictures, upright as everything else here sees them, and the pictures that are beside labels."""

from __future__ import annotations

from pathlib import Path

from facelab.core.files import IMAGE_SUFFIXES
from facelab.preprocess.image import header, read_bytes


def size_of(path: Path) -> tuple[int, int]:
    """Return a picture's width and height as it is shown, EXIF orientation applied; its pixels are not decoded."""
    (width, height), orientation = stored_size(path)
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def stored_size(path: Path) -> tuple[tuple[int, int], int]:
    """Return a picture's width and height as stored, and its EXIF orientation 1 … 8 (1 where it states none)."""
    data, where = read_bytes(path)
    return header(data, where=where, orientation=True)


def beside(labels: Path, images: Path | None = None) -> dict[str, tuple[str, Path]]:
    """Return stem → (path relative to the folder, file) of the pictures in `images`, or else beside YOLO's labels.

    YOLO keeps pictures in a folder `images` where the labels are in `labels`, or in the same folder. Both the path
    without its suffix and, where one picture alone has it, the bare stem are keys.
    """
    places = [images] if images is not None else [labels]
    if images is None and "labels" in labels.parts:
        at = len(labels.parts) - 1 - labels.parts[::-1].index("labels")
        twin = Path(*labels.parts[:at], "images", *labels.parts[at + 1 :])
        places = [twin, labels]
    out: dict[str, tuple[str, Path]] = {}
    stems: dict[str, tuple[str, Path] | None] = {}
    for place in places:
        if not place.is_dir():
            continue
        for file in sorted(place.rglob("*")):
            if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file():
                name = file.relative_to(place).as_posix()
                out.setdefault(name.rsplit(".", 1)[0], (name, file))
                known = stems.setdefault(file.stem, (name, file))
                if known is not None and known[1] != file and not file.samefile(known[1]):
                    stems[file.stem] = None  # two pictures: nothing is guessed
    return {k: v for k, v in stems.items() if v is not None} | out
