"""Drawings in files: strokes as JSON lines, and pictures in a folder per class."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.files import atomic_path
from facelab.datasets.doodles._sets import CLASSES, Drawings

MOST_BYTES = 256 << 20
MOST_POINTS = 100_000


def read_strokes(path: str | os.PathLike[str]) -> list[tuple[list[np.ndarray], str]]:
    """Read drawings from a `.jsonl` file: per line {"label": text, "strokes": [[[x, y], …], …]}.

    Returns
    -------
    list of (strokes, label)
        In the file's order; strokes are (n, 2) arrays, x to the right, y downwards.

    Raises
    ------
    BadInputError
        A line is no such drawing; the error names the file and the line.
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise BadInputError(
            "the file of strokes cannot be read",
            where=path,
            expected=f"a file of at most {MOST_BYTES >> 20} MB",
            fix="check the path",
        )
    out = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            out.append(_drawing(line, f"{path}:{number}"))
    if not out:
        raise BadInputError(
            "the file holds no drawing", where=path, fix="give a file with one drawing per line"
        )
    return out


def _drawing(line: bytes, where: str) -> tuple[list[np.ndarray], str]:
    try:
        value = json.loads(line)
        strokes = [np.asarray(s, float).reshape(-1, 2) for s in value["strokes"]]
        label = value.get("label", "")
        points = np.concatenate(strokes)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise _bad(where, type(e).__name__) from None
    if not isinstance(label, str) or not len(points) or len(points) > MOST_POINTS:
        raise _bad(where, f"{len(points)} points")
    if not np.isfinite(points).all():
        raise _bad(where, "a coordinate that is not finite")
    return strokes, label


def _bad(where: str, got: str) -> BadInputError:
    return BadInputError(
        "the line is not a drawing",
        where=where,
        expected='{"label": text, "strokes": [[[x, y], …], …]}',
        got=got,
        fix="correct or remove the line",
    )


def write_drawings(folder: str | os.PathLike[str], drawings: Drawings) -> Path:
    """Write drawings as PNG files into `heart/` and `other/` of a folder, and return the folder."""
    import cv2

    folder = Path(folder)
    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for k, (picture, label, kind) in enumerate(drawings):
        done, data = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
        assert done
        with atomic_path(folder / CLASSES[label] / f"{k:05d}_{kind}.png") as tmp:
            tmp.write_bytes(data.tobytes())
    return folder
