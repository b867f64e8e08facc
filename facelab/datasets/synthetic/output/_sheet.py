"""One picture that shows what is in a set: rows of faces by class, person, kind, or scenes with their boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.files import write_bytes
from facelab.core.png import encode_png
from facelab.datasets.synthetic.camera._filters import area_resize

CELL, ROWS, COLUMNS, MARGIN = 112, 7, 10, 4
GREEN, RED = (0, 190, 90), (230, 60, 30)


def write_sheet(path: Path, name: str, folder: Path, entries: list[dict], names: list[str]) -> None:
    """Write the contact sheet of a set to `path`; pictures are read back from `folder`."""
    groups = _groups(name, entries)
    wide = name == "detection"
    cell = (256, 192) if wide else (CELL, CELL)
    rows = [group[: 4 if wide else COLUMNS] for _, group in groups][: 5 if wide else ROWS]
    columns = max(len(row) for row in rows)
    label = 0 if wide else 76
    sheet = np.full(
        (MARGIN + len(rows) * (cell[1] + MARGIN), label + MARGIN + columns * (cell[0] + MARGIN), 3),
        255,
        np.uint8,
    )
    for i, row in enumerate(rows):
        y = MARGIN + i * (cell[1] + MARGIN)
        if label:
            sheet[y : y + cell[1], :label] = _text(groups[i][0], (label, cell[1]))
        for j, k in enumerate(row):
            x = label + MARGIN + j * (cell[0] + MARGIN)
            faces = entries[k]["rows"] if wide else []
            sheet[y : y + cell[1], x : x + cell[0]] = _thumbnail(folder / names[k], cell, faces)
    write_bytes(path, encode_png(sheet))


def _groups(name: str, entries: list[dict]) -> list[tuple[str, list[int]]]:
    """Return (label, positions) of the sheet's rows."""
    if name == "detection":
        return [("", list(range(k, min(k + 4, len(entries))))) for k in range(0, len(entries), 4)]
    key = {"emotion": "emotion", "liveness": "kind", "verification": "identity"}[name]
    groups: dict[str, list[int]] = {}
    for k, entry in enumerate(entries):
        groups.setdefault(str(entry["rows"][0][key]), []).append(k)
    return sorted(groups.items()) if name == "emotion" else list(groups.items())


def _thumbnail(path: Path, size: tuple[int, int], faces: list[dict]) -> np.ndarray:
    from PIL import Image

    with Image.open(path, formats=("PNG",)) as im:
        image = np.asarray(im.convert("RGB"))
    h, w, _ = image.shape
    small = np.rint(area_resize(image.astype(np.int64), size)).astype(np.uint8)
    for row in faces:
        box = [
            round(row[k] * s)
            for k, s in zip(("x1", "y1", "x2", "y2"), (size[0] / w, size[1] / h) * 2, strict=True)
        ]
        _outline(small, box, RED if row["invalid"] else GREEN)
    return small


def _outline(image: np.ndarray, box: list[int], colour: Any) -> None:
    h, w, _ = image.shape
    x1, y1 = (min(max(v, 0), n - 1) for v, n in zip(box[:2], (w, h), strict=True))
    x2, y2 = (min(max(v, 0), n - 1) for v, n in zip(box[2:], (w, h), strict=True))
    image[[y1, y2], x1 : x2 + 1] = colour
    image[y1 : y2 + 1, [x1, x2]] = colour


def _text(words: str, size: tuple[int, int]) -> np.ndarray:
    """Return black words on white, drawn with Pillow's built-in bitmap font (no font file decides its pixels)."""
    from PIL import Image, ImageDraw, ImageFont

    im = Image.new("L", size, 255)
    font = ImageFont.load_default_imagefont()
    ImageDraw.Draw(im).text((4, size[1] // 2 - 6), words.replace("_", " ")[-12:], fill=0, font=font)
    return np.repeat(np.asarray(im)[..., None], 3, 2)
